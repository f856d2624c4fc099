package topic

import (
	"errors"
	"slices"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
)

// Look is what there is in a topic's log at one moment: all messages whose segments are
// still there, finished or not. It may be read while the log goes on; what is reclaimed
// meanwhile is left out. It belongs to one goroutine.
type Look struct {
	// FanOut is the number from which on messages wait in the topic itself, End is one
	// past the last message.
	FanOut, End uint64
	IDPrefix    uint16 // what the ids of the messages begin with

	log  *diskqueue.Log
	held []seqset.Range // the numbers that there may be, ascending
	owes func(seq uint64) bool
}

// Look looks at the topic's log.
func (t *Topic) Look() *Look {
	f := &t.fanout
	f.mu.Lock()
	fanOut, end, voids := f.fanOut, f.end, slices.Clone(f.voids)
	f.mu.Unlock()
	d := f.debtors()
	return NewLook(t.o.Log, t.o.IDPrefix, fanOut, end, voids, func(seq uint64) bool { return d.oweAny(seqset.Range{From: seq, To: seq + 1}) })
}

// NewLook looks at a log of which is known how far it was given to channels, where it ends
// and what of it is void. Owes says whether the topic or a channel of it still owes a
// message.
func NewLook(log *diskqueue.Log, prefix uint16, fanOut, end uint64, voids []seqset.Range, owes func(seq uint64) bool) *Look {
	l := &Look{FanOut: fanOut, End: end, IDPrefix: prefix, log: log, owes: owes}
	if start := log.Start(); start < end {
		l.held = seqset.Difference([]seqset.Range{{From: start, To: end}}, seqset.Union(voids, log.Gaps(start, end)))
	}
	return l
}

// Len is how many messages there may be.
func (l *Look) Len() (n uint64) {
	for _, r := range l.held {
		n += r.Len()
	}
	return n
}

// Before is the number of the n-th message below seq, or of the first one if there are
// fewer.
func (l *Look) Before(seq, n uint64) uint64 {
	below := uint64(0)
	for _, r := range l.held {
		if r.From < seq {
			below += min(r.To, seq) - r.From
		}
	}
	return l.at(below - min(n, below))
}

// at is the number of the i-th message; End if there are fewer.
func (l *Look) at(i uint64) uint64 {
	for _, r := range l.held {
		if i < r.Len() {
			return r.From + i
		}
		i -= r.Len()
	}
	return l.End
}

// Since is the number from which on all messages lie that were published at a time (ns since
// 1970) or later; End if there is none. It is that of the first one, in the order of the log,
// which is not always that of the times: see diskqueue.Reader.Since. The error is of the file
// system.
func (l *Look) Since(time int64) (uint64, error) {
	reader := l.log.NewReader()
	defer reader.Release()
	seq, err := reader.Since(time)
	return l.next(seq), err
}

// next is the lowest number that there may be from seq on; End if there is none.
func (l *Look) next(seq uint64) uint64 {
	for _, r := range l.held {
		if seq < r.To {
			return max(seq, r.From)
		}
	}
	return l.End
}

// Each shows the messages from a number on, in their order, until show returns an error,
// which Each returns. The view is valid during the call. What cannot be read for good, or
// now while others can, is left out; another error of the file system ends Each. Next is
// the number behind the last message that was shown or left out.
func (l *Look) Each(from uint64, show func(message.View) error) (next uint64, err error) {
	reader := l.log.NewReader()
	defer reader.Release()
	for seq := l.next(from); seq < l.End; seq = l.next(seq) {
		v, err := reader.Read(seq)
		if err == nil {
			if err = show(v); err != nil {
				return seq + 1, err
			}
			seq++
		} else if seq, err = past(seq, err); err != nil {
			return seq, err
		}
	}
	return l.End, nil
}

// past is the number behind what an error says cannot be read, or the error where nothing
// can.
func past(seq uint64, err error) (uint64, error) {
	var damaged *diskqueue.DamageError
	var unreadable *diskqueue.UnreadableError
	switch {
	case errors.Is(err, diskqueue.ErrNotFound):
		return seq + 1, nil
	case errors.As(err, &damaged):
		return damaged.To, nil
	case errors.As(err, &unreadable):
		return unreadable.To, nil
	}
	return seq, err
}
