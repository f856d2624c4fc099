package diskqueue

import (
	"errors"
	"path/filepath"
	"slices"

	"qmq/internal/seqset"
	"qmq/message"
)

// Where there is no room for all that is owed of a large segment, its end is
// carried alone, and then cut off, which makes room for more: the carry segment
// of [x, end) gets its name, x, that name is synced, and only then the file is
// cut where the record x starts. Whatever stops in between, numbers at or above
// the base of the next segment do not count, so what is left of the old end is
// nobody's.

// Tail is the end of a segment.
type Tail struct {
	From  uint64 // its first number
	Bytes int64  // that it takes in the segment
	Owed  int64  // and that the records of it that are owed take
}

// FindTail finds the longest end of the full segment that holds exactly these
// numbers of which no more than max bytes are owed. ok is false when there is
// none that can be carried alone: it is a carry segment, or not synced, say.
func (l *Log) FindTail(numbers seqset.Range, owed []seqset.Range, max int64) (t Tail, ok bool, err error) {
	list := l.tailStretches(numbers)
	r := l.NewReader()
	defer r.Release()
	var sum Tail
	for i := len(list) - 1; i > 0; i-- {
		st := list[i]
		for len(owed) > 0 && owed[len(owed)-1].From >= st.numbers.To {
			owed = owed[:len(owed)-1]
		}
		for k := len(owed) - 1; k >= 0 && owed[k].To > st.numbers.From; k-- {
			n, err := l.Measure([]seqset.Range{owed[k].Overlap(st.numbers)})
			if err != nil {
				return t, false, err
			}
			sum.Owed += n
		}
		if sum.Owed > max {
			break
		}
		sum.From, sum.Bytes = st.numbers.From, sum.Bytes+st.bytes
		if startsMessage(r, sum.From) {
			t, ok = sum, true
		}
	}
	return t, ok, nil
}

// tailStretches lists the parts of a segment whose end can be carried alone.
func (l *Log) tailStretches(numbers seqset.Range) []stretch {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.list().of(numbers.From)
	if s == nil || s.numbers() != numbers || !l.divisible(s) {
		return nil
	}
	return slices.Collect(s.stretches())
}

// divisible says that the end of a segment can be carried alone. That of one
// that is not synced cannot: it must not be lost before what is behind it. The
// caller holds l.mu.
func (l *Log) divisible(s *segment) bool {
	return !s.carried && l.full(s) && !s.syncing && !s.unsyncable && s.nameDurable && s.syncedSize == s.size
}

// startsMessage says that a segment may be cut before seq: a scan drops an MPUB
// that it does not find the end of.
func startsMessage(r *Reader, seq uint64) bool {
	v, err := r.Read(seq)
	return err == nil && (v.Flags&message.FlagBatch == 0 || v.Flags&message.FlagBatchFirst != 0)
}

// CarryTail is Carry for the end of a segment, as FindTail found it: what is
// before it stays as it is.
func (l *Log) CarryTail(numbers seqset.Range, t Tail, keep []seqset.Range, giveUp func(gaps []seqset.Range) error) error {
	old, err := l.carriable([]seqset.Range{numbers})
	if err != nil {
		return err
	}
	lists, err := l.listsOf(old[0])
	if err != nil {
		return err
	}
	left := l.before(old[0], t.From, lists)
	if left == nil {
		return errNotNow
	}
	header := segmentHeader{base: t.From, prevEnd: t.From, prevKnown: true, end: numbers.To}
	c, err := l.carryOver(old, left, header, keep, giveUp)
	if err == nil {
		l.cutOffCarried(old[0], left, c)
	}
	return err
}

// before is what is left of a segment whose end, from seq on, goes; nil when it
// cannot be cut there.
func (l *Log) before(s *segment, seq uint64, lists sidelists) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(s.index, func(e indexEntry) bool { return s.base+uint64(e.rel) == seq })
	_, damaged := s.damageAt(seq)
	if i <= 0 || damaged || !l.divisible(s) {
		return nil
	}
	left := &segment{
		layout: layout{base: s.base, start: s.start, end: seq, size: int64(s.index[i].offset), index: slices.Clone(s.index[:i]), times: s.upTo(i)},
		salt:   s.salt, prevEnd: s.prevEnd, prevKnown: s.prevKnown, recycled: s.recycled, path: s.path,
		failures: slices.Clone(s.failures), recovered: s.recovered, rolled: true, nameDurable: true,
	}
	left.syncedSize, left.syncedEnd = left.size, left.end
	// Until the carry segment has its name for good, an index must not say that
	// this is all.
	left.indexed = true
	for _, o := range lists.only {
		if o.Seq < seq {
			left.only = append(left.only, o)
		}
	}
	for _, page := range lists.marks {
		for _, d := range page {
			if d.Seq < seq {
				left.addMarks([]message.Mark{d})
			}
		}
	}
	for _, d := range s.damaged {
		if d.from < seq {
			left.damaged = append(left.damaged, d)
		}
	}
	left.fix()
	return left
}

// cutOffCarried cuts off what a carry segment stands for, once its name is durable.
func (l *Log) cutOffCarried(old, left, c *segment) {
	l.shared.chunks.forget(l, old.numbers())
	l.Release(old.records() - left.records())
	fs := l.shared.fs
	if err := errors.Join(fs.SyncDir(l.o.Dir), fs.SyncDir(filepath.Dir(l.o.Dir))); err != nil {
		l.mu.Lock()
		left.unsyncable = true // it is not divided again
		l.mu.Unlock()
		l.o.Logger.Warn("segment is not cut where another stands for its end", "path", left.path, "error", err)
		return
	}
	l.truncate(left)
	l.writeIndexOf(left)
	if err := fs.Remove(c.indexPath()); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("segment index not removed", "path", c.indexPath(), "error", err)
	}
	l.writeIndexOf(c)
}

// cutBehind cuts off what a carry segment stands for where the process ended
// before that was done.
func (o *inspection) cutBehind() {
	l := o.l
	for i, c := range o.served {
		if i == 0 || !c.carried || !c.prevKnown || c.held() != c.count || len(c.damaged) > 0 {
			continue
		}
		s := o.served[i-1]
		longer := slices.ContainsFunc(o.files, func(f *candidate) bool { return f.segment == s && f.size > s.size && f.medium == nil })
		if s.carried || s.end != c.base || c.prevEnd != c.base || !longer {
			continue
		}
		if err := errors.Join(l.shared.fs.SyncDir(l.o.Dir), l.shared.fs.SyncDir(filepath.Dir(l.o.Dir))); err != nil {
			l.o.Logger.Warn("segment is not cut where another stands for its end", "path", s.path, "error", err)
			return
		}
		l.truncate(s)
	}
}
