package diskqueue

import (
	"errors"
	"fmt"

	"qmq/internal/seqset"
	"qmq/message"
)

// What follows is for the logs of replicated topics: numbers come from outside
// and may be passed over, records are copied from one node's log to another's,
// and only where a topic is served the newest messages are worth their memory.

// Jump makes next the number that the log goes on at, in a new segment. What is
// passed over is void, here and, as the new segment tells, after a restart, and
// in a log that is opened with Options.End. It goes forward only, and it is the
// appender that may call it.
func (l *Log) Jump(next uint64) error {
	if next < l.next || next > message.MaxSeq {
		return fmt.Errorf("the log ends at %d and cannot go on at %d", l.next, next)
	}
	if next == l.next {
		return nil
	}
	l.mu.Lock()
	s := l.active
	empty := s != nil && s.end == s.base
	l.mu.Unlock()
	if empty { // it has the name of its first number
		l.roll(s)
	}
	l.hot.clear() // which has no gaps
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endActive()
	l.voids = seqset.Union(l.voids, []seqset.Range{{From: l.next, To: next}})
	l.next = next
	return nil
}

// KeepHot has the newest messages kept in memory from now on, so many of them;
// 0 keeps none and gives the memory back.
func (l *Log) KeepHot(messages int) { l.hot.keep(messages) }

// keep sets how many messages are kept.
func (h *hotTail) keep(messages int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.maxMessages = messages
	if !h.reserved {
		h.drop()
	}
}

// drop drops what is too much. The caller holds h.mu.
func (h *hotTail) drop() {
	for len(h.chunks) > 1 && h.messages-len(h.chunks[0].offs) >= h.maxMessages {
		h.dropFirst()
	}
	if len(h.chunks) == 1 && h.maxMessages == 0 {
		h.dropFirst()
	}
}

// ReadBatch gathers records from the number from on and below to, about so many
// bytes of them and at least one, with no gap between their numbers and no part of
// an MPUB; what is left of one that is damaged counts as one. It passes over numbers that no segment holds and records that
// are damaged for good: first is the number of the batch's first record, and next
// where to go on; an empty batch says that there is nothing up to to. Any other
// error is that of Reader.Read.
func (r *Reader) ReadBatch(from, to uint64, bytes int) (b *Batch, first, next uint64, err error) {
	b = new(Batch)
	first, next, err = r.ReadInto(b, from, to, bytes)
	return b, first, next, err
}

// ReadInto is ReadBatch into a batch, which is emptied before.
func (r *Reader) ReadInto(b *Batch, from, to uint64, bytes int) (first, next uint64, err error) {
	b.Reset()
	inMulti := false
	for first = from; from < to || inMulti; {
		v, err := r.Read(from)
		if err != nil {
			behind, err := r.behindGap(from, err)
			switch {
			case err != nil:
				return 0, 0, err
			case b.Len() > 0:
				if inMulti {
					b.mark(message.FlagBatchLast)
				}
				return first, min(behind, to), nil
			}
			first, from = min(behind, to), min(behind, to)
			continue
		}
		b.AddView(v)
		if v.Flags&message.FlagBatch != 0 && !inMulti {
			b.mark(message.FlagBatchFirst) // as it has already, but behind damage
		}
		inMulti = v.Flags&message.FlagBatch != 0 && v.Flags&message.FlagBatchLast == 0
		if from++; b.Bytes() >= bytes && !inMulti {
			break
		}
	}
	return first, from, nil
}

// mark adds flags to the last message.
func (b *Batch) mark(flags message.Flags) {
	message.SetFlags(b.buf[b.offsets[len(b.offsets)-1]:], flags)
}

// behindGap is the lowest number above seq, which could not be read, that a
// segment may hold; the error is one that may pass.
func (r *Reader) behindGap(seq uint64, err error) (uint64, error) {
	var damaged *DamageError
	if errors.As(err, &damaged) {
		return damaged.To, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	for _, s := range r.l.list() {
		if at := r.l.layoutOf(s); at.end > seq+1 {
			return max(at.base, seq+1), nil
		}
	}
	return max(r.l.End(), seq+1), nil
}

// SyncFailed says that records below end may be lost with the power although no
// Sync fails: one did, and what it left is not synced again. Opening the log anew
// with what is known to have survived as its end, and appending the rest again,
// is the way out.
func (l *Log) SyncFailed(end uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list() {
		if s.unsyncable && s.base < end && max(s.base, s.syncedEnd) < min(s.end, end) {
			return true
		}
	}
	return false
}
