package diskqueue

import (
	"io"
	"math"
	"slices"

	"qmq/internal/vfs"
	"qmq/message"
)

// scanned is what a scan of a segment found.
type scanned struct {
	end   uint64 // one past the last record that counts
	size  int64  // where that record ends
	index []indexEntry
	runs  []run // of a carry segment, in the place of index
	times
	marks   []message.Mark
	only    []message.Only
	damaged []damage
	// unreadable is the damage that the medium may still give.
	unreadable []damage
	torn       int64 // bytes behind size that look like the start of more
	// bad is one past a record that is there as a whole, and not good: the end of
	// a process cuts off the end of a write, and leaves what is before it whole.
	bad    uint64
	cut    bool  // the medium does not give what is behind size
	medium error // why
}

// scanner reads a segment file record by record.
type scanner struct {
	f     io.ReaderAt
	salt  uint32
	limit int64 // bytes of the file that may be looked at

	buf   []byte // a window on the file
	start int64  // offset of buf[0]

	wasted int64 // bytes looked at for records that were none
	gaps   bool  // numbers may be left out, as in a carry segment
}

const scanWindow = 1 << 20

// bytes returns n bytes at off, fewer at the limit.
func (sc *scanner) bytes(off int64, n int) ([]byte, error) {
	if n = int(min(int64(n), sc.limit-off)); n <= 0 {
		return nil, nil
	}
	if off >= sc.start && off+int64(n) <= sc.start+int64(len(sc.buf)) {
		return sc.buf[off-sc.start:][:n], nil
	}
	want := int(min(int64(max(n, scanWindow)), sc.limit-off))
	if cap(sc.buf) < want {
		sc.buf = make([]byte, want)
	}
	sc.buf, sc.start = sc.buf[:want], off
	got, err := readFull(sc.f, sc.buf, off)
	sc.buf = sc.buf[:got]
	if err != nil && !isEnd(err) {
		sc.buf = sc.buf[:0]
		return nil, err
	}
	return sc.buf[:min(n, got)], nil
}

// record returns the record at off if it is a good one, and nil if not.
func (sc *scanner) record(off int64) ([]byte, error) {
	head, err := sc.bytes(off, message.HeaderSize)
	if err != nil || len(head) < message.HeaderSize {
		return nil, err
	}
	n, ok := message.Size(head)
	if !ok || int64(n) > sc.limit-off {
		return nil, nil
	}
	rec, err := sc.bytes(off, n)
	if err != nil {
		return nil, err
	}
	if _, err := message.Verify(rec, sc.salt); err != nil {
		return nil, nil
	}
	return rec, nil
}

// Bodies may be full of what looks like the start of a long record. Once many
// bytes were looked at in vain, next passes over records that seem long.
const (
	maxWasted  = 256 << 20
	longRecord = 16 << 10
)

// worthALook says whether buf, which is what stands at off, may start with a
// good record, of n bytes.
func (sc *scanner) worthALook(buf []byte, off int64, low, high uint64) (n int64, ok bool) {
	seq := message.SeqOf(buf)
	if seq < low || seq >= high {
		return 0, false
	}
	size, ok := message.Size(buf)
	n = int64(size)
	return n, ok && n <= sc.limit-off && (sc.wasted < maxWasted || n < longRecord)
}

// next searches from off on for a good record with low ≤ seq < high.
func (sc *scanner) next(off int64, low, high uint64) (at int64, seq uint64, found bool, err error) {
	// A record takes at least a header, which bounds the numbers to expect.
	if !sc.gaps {
		high = min(high, low+uint64((sc.limit-off)/message.HeaderSize)+1)
	}
	for off+message.HeaderSize <= sc.limit {
		win, err := sc.bytes(off, int(min(scanWindow, sc.limit-off)))
		if err != nil {
			return 0, 0, false, err
		}
		if len(win) < message.HeaderSize {
			break
		}
		base := off
		last := len(win) - message.HeaderSize
		for i := 0; i <= last; i++ {
			n, ok := sc.worthALook(win[i:], base+int64(i), low, high)
			if !ok {
				continue
			}
			rec, err := sc.record(base + int64(i))
			if err != nil {
				return 0, 0, false, err
			}
			if rec != nil {
				return base + int64(i), message.SeqOf(rec), true, nil
			}
			sc.wasted += n
			// The look at a long candidate may have moved the window.
			if win, err = sc.bytes(base, len(win)); err != nil {
				return 0, 0, false, err
			}
		}
		off = base + int64(last) + 1
	}
	return 0, 0, false, nil
}

// scan is scanFile for a segment of the log.
func (l *Log) scan(s *segment, bound uint64) (scanned, error) {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return scanned{}, err
	}
	defer l.shared.files.release(h)
	return scanFile(h, s, bound)
}

// scanFile reads all of a segment. Only numbers below bound count: from there
// on they are the next segment's.
func scanFile(f vfs.File, s *segment, bound uint64) (scanned, error) {
	return new(scanPass).run(f, s, bound)
}

