package diskqueue

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
)

// CheckOptions say whose log Check looks at.
type CheckOptions struct {
	Dir         string
	Incarnation uint64 // of the topic
	// End is where the log ends, as Options.End: what is at or above it does not count,
	// whatever it is. 0: it ends where its records do.
	End      uint64
	Expected // what the caller knows of the log
}

// Checked is what Check found.
type Checked struct {
	// Findings is what is amiss: what Open would report, and what only reading
	// everything shows.
	Findings []Finding
	Segments int
	Records  uint64         // that are good
	Good     []seqset.Range // their numbers, ascending and disjoint
	Bytes    int64          // of the segments that count
	// TornBytes stand behind the ends of segments: writes that were cut short,
	// in which nothing was that was promised.
	TornBytes  int64
	Start, End uint64 // the first number, and one past the last; 0 of an empty log
}

// Check looks at a log that nobody has open, and changes nothing. It reads every
// record, also of segments whose index says that they are good, and holds what
// it finds to what the format promises:
//
//   - each record verifies, and has the number that it ought to have;
//   - the segments are apart from one another, and agree on which numbers lie
//     between them;
//   - an MPUB is there as a whole;
//   - an index says of its segment what is in it, and one that Open cannot use is
//     no more than torn;
//   - a carry segment holds as many records as its header says;
//   - what Expected says ought to be there is there.
//
// A directory that does not exist is an empty log. The error is that of the file
// system, which kept Check from looking. What it takes is time, about 50 ns a
// record, and a MiB of memory.
func Check(fs vfs.FS, o CheckOptions) (Checked, error) {
	k := &checker{inspection: inspectionOf(fs, o)}
	if err := k.inspect(); err != nil {
		return Checked{}, fmt.Errorf("check log %s: %w", o.Dir, err)
	}
	if err := k.check(); err != nil {
		return Checked{}, fmt.Errorf("check log %s: %w", o.Dir, err)
	}
	k.out.Findings, k.out.TornBytes = k.rec.Findings, k.rec.TornBytes
	return k.out, nil
}

// inspectionOf is an inspection that changes nothing and logs nothing.
func inspectionOf(fs vfs.FS, o CheckOptions) *inspection {
	quiet := slog.New(slog.DiscardHandler)
	l := &Log{
		shared: &Shared{fs: vfs.ReadOnly(fs), logger: quiet},
		o:      Options{Dir: o.Dir, Incarnation: o.Incarnation, End: o.End, Expected: o.Expected, Logger: quiet},
	}
	return &inspection{l: l, rec: new(Recovery), copies: make(map[string]bool)}
}

// checker is an inspection that reads everything.
type checker struct {
	*inspection
	out Checked
}

func (k *checker) check() error {
	var before *segment
	for _, s := range k.served {
		i := slices.IndexFunc(k.files, func(c *candidate) bool { return c.segment == s })
		if err := k.checkSegment(k.files[i]); err != nil {
			return err
		}
		if before != nil {
			k.checkNeighbours(before, s)
		}
		before = s
		k.count(s)
	}
	return k.checkIndexes()
}

// count adds a segment to the sums.
func (k *checker) count(s *segment) {
	k.out.Segments++
	k.out.Bytes += s.size
	if k.out.Start == 0 {
		k.out.Start = s.base
	}
	k.out.End = s.end
	bad := s.gapsOf()
	for _, d := range s.damaged {
		bad = append(bad, d.numbers())
	}
	good := seqset.Difference([]seqset.Range{s.numbers()}, seqset.Union(bad))
	for _, r := range good {
		k.out.Records += r.Len()
	}
	k.out.Good = append(k.out.Good, good...)
}

// checkNeighbours checks what a segment says of the numbers before it.
func (k *checker) checkNeighbours(before, s *segment) {
	switch {
	case before.end > s.base:
		k.inconsistent(s, seqset.Range{From: s.base, To: before.end}, fmt.Errorf("%s has the same numbers", before.path))
	case s.prevKnown && s.prevEnd < before.end:
		k.inconsistent(s, seqset.Range{From: s.prevEnd, To: before.end},
			fmt.Errorf("its header says that the record before it is %d, and %s has more", s.prevEnd-1, before.path))
	}
}

func (k *checker) inconsistent(s *segment, r seqset.Range, err error) {
	k.find(Finding{Kind: Inconsistent, Path: s.path, Range: r, Err: err})
}

