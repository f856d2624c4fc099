package diskqueue

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"qmq/internal/seqset"
	"qmq/message"
)

// inspection is what Open gathers about a log.
type inspection struct {
	l       *Log
	rec     *Recovery
	files   []*candidate    // with the name of a segment, ascending
	indexes []uint64        // bases of the index files there are, ascending
	served  segmentList     // what the log is made of, ascending
	proven  []indexed       // what index files say was there
	copies  map[string]bool // files with copies of damaged bytes
	// repairs are what Open changes of the files, in this order, and Check does not.
	repairs []func() error
}

// later adds a repair that cannot fail, or says itself that it did.
func (o *inspection) later(repair func()) {
	o.repairs = append(o.repairs, func() error { repair(); return nil })
}

// candidate is a file with the name of a segment.
type candidate struct {
	base uint64 // in the name
	path string
	size int64

	// segment is what the file is, by its header; nil if it is none of this log.
	segment *segment
	flaw    error // of the header, or why it is no segment
	content bool  // something stands in it that may be records
	served  bool
	indexed bool // its index tells all that is in it
	carried bool // a carry segment stands for it
	beyond  bool // it starts where the log does not go on to any more

	unreadable []damage // what the medium does not give now
	cut        bool     // it does not give what is behind the last record
	medium     error    // why
}

// indexed says that numbers were in a segment, by its index, or by what stands
// there.
type indexed struct {
	seqset.Range
	path string
}

// inspect finds out what the directory holds, and what is to be repaired. It
// changes nothing.
func (o *inspection) inspect() error {
	l := o.l
	entries, err := l.shared.fs.ReadDir(l.o.Dir)
	l.dirMade.Store(err == nil)
	if err != nil && !isNotExist(err) {
		return err
	}
	for _, e := range entries {
		if base, ok := parseName(e.Name(), indexSuffix); ok {
			o.indexes = append(o.indexes, base)
		}
		if strings.HasSuffix(e.Name(), damagedSuffix) {
			o.copies[filepath.Join(l.o.Dir, e.Name())] = true
		}
		if strings.HasSuffix(e.Name(), carrySuffix) { // what it was to replace is there
			o.repairs = append(o.repairs, func() error { return l.shared.fs.Remove(filepath.Join(l.o.Dir, e.Name())) })
		}
		base, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		c := &candidate{base: base, path: filepath.Join(l.o.Dir, e.Name())}
		c.beyond = l.o.End > 0 && base >= l.o.End
		if !c.beyond {
			l.next = max(l.next, base+1) // also above what is left alone
		}
		if err := o.identify(c); err != nil {
			return err
		}
		o.files = append(o.files, c)
	}
	if err := o.recoverSegments(); err != nil {
		return err
	}
	o.readOrphans()
	lost := o.missing()
	o.reportMissing(lost)
	o.judgeUnserved(lost)
	return nil
}

// end is where the log ends at most.
func (o *inspection) end() uint64 { return cmp.Or(o.l.o.End, math.MaxUint64) }

// recoverSegments finds out what the segments hold, those under their own name
// first.
func (o *inspection) recoverSegments() error {
	var own, astray []*candidate
	for _, c := range o.files {
		switch {
		case c.segment == nil || c.beyond:
		case c.segment.base == c.base:
			own = append(own, c)
		default:
			if c.segment.base < o.end() {
				o.l.next = max(o.l.next, c.segment.base+1)
			}
			astray = append(astray, c)
		}
	}
	own = withoutCarried(own)
	for i, c := range own {
		bound := o.end()
		if i+1 < len(own) {
			bound = min(bound, own[i+1].base)
		}
		if err := o.recover(c, bound); err != nil {
			return err
		}
		if c.segment != nil && c.cut {
			o.takeUnread(c, own[i+1:])
		}
		o.serve(c)
	}
	slices.SortStableFunc(astray, func(a, b *candidate) int { return cmp.Compare(a.segment.base, b.segment.base) })
	for _, c := range astray {
		if err := o.recoverAstray(c); err != nil {
			return err
		}
	}
	return nil
}

// withoutCarried leaves out the segments that a carry segment stands for: what
// was owed of them is in it, and they were about to be removed.
func withoutCarried(own []*candidate) (left []*candidate) {
	end := uint64(0)
	for _, c := range own {
		if c.carried = c.base < end; c.carried {
			continue
		}
		if c.segment.carried {
			end = c.segment.end
		}
		left = append(left, c)
	}
	return left
}

// takeUnread takes what the medium does not give at the end of a segment for
// the records that are known to have been there: it may be read later.
func (o *inspection) takeUnread(c *candidate, behind []*candidate) {
	end := o.l.o.KnownEnd
	if len(behind) > 0 {
		next := behind[0].segment
		if end = min(end, next.base); next.prevKnown {
			end = min(next.prevEnd, next.base)
		}
	}
	s := c.segment
	if end <= s.end {
		return
	}
	c.unreadable = append(c.unreadable, damage{from: s.end, to: end, offset: s.size, resume: c.size})
	s.end, s.size, s.times = end, c.size, times{}
}

