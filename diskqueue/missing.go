package diskqueue

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"qmq/internal/seqset"
)

// promised is the part of a range whose loss is damage: without the part that a
// loss of power may have taken.
func (o *inspection) promised(r seqset.Range) seqset.Range {
	if c := &o.l.o; c.Known && !c.SameBoot {
		proven := slices.ContainsFunc(o.proven, func(x indexed) bool { return x.Range.Overlap(r).Len() > 0 })
		if !proven {
			r.To = max(r.From, min(r.To, c.KnownEnd))
		}
	}
	return r
}

// readOrphans reads the index files whose segments are not there.
func (o *inspection) readOrphans() {
	l := o.l
	for _, base := range o.indexes {
		if slices.ContainsFunc(o.files, func(c *candidate) bool { return c.segment != nil && c.segment.base == base }) {
			continue
		}
		if base >= o.end() {
			continue
		}
		s := &segment{layout: layout{base: base}, path: segmentPath(l.o.Dir, base)}
		idx, err := l.readIndex(s)
		if err != nil {
			l.o.Logger.Warn("index without a segment cannot be used", "path", s.indexPath(), "error", err)
			continue
		}
		idx.end = min(idx.end, o.end())
		l.next = max(l.next, idx.end)
		// Who does not know what was given up cannot tell what is left of it; but
		// of a segment's files the index goes first.
		there := slices.ContainsFunc(o.files, func(c *candidate) bool { return c.base == base })
		if l.o.Start > 0 || !l.o.Known && (there || len(o.served) > 0 && base > o.served[0].base) {
			o.proven = append(o.proven, indexed{seqset.Range{From: base, To: idx.end}, s.indexPath()})
		}
	}
}

// missing lists the numbers that were given to records, are in no segment, and
// were not given up. Those of them that a loss of power may have taken are left
// out, and noted.
func (o *inspection) missing() []seqset.Range {
	c := &o.l.o
	var was, there []seqset.Range
	for _, p := range o.proven {
		was = append(was, p.Range)
		o.l.written = max(o.l.written, p.To)
	}
	low := c.Start
	switch {
	case low > 0:
	case len(o.served) > 0: // what was given up is below them
		low = o.served[0].base
	default:
		low = c.KnownEnd
	}
	was = append(was, seqset.Range{From: low, To: c.KnownEnd})
	end := low
	for _, s := range o.served {
		there = append(there, s.numbers())
		end = s.end
	}
	there = append(there, c.GivenUp...)
	gaps := o.gaps(there)
	lost := seqset.Difference(was, append(gaps, there...))
	if c.Known {
		there = slices.Concat(there, lost, o.unread())
		taken := seqset.Difference([]seqset.Range{{From: low, To: end}}, there)
		o.rec.Skipped = append(o.rec.Skipped, taken...)
	}
	return lost
}

// unread lists the numbers that may be in what cannot be read now: a later start
// may read it, or a newer program.
func (o *inspection) unread() (list []seqset.Range) {
	for i, c := range o.files {
		r := seqset.Range{From: c.base, To: math.MaxUint64}
		if i+1 < len(o.files) {
			r.To = o.files[i+1].base
		}
		switch {
		case c.segment == nil && ofMedium(c.flaw):
			r.To = math.MaxUint64 // a loss of power may have given a recycled file its former name back
		case c.segment == nil && errors.Is(c.flaw, errNewerSegment):
		case c.segment != nil && c.cut:
			r.From = c.segment.end
		default:
			continue
		}
		list = append(list, r)
	}
	return list
}

// gaps lists the numbers that were never given to records: those before a
// segment that it says so of, or that nothing speaks for if it does not know. A
// later start may not learn them again: the segment's file may go by then, or be
// where the medium does not give it.
func (o *inspection) gaps(there []seqset.Range) (all []seqset.Range) {
	for _, p := range o.proven {
		there = append(there, p.Range)
	}
	there = seqset.Union(there)
	for _, c := range o.files {
		s := c.segment
		if s == nil {
			continue
		}
		if !s.prevKnown {
			s.prevEnd = o.spokenFor(s, there)
		}
		all = append(all, seqset.Range{From: s.prevEnd, To: s.base})
	}
	return all
}

