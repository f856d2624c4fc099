package diskqueue

import (
	"fmt"

	"qmq/internal/seqset"
)

// Open opens the log in o.Dir, which need not exist. Segments that were not
// closed properly are scanned. What does not verify and was never promised, as
// the torn end of a write or an MPUB of which a part is missing, does not
// count; damaged records become void, with a copy of their bytes kept beside
// the segment. Nothing that may hold a message is removed, cut or renamed, but
// where a whole carry segment stands for it. No
// error but that of the file system stops it. The log goes on in a new segment.
func Open(shared *Shared, o Options) (*Log, Recovery, error) {
	o.SegmentBytes = min(o.SegmentBytes, 2<<30) // offsets take 32 bits
	l := &Log{shared: shared, o: o}
	l.hot = hotTail{maxMessages: o.HotMessages, budget: shared.hot}
	shared.hot.join(&l.hot)
	var rec Recovery
	unread, err := l.recoverAll(&rec)
	if err != nil {
		l.Discard()
		return nil, rec, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	end := uint64(0)
	for _, s := range l.list() {
		if s.base > end {
			l.voids = append(l.voids, seqset.Range{From: end, To: s.base})
		}
		for _, d := range s.damaged {
			l.voids = append(l.voids, d.numbers())
		}
		l.voids = append(l.voids, s.gapsOf()...)
		end = s.end
	}
	l.sumUp()
	l.written = max(l.written, end, o.KnownEnd)
	seen := max(l.written, l.next)
	if l.next = seen; o.Next != nil {
		l.next = o.Next(seen)
	}
	if l.next < seen {
		l.Discard()
		return nil, rec, fmt.Errorf("open log %s: it would go on at %d, numbers below %d were given out", o.Dir, l.next, seen)
	}
	rec.Unread = len(unread) > 0
	if l.next > end {
		l.voids = append(l.voids, seqset.Range{From: end, To: l.next})
	}
	if low := max(l.written, o.Start); o.Known && low > 0 {
		skipped := []seqset.Range{{From: low, To: l.next}}
		rec.Skipped = append(rec.Skipped, seqset.Difference(skipped, unread)...)
	}
	rec.Skipped = seqset.Union(rec.Skipped)
	return l, rec, nil
}

// recoverAll finds out what the directory holds, and repairs it. It returns the
// numbers that may be in what cannot be read now.
func (l *Log) recoverAll(rec *Recovery) (unread []seqset.Range, err error) {
	o := &inspection{l: l, rec: rec, copies: make(map[string]bool)}
	if err := o.inspect(); err != nil {
		return nil, err
	}
	for _, repair := range o.repairs {
		if err := repair(); err != nil {
			return nil, err
		}
	}
	for _, s := range o.served {
		s.fix() // nobody else knows of it yet
	}
	l.setList(o.served)
	o.cutBehind()
	return o.unread(), o.cutAtEnd()
}

// cutAtEnd cuts off what is above the end that the caller knows of. What stood
// there must not come back with a loss of power, once other files have its
// numbers. A file there that is not known to be this log's is kept under another
// name.
func (o *inspection) cutAtEnd() error {
	l, removed := o.l, false
	for _, c := range o.files {
		switch {
		case c.beyond:
			index := (&segment{layout: layout{base: c.base}, path: c.path}).indexPath()
			for _, path := range []string{index, c.path} {
				if err := l.putAway(path, c); err != nil && !isNotExist(err) {
					return err
				}
			}
			removed = true
		case l.o.End > 0 && c.served && c.segment.end == l.o.End && c.size > c.segment.size:
			l.truncate(c.segment)
		}
	}
	if !removed {
		return nil
	}
	return l.shared.fs.SyncDir(l.o.Dir)
}

// putAway removes a file of c, if it is the log's or nothing stands in it. Any
// other gets a name under which nobody looks for segments.
func (l *Log) putAway(path string, c *candidate) error {
	if c.segment != nil || !c.content {
		return l.shared.fs.Remove(path)
	}
	kept := fmt.Sprintf("%s.%d.kept", path, l.o.Now())
	err := l.shared.fs.Rename(path, kept)
	if err == nil {
		l.o.Logger.Warn("a file that is not known to be the log's is kept", "path", kept, "error", c.flaw)
	}
	return err
}
