package diskqueue

import (
	"errors"
	"fmt"

	"qmq/internal/seqset"
	"qmq/message"
)

// ErrIncomplete means that records cannot be mended: what was given is none of them.
var ErrIncomplete = errors.New("records that are lost here are not to be had elsewhere")

// Lost gives the messages of numbers that are to be had, ascending, to take.
type Lost func(numbers seqset.Range, take func(message.View) error) error

// Mend makes good what the log has lost of numbers, from the first one up to where their
// segment ends, or the next one begins, as far as other nodes have it. Where a segment
// holds the first, another file takes its place, with the records that are good in it,
// those of lost, and room for those that nobody has, which stay lost; else a segment of
// its own has the records from the first on that lost gives without a gap. Readers go on
// meanwhile. A segment that is appended to is ended first. After an error all is as it
// was: it is ErrIncomplete where lost gives nothing, ErrNotFound where there never was
// such a message, one for which InUse is true, that of lost, or of the file system. One
// goroutine at a time may call Mend, Carry, Detach or DetachBelow.
func (l *Log) Mend(numbers seqset.Range, lost Lost) error {
	old, header, end, err := l.mendable(numbers)
	if err != nil {
		return err
	}
	w, err := l.writeBeside(header, func(w *carrier) error {
		if len(old) == 0 {
			return w.begin(seqset.Range{From: header.base, To: end}, lost)
		}
		return w.mend(seqset.Range{From: header.base, To: end}, lost)
	})
	if err != nil {
		return err
	}
	h := l.shared.files.adopt(w.s, w.f) // and held: it must not be opened before it has its name
	defer l.shared.files.release(h)
	if len(old) == 0 {
		err = l.clearPath(w.s.path)
	}
	if err != nil {
		l.undoCarry(w)
		return err
	}
	if err := l.putInPlace(w, old, segmentList{w.s}); err != nil {
		return err
	}
	l.removeCarried(old, w.s)
	return nil
}

// mendable is what is to be replaced, by a segment with which header and up to which end.
func (l *Log) mendable(numbers seqset.Range) (old segmentList, header segmentHeader, end uint64, err error) {
	l.mu.Lock()
	list := l.list()
	i := list.at(numbers.From)
	holds := i >= 0 && numbers.From < list[i].end
	active := holds && list[i] == l.active
	l.mu.Unlock()
	if active {
		l.EndSegment()
	}
	header = segmentHeader{version: segmentVersion, base: numbers.From, prevEnd: numbers.From, prevKnown: true, created: l.o.Now()}
	if !holds {
		end = min(numbers.To, l.End())
		if i+1 < len(list) {
			end = min(end, list[i+1].base)
		}
		if end <= numbers.From {
			err = fmt.Errorf("message %d: %w", numbers.From, ErrNotFound)
		}
		return nil, header, end, err
	}
	s := list[i]
	if s.carried {
		return nil, header, 0, errNotNow
	}
	header.base, header.prevEnd, header.prevKnown, header.created = s.base, s.prevEnd, s.prevKnown, s.created
	end = l.layoutOf(s).end
	old, err = l.carriable([]seqset.Range{{From: s.base, To: end}})
	return old, header, end, err
}

// clearPath gives another name to a file that is no segment of the log and has the name
// of one.
func (l *Log) clearPath(path string) error {
	err := l.shared.fs.Rename(path, fmt.Sprintf("%s.%d.kept", path, l.o.Now()))
	if isNotExist(err) {
		return nil
	}
	return err
}

// errEnough ends what lost gives.
var errEnough = errors.New("enough")

// begin writes the records that lost gives of numbers that no segment holds, up to the
// first one that it does not give.
func (w *carrier) begin(numbers seqset.Range, lost Lost) error {
	at := numbers.From
	err := lost(numbers, func(v message.View) error {
		if v.Seq != at || at >= numbers.To {
			return errEnough
		}
		at++
		return w.add(v)
	})
	if err == nil || errors.Is(err, errEnough) {
		err = nothingGiven(at-numbers.From, numbers)
	}
	return err
}

func nothingGiven(given uint64, of seqset.Range) error {
	if given == 0 {
		return fmt.Errorf("messages %d to %d: %w", of.From, of.To-1, ErrIncomplete)
	}
	return nil
}

// mend writes the records of all numbers of a segment that can be had.
func (w *carrier) mend(numbers seqset.Range, lost Lost) error {
	r := w.l.NewReader()
	defer r.Release()
	given := uint64(0)
	for seq := numbers.From; seq < numbers.To; {
		v, err := r.Read(seq)
		if err == nil {
			if err = w.add(v); err != nil {
				return err
			}
			if w.l.Lacks(seq) { // memory has it
				given++
			}
			seq++
			continue
		}
		var damaged *DamageError
		if !errors.As(err, &damaged) {
			return err
		}
		missing := seqset.Range{From: seq, To: min(damaged.To, numbers.To)}
		r.Release() // it may take long
		n, err := w.fill(missing, lost)
		if err != nil {
			return err
		}
		given, seq = given+n, missing.To
	}
	return nothingGiven(given, numbers)
}

// fill writes what lost gives of numbers that cannot be read, and leaves room for the
// others.
func (w *carrier) fill(missing seqset.Range, lost Lost) (given uint64, err error) {
	at := missing.From
	err = lost(missing, func(v message.View) error {
		if v.Seq < at || v.Seq >= missing.To {
			return fmt.Errorf("message %d of %d to %d: %w", v.Seq, at, missing.To-1, ErrIncomplete)
		}
		if err := w.leave(seqset.Range{From: at, To: v.Seq}); err != nil {
			return err
		}
		at = v.Seq + 1
		given++
		return w.add(v)
	})
	if err == nil {
		err = w.leave(seqset.Range{From: at, To: missing.To})
	}
	return given, err
}

// leave leaves room for records that stay lost: zeros, as many as the shortest would take,
// by which a scan of the file knows how many they may be.
func (w *carrier) leave(numbers seqset.Range) error {
	if numbers.Len() == 0 {
		return nil
	}
	d := damage{from: numbers.From, to: numbers.To, offset: w.s.size + int64(len(w.buf))}
	w.buf = append(w.buf, make([]byte, numbers.Len()*message.HeaderSize)...)
	d.resume = w.s.size + int64(len(w.buf))
	w.s.damaged = append(w.s.damaged, d)
	w.s.end = numbers.To
	if len(w.buf) < carryBuffer {
		return nil
	}
	return w.flush()
}
