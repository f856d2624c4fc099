package diskqueue

import (
	"errors"
	"fmt"
	"path/filepath"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
)

// carrier writes a segment that takes the place of others.
type carrier struct {
	l    *Log
	s    *segment
	path string // before it takes the place of the others
	f    vfs.File
	buf  []byte
	held int64 // of the budget of a log in memory
}

// carryBuffer is about how much is written at a time.
const carryBuffer = 1 << 20

// writeCarry writes and syncs the carry segment beside the old ones.
func (l *Log) writeCarry(header segmentHeader, keep []seqset.Range) (*carrier, error) {
	header.version, header.created = carryVersion, l.o.Now()
	return l.writeBeside(header, func(w *carrier) error { return w.copy(keep) })
}

// writeBeside writes and syncs a segment that is to take the place of others.
func (l *Log) writeBeside(header segmentHeader, fill func(*carrier) error) (*carrier, error) {
	header.incarnation, header.salt = l.o.Incarnation, newSalt()
	w := &carrier{l: l, s: newSegment(&header, segmentPath(l.o.Dir, header.base))}
	w.path = filepath.Join(l.o.Dir, fmt.Sprintf("%016x%s", header.base, carrySuffix))
	fs := l.shared.fs
	if err := fs.Remove(w.path); err != nil && !isNotExist(err) {
		return nil, err
	}
	var err error
	if w.f, err = fs.Create(w.path); err != nil {
		return nil, err
	}
	if err = fill(w); err == nil {
		err = w.flush()
	}
	if err == nil {
		header.count = w.s.held()
		_, err = w.f.WriteAt(header.head(), 0)
	}
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		err = errors.Join(err, w.f.Close(), fs.Remove(w.path))
		l.Release(w.held)
		return nil, err
	}
	s := w.s
	s.count, s.rolled, s.recovered = header.count, true, true // it is synced: nothing of it is ever taken back
	s.syncedSize, s.syncedEnd, s.indexed, s.nameDurable = s.size, s.end, true, true
	s.fix()
	return w, nil
}

// copy writes the records of keep that the log holds.
func (w *carrier) copy(keep []seqset.Range) error {
	r := w.l.NewReader()
	defer r.Release()
	for _, k := range keep {
		for seq := k.From; seq < k.To; seq++ {
			v, err := r.Read(seq)
			if errors.Is(err, ErrNotFound) {
				continue // it is in a gap
			}
			if err == nil {
				err = w.add(v)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *carrier) add(v message.View) error {
	offset := w.s.size + int64(len(w.buf))
	start := len(w.buf)
	w.buf = message.AppendRecord(w.buf, v.Timestamp, v.Flags, v.Attrs, v.Body)
	message.Seal(w.buf[start:], v.Seq, w.s.salt)
	if w.s.carried {
		n := len(w.s.runs)
		w.s.runs = noteRun(w.s.runs, v.Seq, offset)
		w.s.noteTime(n > 0 && len(w.s.runs) > n, v.Timestamp)
	} else {
		w.s.note(v.Seq, offset, v.Timestamp)
		w.s.end = v.Seq + 1
	}
	if m, ok := v.Mark(); ok {
		w.s.addMarks([]message.Mark{m})
	}
	if name, ok := v.OnlyFor(); ok {
		w.s.only = appendOnly(w.s.only, v.Seq, name)
	}
	if len(w.buf) < carryBuffer {
		return nil
	}
	return w.flush()
}

func (w *carrier) flush() error {
	n := int64(len(w.buf))
	if w.s.size+n > maxCarry || !w.l.Hold(n) {
		return errNotNow
	}
	if w.l.shared.memory {
		w.held += n
	}
	_, err := w.f.WriteAt(w.buf, w.s.size)
	w.s.size += n
	w.buf = w.buf[:0]
	return err
}

// maxCarry bounds a carry segment, so that offsets fit in 32 bits.
const maxCarry = 2 << 30
