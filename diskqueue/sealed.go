package diskqueue

import (
	"errors"
	"fmt"
	"slices"

	"qmq/message"
)

// Records may travel between nodes as a segment has them too: with their numbers, and
// with the checksums that they were written with. Nothing is worked out anew on the way,
// and whoever gets them sees for itself that they are what was written.

// AppendSealed appends to dst the records from the number from on and below to as they
// stand in a segment, about so many bytes of them, with no part of an MPUB: next is where
// to go on, and salt is the segment's. Each of them is verified. Where that cannot be
// done, as what is there is damaged, has gaps or cannot be read now, next is from, and
// dst as it was: it is for ReadInto then, which says why.
func (r *Reader) AppendSealed(dst []byte, from, to uint64, bytes int) (sealed []byte, next uint64, salt uint32) {
	rewinds := r.l.rewinds.Load()
	s, p, err := r.l.find(from)
	if err != nil || s.carried {
		return dst, from, 0
	}
	if at := &r.sealed; at.s == s && at.seq == from && at.offset > p.offset {
		p.seq, p.offset = at.seq, at.offset // nothing has to be passed over
	}
	h, err := r.l.shared.files.acquire(s)
	if err != nil {
		return dst, from, 0
	}
	defer r.l.shared.files.release(h)
	start := len(dst)
	for n := int64(bytes); ; n *= 2 {
		n = min(n, p.limit-p.offset)
		dst = slices.Grow(dst[:start], int(n))
		got, err := readFull(h, dst[start:start+int(n)], p.offset)
		if err != nil && !isEnd(err) || rewinds != r.l.rewinds.Load() {
			return dst[:start], from, 0
		}
		read := dst[start : start+got]
		w := sealedWalk{salt: s.salt, seq: p.seq, next: from}
		short := w.walk(read, to)
		if w.next > from {
			r.sealed = sealedPlace{s, w.next, p.offset + int64(w.end)}
			return append(dst[:start], read[w.skip:w.end]...), w.next, s.salt
		}
		if !short || n == p.limit-p.offset || n >= maxSealed { // more does not help
			return dst[:start], from, 0
		}
	}
}

// maxSealed is how much is read at most because a record or an MPUB is longer than what
// was asked for.
const maxSealed = 16 << 20

// sealedPlace is where the last stretch of AppendSealed ended.
type sealedPlace struct {
	s      *segment
	seq    uint64
	offset int64
}

// sealedWalk looks through what was read of a segment, from the record seq on, for
// records from the number next on.
type sealedWalk struct {
	salt      uint32
	seq       uint64
	skip, end int    // where they begin and end
	next      uint64 // one past the last
}

// walk finds those that are good, below to, and not a part of an MPUB. It returns whether
// there may be more behind what was read.
func (w *sealedWalk) walk(read []byte, to uint64) (short bool) {
	from, inMulti := w.next, false
	for at := 0; w.seq < to || inMulti; w.seq++ {
		n, err := message.Verify(read[at:], w.salt)
		if err != nil || message.SeqOf(read[at:]) != w.seq {
			return errors.Is(err, message.ErrShort)
		}
		at += n
		if w.seq < from {
			w.skip = at
			continue
		}
		flags := message.FlagsOf(read[at-n:])
		part, first := flags&message.FlagBatch != 0, flags&message.FlagBatchFirst != 0
		if part && first == inMulti || !part && inMulti {
			return false // what is around it is damaged
		}
		if inMulti = part && flags&message.FlagBatchLast == 0; !inMulti {
			w.end, w.next = at, w.seq+1
		}
	}
	return false
}

// ParseSealed makes the batch that of sealed records, numbered from first on, whose
// memory it uses until Reset, as ParseRecords does with others. It is for an append: the
// log's own numbers and checksums take the place of those that the records have.
func (b *Batch) ParseSealed(records []byte, first uint64, salt uint32) error {
	b.Reset()
	if len(records) > maxAppend {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrRecords, len(records), maxAppend)
	}
	b.buf, b.borrowed = records[:len(records):len(records)], true
	for at := 0; at < len(records); {
		n, err := message.Verify(records[at:], salt)
		if err == nil && message.SeqOf(records[at:]) != first+uint64(len(b.offsets)) {
			err = message.ErrCorrupt
		}
		if err == nil {
			err = b.note(records[at:], uint32(at))
		}
		if err != nil {
			b.Reset()
			return fmt.Errorf("%w: at offset %d of %d: %w", ErrRecords, at, len(records), err)
		}
		at += n
	}
	return b.parsed()
}