// spokenFor is one past the last number before a segment that something speaks
// for: a list of ranges, and the journal, where it was told of all that is in none
// of them. It was not of what segments of the first version left out.
func (o *inspection) spokenFor(s *segment, there []seqset.Range) (end uint64) {
	for _, r := range there {
		if r.From < s.base {
			end = r.To
		}
	}
	if c := &o.l.o; c.Known && c.Start > 0 && s.start != segmentHeadV1 {
		end = max(end, c.KnownEnd)
	}
	return min(end, s.base)
}

// reportDamaged reports the damaged stretches of a segment. Those that its
// index knew were reported by the start that found them; they are again while
// the copy of their bytes is there, and always where other nodes have the records.
func (o *inspection) reportDamaged(c *candidate) {
	s := c.segment
	for _, d := range s.damaged {
		if s.indexed && d.resume > c.size {
			continue // cutShort reports it
		}
		lost := o.promised(d.numbers())
		f := Finding{Kind: Damaged, Path: s.path, Range: d.numbers(), Err: errBadRecords}
		for _, r := range seqset.Difference([]seqset.Range{lost}, o.l.o.GivenUp) {
			f.Lost += r.Len()
		}
		if !s.indexed {
			o.rec.Skipped = append(o.rec.Skipped, seqset.Range{From: lost.To, To: d.to})
		}
		if s.carried { // in which most numbers may be gaps
			f.Lost = min(f.Lost, uint64(s.count-s.held()))
		}
		switch {
		case f.Lost == 0:
			o.rec.TornBytes += d.resume - d.offset
			continue
		case s.indexed && o.copies[copyName(s.path, d.offset)]:
			f.Copy = copyName(s.path, d.offset)
		case s.indexed && o.l.o.End > 0: // others may have it
		case s.indexed:
			continue
		default:
			o.findAndKeep(f, s, d.offset, d.resume)
			continue
		}
		o.find(f)
	}
}

// reportUnreadable reports what the medium does not give. It is not lost yet:
// reading it is tried again for a while.
func (o *inspection) reportUnreadable(c *candidate) {
	s := c.segment
	for _, d := range c.unreadable {
		o.find(Finding{Kind: Unreadable, Path: s.path, Range: d.numbers(), Err: c.medium})
	}
	if c.cut && !o.l.o.Known {
		o.find(Finding{Kind: Unreadable, Path: s.path, Range: seqset.Range{From: s.end, To: s.end}, Err: c.medium})
	}
	if c.cut || len(c.unreadable) > 0 {
		s.indexed = true // what was not read cannot be in an index
	}
}

func (o *inspection) find(f Finding) { o.rec.Findings = append(o.rec.Findings, f) }

// findAndKeep is find for a finding of which the bytes between two offsets of a
// segment are kept.
func (o *inspection) findAndKeep(f Finding, s *segment, from, to int64) {
	i := len(o.rec.Findings)
	o.find(f)
	o.later(func() { o.rec.Findings[i].Copy = o.l.keep(s.path, from, to, nil) })
}

// reportMissing reports missing numbers, each run under the file that had it.
func (o *inspection) reportMissing(lost []seqset.Range) {
	for _, r := range lost {
		for r.From < r.To {
			f := Finding{Kind: Missing, Range: seqset.Range{From: r.From, To: o.nextFile(r)}}
			f.Lost = f.Range.Len()
			o.attribute(f)
			r.From = f.Range.To
		}
	}
}

