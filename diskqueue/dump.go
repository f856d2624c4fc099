package diskqueue

import (
	"fmt"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/message"
)

// Dump calls take with every good record of a log that nobody has open whose
// number is in want, in their order, and changes nothing. A view is valid until
// take returns; an error of take ends Dump and is returned as it is.
//
// What is amiss is passed over and found, as Open would find it and Check for the
// records that were read; findings about other numbers are left out. A directory
// that does not exist is an empty log. Any other error is the file system's.
func Dump(fs vfs.FS, o CheckOptions, want seqset.Range, take func(message.View) error) ([]Finding, error) {
	d := &dumper{inspection: inspectionOf(fs, o), want: want, take: take}
	if err := d.inspect(); err != nil {
		return nil, fmt.Errorf("dump log %s: %w", o.Dir, err)
	}
	for _, s := range d.served {
		if err := d.segment(s); err != nil {
			return nil, err
		}
	}
	var concerned []Finding
	for _, f := range d.rec.Findings {
		if f.Range.Len() == 0 || f.Range.Overlap(want).Len() > 0 {
			concerned = append(concerned, f)
		}
	}
	return concerned, nil
}

// dumper is an inspection that hands the records over.
type dumper struct {
	*inspection
	want seqset.Range
	take func(message.View) error
}

// segment hands over the records of a segment.
func (d *dumper) segment(s *segment) error {
	if s.numbers().Overlap(d.want).Len() == 0 {
		return nil
	}
	f, err := d.open(s.path)
	if ofMedium(err) {
		d.find(Finding{Kind: Unreadable, Path: s.path, Range: s.numbers(), Lost: s.numbers().Len(), Err: bare(err)})
		return nil
	}
	if err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	defer f.Close()
	p := &dumpPass{dumper: d, s: s, medium: &around{f: f}, at: s.base, off: s.start}
	p.sc = scanner{f: p.medium, salt: s.salt, limit: s.size, gaps: s.carried}
	p.advance()
	for p.at < min(s.end, d.want.To) && p.off < s.size {
		if err := p.step(); err != nil {
			return err
		}
	}
	if !s.carried && p.at < min(s.end, d.want.To) {
		p.lost(s.end, s.size)
	}
	return nil
}

// dumpPass is where a dump of a segment is.
type dumpPass struct {
	*dumper
	s      *segment
	medium *around
	sc     scanner
	at     uint64 // the next number
	off    int64  // where its record is, if it is good
}

// advance goes to where the index says that records are that are wanted.
func (p *dumpPass) advance() {
	for _, e := range p.s.index {
		if seq := p.s.base + uint64(e.rel); seq <= p.want.From {
			p.at, p.off = seq, int64(e.offset)
		}
	}
}

// step takes the record that is next, or passes over what is none.
func (p *dumpPass) step() error {
	rec, err := p.sc.record(p.off)
	if err != nil {
		return fmt.Errorf("dump %s: %w", p.s.path, err)
	}
	if rec == nil || !p.follows(message.SeqOf(rec)) {
		return p.skip()
	}
	v := message.Decode(rec)
	p.at, p.off = v.Seq+1, p.off+int64(len(rec))
	if _, damaged := p.s.damageAt(v.Seq); damaged || v.Seq < p.want.From || v.Seq >= p.want.To {
		return nil // damaged: it does not count without the rest of its MPUB
	}
	return p.take(v)
}

// follows tells whether a number is one that may come now.
func (p *dumpPass) follows(seq uint64) bool {
	return seq == p.at || p.s.carried && seq > p.at && seq < p.s.end
}

// skip goes on at the next good record.
func (p *dumpPass) skip() error {
	low := p.at + 1
	if p.s.carried {
		low = p.at
	}
	off, seq, found, err := p.sc.next(p.off+1, low, p.s.end)
	if err != nil {
		return fmt.Errorf("dump %s: %w", p.s.path, err)
	}
	if !found {
		off, seq = p.s.size, p.s.end
	}
	p.lost(seq, off)
	return nil
}

// lost passes over what is before a number and an offset, and reports what of it
// is not known to be damaged.
func (p *dumpPass) lost(to uint64, resume int64) {
	finding := Finding{Kind: Damaged, Path: p.s.path, Err: errBadRecords}
	if p.medium.failed(p.off, resume) {
		finding.Kind, finding.Err = Unreadable, bare(p.medium.err)
	}
	var known []seqset.Range
	for _, d := range p.s.damaged {
		known = append(known, d.numbers())
	}
	for _, f := range p.rec.Findings {
		lost := f.Kind == Damaged || f.Kind == Unreadable || f.Kind == Missing
		if lost && f.Path == p.s.path && f.Range.Len() > 0 {
			known = seqset.Insert(known, f.Range)
		}
	}
	for _, r := range seqset.Difference([]seqset.Range{{From: p.at, To: to}}, known) {
		finding.Range, finding.Lost = r, r.Len()
		p.find(finding)
	}
	p.at, p.off = to, resume
}