func (p *scanPass) run(f vfs.File, s *segment, bound uint64) (scanned, error) {
	limit, err := f.Size()
	if err != nil {
		return scanned{}, err
	}
	if s.carried {
		return scanCarry(f, s, limit)
	}
	medium := &around{f: f}
	p.sc = scanner{f: medium, salt: s.salt, limit: min(limit, math.MaxUint32)}
	p.base, p.bound = s.base, bound
	p.out.end, p.out.size = s.base, s.start
	for {
		more, err := p.step()
		if err != nil {
			return scanned{}, err
		}
		if !more {
			p.finish()
			p.out.sort(medium, p.sc.limit)
			return p.out, nil
		}
	}
}

// sort tells what the medium does not give from what is damaged.
func (f *scanned) sort(medium *around, limit int64) {
	for _, d := range f.damaged {
		if medium.failed(d.offset, d.resume) {
			f.unreadable = append(f.unreadable, d)
		}
	}
	f.damaged = slices.DeleteFunc(f.damaged, func(d damage) bool { return medium.failed(d.offset, d.resume) })
	if medium.failed(f.size, limit) {
		f.cut = true
	}
	f.medium = bare(medium.err)
}

// scanPass is the state of one scan.
type scanPass struct {
	sc    scanner
	base  uint64
	bound uint64
	out   scanned
	// checked, if it is there, says that no record counts less for the others of
	// its MPUB: they are only looked at.
	checked *multiCheck

	// open is what was found before the MPUB that is not complete yet.
	open   *scanned
	inLost bool // within the rest of an MPUB whose start was lost
}

// step takes the record at the end of what was found. It returns false when
// there is none and no good one behind it.
func (p *scanPass) step() (bool, error) {
	if p.out.end >= p.bound {
		return false, nil
	}
	rec, err := p.sc.record(p.out.size)
	if err != nil {
		return false, err
	}
	if rec == nil || message.SeqOf(rec) != p.out.end {
		return p.skipDamage()
	}
	p.take(message.Decode(rec), len(rec))
	return true, nil
}

// take adds a good record.
func (p *scanPass) take(v message.View, size int) {
	if p.checked != nil {
		p.checked.take(v)
	} else if !p.takeOfMulti(v, size) {
		return
	}
	n := len(p.out.index)
	due := n == 0 || p.out.size-int64(p.out.index[n-1].offset) >= indexStride
	if due {
		p.out.index = append(p.out.index, indexEntry{rel: uint32(v.Seq - p.base), offset: uint32(p.out.size)})
	}
	p.out.noteTime(due && n > 0, v.Timestamp)
	p.out.list(&v)
	p.out.end++
	p.out.size += int64(size)
	if v.Flags&message.FlagBatchLast != 0 {
		p.open = nil
	}
}

// list lists what a message has that is looked for.
func (f *scanned) list(v *message.View) {
	if m, ok := v.Mark(); ok {
		f.marks = append(f.marks, m)
	}
	if name, ok := v.OnlyFor(); ok {
		f.only = appendOnly(f.only, v.Seq, name)
	}
}

// takeOfMulti notes where an MPUB begins. It returns false for the rest of one
// whose start was lost, which is lost too.
func (p *scanPass) takeOfMulti(v message.View, size int) bool {
	if p.inLost {
		if v.Flags&message.FlagBatch != 0 && v.Flags&message.FlagBatchFirst == 0 {
			p.loseOne(size)
			return false
		}
		p.inLost = false
	}
	if v.Flags&message.FlagBatchFirst != 0 {
		before := p.out
		p.open = &before
	}
	return true
}

// loseOne extends the last damage by a record of an MPUB that lost its start:
// it is delivered whole or not at all.
func (p *scanPass) loseOne(size int) {
	p.out.end++
	p.out.size += int64(size)
	d := &p.out.damaged[len(p.out.damaged)-1]
	d.to, d.resume = p.out.end, p.out.size
}

// skipDamage looks for good records behind a bad one. Without any, the bad one
// is where the segment ends.
func (p *scanPass) skipDamage() (bool, error) {
	at, seq, found, err := p.sc.next(p.out.size+1, p.out.end+1, p.bound)
	if err != nil {
		return false, err
	}
	if !found {
		return false, p.judgeEnd()
	}
	d := damage{from: p.out.end, to: seq, offset: p.out.size, resume: at}
	if p.open != nil {
		d.from, d.offset = p.open.end, p.open.size
		p.out = *p.open
		p.open = nil
	}
	p.out.damaged = append(p.out.damaged, d)
	p.out.end, p.out.size = seq, at
	if p.inLost = true; p.checked != nil {
		p.checked.afterDamage()
	}
	return true, nil
}

// judgeEnd looks at what stands behind the last record.
func (p *scanPass) judgeEnd() error {
	head, err := p.sc.bytes(p.out.size, message.HeaderSize)
	if err != nil {
		return err
	}
	if len(head) == message.HeaderSize && message.SeqOf(head) == p.out.end {
		p.out.torn = p.sc.limit - p.out.size
	}
	if len(head) < 4 { // a length
		return nil
	}
	if n, ok := message.Size(head); !ok || int64(n) <= p.sc.limit-p.out.size {
		p.out.bad = p.out.end + 1
	}
	return nil
}

// finish drops an MPUB of which the end is missing.
func (p *scanPass) finish() {
	if p.open == nil {
		return
	}
	torn := max(p.out.torn, 0) + p.out.size - p.open.size
	bad := p.out.bad
	p.out = *p.open
	p.out.torn, p.out.bad = torn, bad
}