// nextFile is where within r the numbers of another file may start.
func (o *inspection) nextFile(r seqset.Range) uint64 {
	next := r.To
	for _, c := range o.files {
		if c.base > r.From {
			next = min(next, c.base)
		}
	}
	for _, p := range o.proven {
		if p.From > r.From {
			next = min(next, p.From)
		}
	}
	return next
}

// attribute finds missing numbers, with the name of the file that they were in,
// and keeps what stands there now.
func (o *inspection) attribute(f Finding) {
	f.Path, f.Err = o.l.o.Dir, errors.New("no file holds them")
	var last *candidate
	for _, c := range o.files {
		if c.base <= f.Range.From {
			last = c
		}
	}
	for _, p := range o.proven {
		if p.From <= f.Range.From && f.Range.From < p.To && (last == nil || last.base < p.From) {
			f.Path, f.Err = p.path, errors.New("the segment is gone, its index is not")
			o.find(f)
			return
		}
	}
	switch {
	case last == nil:
	case !last.served:
		f.Path, f.Err = last.path, cmp.Or(last.medium, last.flaw, errors.New("no good record is in it"))
		if last.size > 0 {
			f.Copy = last.path // where it stays
		}
	case last.segment.base == last.base && last.segment.end == f.Range.From && !last.indexed:
		s := last.segment
		f.Path, f.Err = s.path, fmt.Errorf("its last good record is %d, and ends at offset %d of %d", s.end-1, s.size, last.size)
		s.indexed = true // by an index a later start would not see where it ended
		if last.cut || ofMedium(last.flaw) {
			f.Kind = Unreadable
		}
		if last.cut {
			f.Err = last.medium
		}
		o.findAndKeep(f, s, s.size, last.size)
		return
	}
	if last != nil && (last.cut || ofMedium(last.flaw)) && f.Path == last.path {
		f.Kind = Unreadable
	}
	o.find(f)
}

// judgeUnserved decides what becomes of the files that are not served.
func (o *inspection) judgeUnserved(lost []seqset.Range) {
	for i, c := range o.files {
		to := ^uint64(0)
		if i+1 < len(o.files) {
			to = o.files[i+1].base
		}
		switch {
		case c.beyond: // cutAtEnd sees to it
		case c.carried:
			o.remove(c)
		case c.served || seqset.Meets(lost, seqset.Range{From: c.base, To: to}):
		case o.empty(c):
			o.remove(c)
		case c.segment != nil && c.segment.end > c.base: // given up
			o.later(func() {
				o.l.o.Logger.Info("segment that was given up is there again, and removed", "path", c.path)
			})
			o.remove(c)
		case c.cut || ofMedium(c.flaw): // who knows what is in it
			o.find(Finding{Kind: Unreadable, Path: c.path, Range: seqset.Range{From: c.base, To: c.base}, Err: cmp.Or(c.medium, c.flaw)})
		case o.l.o.Known:
			o.l.o.Logger.Warn("segment file left alone, nothing is missing", "path", c.path, "error", c.flaw)
		default:
			o.find(Finding{Kind: Foreign, Path: c.path, Range: seqset.Range{From: c.base, To: c.base}, Err: cmp.Or(c.flaw, errors.New("no good record in it"))})
		}
	}
}

// empty says that a file cannot hold a record that was promised.
func (o *inspection) empty(c *candidate) bool {
	if c.cut {
		return false
	}
	if c.segment != nil && c.segment.base == c.base && c.segment.end == c.base {
		return !c.content || o.l.o.Known
	}
	return c.segment == nil && !c.content
}

// remove removes a file with the name of a segment, and its index, later.
func (o *inspection) remove(c *candidate) {
	o.later(func() {
		s := &segment{layout: layout{base: c.base}, path: c.path}
		for _, path := range []string{s.indexPath(), c.path} {
			if err := o.l.shared.fs.Remove(path); err != nil && !isNotExist(err) {
				o.l.o.Logger.Warn("file not removed", "path", path, "error", err)
			}
		}
	})
}
