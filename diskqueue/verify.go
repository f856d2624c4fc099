package diskqueue

import (
	"errors"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
)

// verifyStretch is how much Verify reads at a time.
const verifyStretch = 256 << 10

// Verifiable is a segment that Verify can be called with.
type Verifiable struct {
	Numbers seqset.Range
	Bytes   int64
	// Read says that a part of it was read lately: it is in memory.
	Read bool
}

// Verifiable lists the segments that nothing is appended to and that are on the disk.
func (l *Log) Verifiable() (list []Verifiable) {
	l.mu.Lock()
	for _, s := range l.list() {
		if l.full(s) && s.syncedSize >= s.size {
			list = append(list, Verifiable{Numbers: s.numbers(), Bytes: s.size})
		}
	}
	l.mu.Unlock()
	cc := &l.shared.chunks
	cc.mu.Lock()
	defer cc.mu.Unlock()
	for i := range list {
		for _, e := range l.cached {
			list[i].Read = list[i].Read || e.c.first < list[i].Numbers.To && e.c.end() > list[i].Numbers.From
		}
	}
	return list
}

// Verify reads the segment with these numbers, or a part of it, from the disk, whatever is
// in memory, and verifies each record. What it finds damaged is noted, and told to
// Options.Found, as if somebody had read it; lost is how many messages that are. Where it
// was known before it is passed over, and so is what the medium does not give now, unread:
// that may pass, or become damage, when Verify is called with it again before
// Options.ReadTimeout is over. pace is called before each stretch with how long it is, and
// behind a record that is longer with the rest; it ends Verify with its error; the log must not wait for it. Any other error is of the file
// system. It may run beside everything else.
func (l *Log) Verify(numbers seqset.Range, pace func(bytes int) error) (lost uint64, unread []seqset.Range, err error) {
	r := l.NewReader() // of gaps alone
	var on sealedPlace
	for seq := numbers.From; seq < numbers.To; {
		s, p, err := l.find(seq)
		if err != nil {
			if seq, err = r.behindGap(seq, err); err != nil {
				return lost, unread, err
			}
			continue
		}
		if on.s == s && on.seq == seq && on.offset > p.offset {
			p.seq, p.offset = on.seq, on.offset // nothing has to be read twice
		}
		from, stretch := p.offset, min(verifyStretch, p.limit-p.offset)
		if err := pace(int(stretch)); err != nil {
			return lost, unread, err
		}
		behind, err := l.verify(s, &p, seq)
		var damaged *DamageError
		var later *UnreadableError
		switch {
		case errors.As(err, &damaged):
			lost += damaged.To - damaged.From
			seq = damaged.To
		case err != nil && l.left(s):
			return lost, unread, nil // its place is taken, or it is gone
		case errors.As(err, &later):
			unread = append(unread, seqset.Range{From: seq, To: max(seq+1, min(later.To, numbers.To))})
			seq = unread[len(unread)-1].To
		case err != nil:
			return lost, unread, err
		default:
			seq, on = behind, sealedPlace{s, p.seq, p.offset}
			if longer := p.offset - from - stretch; longer > 0 {
				if err := pace(int(longer)); err != nil {
					return lost, unread, err
				}
			}
		}
	}
	return lost, unread, nil
}

// verify reads a stretch at p, which holds seq if that can be read, and moves p behind it.
func (l *Log) verify(s *segment, p *place, seq uint64) (behind uint64, err error) {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return 0, l.unopened(s, err)
	}
	defer l.shared.files.release(h)
	from := p.offset
	vfs.DropCached(h.File, from, from+verifyStretch)
	c, _, err := fillChunk(&around{f: h}, s.salt, *p, verifyStretch)
	if err == nil && seq < c.end() {
		p.seq, p.offset = c.end(), p.offset+int64(len(c.buf))
		vfs.DropCached(h.File, from, p.offset)
		c.release()
		return p.seq, nil
	}
	if err == nil {
		c.release()
	}
	v, err := l.readAround(&around{f: h}, s, *p, seq, minStretch, l.rewinds.Load())
	if err != nil {
		return 0, err
	}
	defer v.c.release() // it can be read after all
	return seq + 1, nil
}

// Lacks says that the log knows that it has no good record of a number on the disk.
func (l *Log) Lacks(seq uint64) bool {
	_, _, err := l.find(seq)
	return err != nil
}