// recoverAstray serves a segment that stands under the name of another, if it
// is in nobody's way.
func (o *inspection) recoverAstray(c *candidate) error {
	bound := o.end()
	for _, s := range o.served {
		if s.base > c.segment.base {
			bound = s.base
			break
		}
	}
	if err := o.recover(c, bound); err != nil {
		return err
	}
	s := c.segment
	if s == nil {
		return nil
	}
	c.flaw, c.content = fmt.Errorf("its header says that it starts with message %d", s.base), true
	taken := slices.ContainsFunc(o.served, func(x *segment) bool { return x.base <= s.base && s.base < x.end })
	if taken || s.end == s.base || o.givenUp(s) {
		c.segment = nil
		return nil
	}
	named := slices.ContainsFunc(o.files, func(x *candidate) bool { return x.base == s.base })
	if named || o.promised(s.numbers()).Len() > 0 {
		o.serve(c)
		o.find(Finding{Kind: Misplaced, Path: s.path, Range: s.numbers(), Err: c.flaw})
		return nil
	}
	// A loss of power took the new name of a recycled file, but not the header.
	o.later(func() {
		path := segmentPath(o.l.o.Dir, s.base)
		if err := o.l.shared.fs.Rename(c.path, path); err != nil {
			o.l.o.Logger.Warn("recycled segment not renamed", "path", c.path, "error", err)
			return // it is served all the same
		}
		s.path = path
		o.l.writeHead(s)
	})
	o.serve(c)
	return nil
}

// givenUp says that a file is what was left of a segment's former life.
func (o *inspection) givenUp(s *segment) bool {
	if c := &o.l.o; c.Known && c.Start == 0 { // and not all that was given up is known
		return len(o.served) > 0 && s.base < o.served[0].base || seqset.Meets(c.GivenUp, s.numbers())
	}
	return seqset.Meets(o.l.o.GivenUp, s.numbers())
}

// serve adds a segment with records to the log, unless they were given up: then
// only the end of its files was undone by a loss of power.
func (o *inspection) serve(c *candidate) {
	s, l := c.segment, o.l
	if s == nil || s.end == s.base || len(seqset.Difference([]seqset.Range{s.numbers()}, l.o.GivenUp)) == 0 {
		return
	}
	c.served = true
	i, _ := slices.BinarySearchFunc(o.served, s.base, func(x *segment, base uint64) int { return cmp.Compare(x.base, base) })
	o.served = slices.Insert(o.served, i, s)
	switch {
	case c.flaw == nil || c.base != s.base:
	case o.promised(s.numbers()).Len() > 0:
		o.find(Finding{Kind: HeaderDamaged, Path: s.path, Range: s.numbers(), Err: c.flaw})
	default: // it was never synced
		o.later(func() { l.writeHead(s) })
	}
	o.reportDamaged(c)
	o.reportUnreadable(c)
}

// recover finds out what a segment holds, from its index or by a scan.
func (o *inspection) recover(c *candidate, bound uint64) error {
	s := c.segment
	s.recovered, s.rolled = true, true
	idx, err := o.l.readIndex(s)
	if err == nil && s.carried && (idx.end != s.end || c.size < idx.size) {
		err = errBadIndex // a scan finds what is there
	}
	if err == nil && idx.salt == s.salt && idx.end <= bound {
		o.proven = append(o.proven, indexed{seqset.Range{From: s.base, To: idx.end}, s.path})
		s.end, s.size, s.index, s.runs, s.damaged = idx.end, idx.size, idx.index, idx.runs, idx.damaged
		s.times, s.listsOnDisk = idx.times, len(idx.marks)+len(idx.only) > 0
		c.indexed = true
		s.syncedSize, s.syncedEnd, s.indexed, s.nameDurable = s.size, s.end, true, true
		if c.size < s.size {
			return o.cutShort(c)
		}
		return nil
	}
	f, err := o.open(s.path)
	if err != nil {
		c.segment = nil // nothing tells what is in it
		return o.identifyUnread(c, err)
	}
	defer f.Close()
	found, err := scanFile(f, s, bound)
	if err != nil {
		return err
	}
	c.unreadable, c.cut, c.medium = found.unreadable, found.cut, found.medium
	s.end, s.size, s.index, s.runs, s.damaged = found.end, found.size, found.index, found.runs, found.damaged
	s.addMarks(found.marks)
	if s.only = found.only; len(found.unreadable) == 0 { // which may be read later
		s.times = found.times
	}
	c.content = found.torn > 0
	if found.bad > 0 && o.l.o.SameBoot && !s.recycled {
		o.proven = append(o.proven, indexed{seqset.Range{From: s.base, To: found.bad}, s.path})
	}
	o.rec.TornBytes += found.torn
	if found.torn > 0 {
		o.l.o.Logger.Warn("torn end of a segment does not count", "path", s.path, "offset", s.size, "bytes", found.torn)
	}
	return nil
}

// cutShort notes what is missing from a segment that is shorter than its index
// says.
func (o *inspection) cutShort(c *candidate) error {
	s := c.segment
	f, err := o.open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	medium := &around{f: f}
	sc := scanner{f: medium, salt: s.salt, limit: c.size}
	seq, off := s.base, s.start
	for _, e := range s.index {
		if int64(e.offset) < c.size {
			seq, off = s.base+uint64(e.rel), int64(e.offset)
		}
	}
	for {
		rec, err := sc.record(off)
		if err != nil {
			return err
		}
		if rec == nil || message.SeqOf(rec) != seq {
			break
		}
		seq, off = seq+1, off+int64(len(rec))
	}
	if seq >= s.end || medium.err != nil { // which reading finds out
		return nil
	}
	s.damaged = append(s.damaged, damage{from: seq, to: s.end, offset: off, resume: s.size})
	lost := Finding{Kind: Missing, Path: s.path, Range: seqset.Range{From: seq, To: s.end},
		Err: fmt.Errorf("its index says that it has %d bytes, and it has %d", s.size, c.size)}
	for _, r := range seqset.Difference([]seqset.Range{lost.Range}, o.l.o.GivenUp) {
		lost.Lost += r.Len()
	}
	if lost.Lost > 0 {
		o.findAndKeep(lost, s, off, c.size)
	}
	return nil
}