// checkSegment reads all of a segment. What was not indexed was read by the
// inspection, and checkIndexes looks why.
func (k *checker) checkSegment(c *candidate) error {
	s := c.segment
	if s.carried && s.held() < s.count && len(s.damaged) == 0 {
		k.inconsistent(s, s.numbers(), fmt.Errorf("it holds %d records, its header says %d", s.held(), s.count))
	}
	if !c.indexed {
		return nil
	}
	f, err := k.open(s.path)
	if ofMedium(err) {
		k.find(Finding{Kind: Unreadable, Path: s.path, Range: s.numbers(), Err: bare(err)})
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// Numbers above the end that the index tells do not count.
	multi := new(multiCheck)
	found, err := (&scanPass{checked: multi}).run(f, s, s.end)
	if err != nil {
		return err
	}
	if k.checkRecords(s, &found); len(found.damaged) == 0 && found.end >= s.end { // nothing of an MPUB is passed over
		multi.end()
	}
	for _, r := range multi.broken {
		k.inconsistent(s, r, errors.New("an MPUB is not there as a whole"))
	}
	return k.checkIndex(s, &found, f)
}

// multiCheck looks whether each MPUB of a segment that is whole is whole too.
type multiCheck struct {
	open    seqset.Range   // what was seen of the MPUB that is not complete yet
	unknown bool           // its start may be damaged
	broken  []seqset.Range // MPUBs that are not whole
}

func (m *multiCheck) take(v message.View) {
	one := seqset.Range{From: v.Seq, To: v.Seq + 1}
	switch part := v.Flags & (message.FlagBatch | message.FlagBatchFirst); {
	case part == 0:
		m.end()
	case part&message.FlagBatchFirst != 0:
		m.end()
		m.open = one
	case m.open.Len() > 0:
		m.open.To = one.To
	case !m.unknown:
		m.broken = append(m.broken, one)
	}
	if v.Flags&message.FlagBatchLast != 0 {
		m.open, m.unknown = seqset.Range{}, false
	}
}

// end says that no other record of the MPUB comes that is open.
func (m *multiCheck) end() {
	if m.open.Len() > 0 {
		m.broken = append(m.broken, m.open)
	}
	m.open, m.unknown = seqset.Range{}, false
}

// afterDamage says that records are passed over, which may be of an MPUB.
func (m *multiCheck) afterDamage() { m.open, m.unknown = seqset.Range{}, true }

// checkRecords finds the records that are not good, though the index of their
// segment says that they are.
func (k *checker) checkRecords(s *segment, found *scanned) {
	var known, bad, unread []seqset.Range
	for _, d := range s.damaged {
		known = append(known, d.numbers())
	}
	for _, d := range found.damaged {
		bad = append(bad, d.numbers())
	}
	for _, d := range found.unreadable {
		unread = append(unread, d.numbers())
	}
	if behind := (seqset.Range{From: found.end, To: s.end}); found.cut {
		unread = append(unread, behind)
	} else {
		bad = append(bad, behind)
	}
	for _, r := range seqset.Difference(seqset.Union(unread), known) {
		k.find(Finding{Kind: Unreadable, Path: s.path, Range: r, Err: found.medium})
	}
	for _, r := range seqset.Difference(seqset.Union(bad), known) {
		s.damaged = append(s.damaged, damage{from: r.From, to: r.To, offset: s.start, resume: s.size})
		lost := uint64(0)
		for _, r := range seqset.Difference([]seqset.Range{r}, k.l.o.GivenUp) {
			lost += r.Len()
		}
		k.find(Finding{Kind: Damaged, Path: s.path, Range: r, Lost: lost, Err: errBadRecords})
	}
}

// checkIndex holds an index to the records of its segment.
func (k *checker) checkIndex(s *segment, found *scanned, f io.ReaderAt) error {
	idx, err := k.l.readIndex(s)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) {
		k.find(Finding{Kind: Inconsistent, Path: s.indexPath(), Range: s.numbers(), Err: fmt.Errorf(format, args...)})
	}
	switch {
	case len(s.damaged) > 0: // of which the index tells too
	case found.size != idx.size:
		wrong("it says that the records end at offset %d, they do at %d", idx.size, found.size)
	case !slices.Equal(idx.marks, found.marks):
		wrong("it lists %d deferred messages, there are %d", len(idx.marks), len(found.marks))
	case !slices.Equal(idx.runs, found.runs):
		wrong("it lists %d runs of records, there are %d", len(idx.runs), len(found.runs))
	case !slices.Equal(idx.only, found.only) && idx.newest != 0:
		wrong("it lists %d messages for one channel, there are %d", len(idx.only), len(found.only))
	case idx.newest != 0 && idx.earlier(&found.times):
		wrong("it says that messages were published earlier than they were")
	}
	return k.checkEntries(s, idx.index, f, wrong)
}

// checkEntries checks that a record starts where an index says so.
func (k *checker) checkEntries(s *segment, entries []indexEntry, f io.ReaderAt, wrong func(string, ...any)) error {
	sc := scanner{f: &around{f: f}, salt: s.salt, limit: s.size}
	for _, e := range entries {
		rec, err := sc.record(int64(e.offset))
		if err != nil {
			return err
		}
		seq := s.base + uint64(e.rel)
		if _, damaged := s.damageAt(seq); !damaged && (rec == nil || message.SeqOf(rec) != seq) {
			wrong("it says that record %d starts at offset %d", seq, e.offset)
		}
	}
	return nil
}
