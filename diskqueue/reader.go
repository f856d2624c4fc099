package diskqueue

import (
	"errors"
	"fmt"
	"io"

	"qmq/message"
)

// Reader reads messages of a log by sequence number. Reading upwards is what
// it is fast at. A Reader belongs to one goroutine; it holds no memory after
// Release.
type Reader struct {
	l    *Log
	view chunkView
	// rewinds is what l.rewinds was before view was taken.
	rewinds uint64
	// next is where the stretch that was last read from disk ended: reading
	// goes on there in larger steps.
	next   uint64
	sealed sealedPlace
}

const (
	// minStretch is read for a lone message, maxStretch for a reader that
	// goes upwards.
	minStretch = 16 << 10
	maxStretch = 256 << 10
)

// NewReader returns a reader of l.
func (l *Log) NewReader() *Reader { return &Reader{l: l} }

// Read returns the message with sequence number seq. The view is valid until
// the next Read or Release. A *DamageError names records that are lost for
// good, an *UnreadableError some that cannot be read now: what is behind them
// can. ErrNotFound is returned for a number that is not in the log; any other
// error is of the file system and may pass.
func (r *Reader) Read(seq uint64) (message.View, error) {
	if r.inView(seq) { // nearly always: asking ReadCached would copy the view once more
		return message.Decode(r.view.record(seq)), nil
	}
	if m, ok := r.ReadCached(seq); ok {
		return m, nil
	}
	stretch := minStretch
	if seq == r.next {
		stretch = maxStretch
	}
	v, err := r.l.load(seq, stretch)
	if err != nil {
		return message.View{}, err
	}
	return r.look(v, seq), nil
}

// ReadCached is Read for a message that is in memory; ok is false when it is
// not, or not known to be.
func (r *Reader) ReadCached(seq uint64) (m message.View, ok bool) {
	if r.inView(seq) {
		return message.Decode(r.view.record(seq)), true
	}
	r.Release()
	r.rewinds = r.l.rewinds.Load()
	if v, ok := r.l.hot.get(seq); ok {
		r.view = v
		return message.Decode(v.record(seq)), true
	}
	if v, ok := r.l.shared.chunks.get(r.l, seq); ok {
		return r.look(v, seq), true
	}
	return message.View{}, false
}

// inView says that seq is in the stretch that was read last, and still counts.
func (r *Reader) inView(seq uint64) bool {
	return r.view.holds(seq) && r.rewinds == r.l.rewinds.Load()
}

// look makes v, which was read from disk, the view and returns seq from it.
func (r *Reader) look(v chunkView, seq uint64) message.View {
	r.view = v
	r.next = v.first + uint64(len(v.offs))
	return message.Decode(v.record(seq))
}

// Release gives up the memory that the last view is in.
func (r *Reader) Release() {
	if r.view.c != nil {
		r.view.c.release()
		r.view = chunkView{}
	}
}

// load is a read from disk under way.
type load struct {
	segment *segment
	offset  int64
	done    chan struct{}
	err     error
}

// load reads a stretch of records, beginning at or before seq, into the cache.
func (l *Log) load(seq uint64, stretch int) (chunkView, error) {
	for {
		rewinds := l.rewinds.Load()
		s, start, err := l.find(seq)
		if err != nil {
			return chunkView{}, err
		}
		ld, mine := l.join(s, start.offset)
		if !mine {
			<-ld.done
			if v, ok := l.shared.chunks.get(l, seq); ok {
				return v, nil
			}
			if ld.err != nil && !ofOther(ld.err, seq) && !l.left(s) {
				return chunkView{}, ld.err
			}
			continue
		}
		// Another load may have ended since the cache was asked.
		v, ok := l.shared.chunks.get(l, seq)
		if !ok {
			v, err = l.readStretch(s, start, seq, stretch, rewinds)
		}
		l.leave(ld, err)
		if err != nil && l.left(s) {
			continue // its place is taken, or it is gone
		}
		return v, err
	}
}

// left says that a segment is not part of the log any more.
func (l *Log) left(s *segment) bool { return !l.list().has(s) }

// ofOther says that an error of reading another message than seq says nothing
// of seq. What is damaged for good is noted by then.
func ofOther(err error, seq uint64) bool {
	var damaged *DamageError
	var unreadable *UnreadableError
	return errors.As(err, &damaged) || errors.As(err, &unreadable) && !unreadable.Holds(seq)
}

// place is a known start of a record.
type place struct {
	seq    uint64
	offset int64
	limit  int64 // where to stop: at known damage or the end of what is committed
	end    uint64
}

// find finds the segment with seq and says where to start reading. It takes no
// lock but where seq is in the segment that is appended to.
func (l *Log) find(seq uint64) (*segment, place, error) {
	s := l.list().of(seq)
	if s == nil {
		return nil, place{}, fmt.Errorf("message %d: %w", seq, ErrNotFound)
	}
	at := s.fixed.Load()
	if at == nil {
		now := l.layoutOf(s)
		at = &now
	}
	if d, ok := at.damageAt(seq); ok {
		return nil, place{}, &DamageError{Path: s.path, From: d.from, To: d.to}
	}
	if seq >= at.end || !at.holds(seq) {
		return nil, place{}, fmt.Errorf("message %d: %w", seq, ErrNotFound)
	}
	return s, at.locate(seq), nil
}

// join finds a load of the same place, or registers one as the caller's.
func (l *Log) join(s *segment, offset int64) (ld *load, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ld := range l.loads {
		if ld.segment == s && ld.offset == offset {
			return ld, false
		}
	}
	ld = &load{segment: s, offset: offset, done: make(chan struct{})}
	l.loads = append(l.loads, ld)
	return ld, true
}

func (l *Log) leave(ld *load, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, x := range l.loads {
		if x == ld {
			last := len(l.loads) - 1
			l.loads[i] = l.loads[last]
			l.loads[last] = nil
			l.loads = l.loads[:last]
			break
		}
	}
	ld.err = err
	close(ld.done)
}

// readStretch reads records from p on into a chunk that holds seq, and puts it
// into the cache. Every record in it is verified.
func (l *Log) readStretch(s *segment, p place, seq uint64, stretch int, rewinds uint64) (chunkView, error) {
	h, err := l.shared.files.acquire(s)
	if err != nil {
		return chunkView{}, l.unopened(s, err)
	}
	defer l.shared.files.release(h)
	c, _, err := fillChunk(h, s.salt, p, stretch)
	if err == nil && seq < c.end() {
		return l.shared.chunks.put(l, c, rewinds), nil
	}
	if err == nil {
		p.seq, p.offset = c.end(), p.offset+int64(len(c.buf))
		c.release()
	}
	return l.readAround(&around{f: h}, s, p, seq, stretch, rewinds)
}

// readAround is readStretch where something may be damaged or fail to be read.
func (l *Log) readAround(f *around, s *segment, p place, seq uint64, stretch int, rewinds uint64) (chunkView, error) {
	for {
		c, stop, err := fillChunk(f, s.salt, p, stretch)
		if err != nil {
			return chunkView{}, fmt.Errorf("read %s: %w", s.path, bare(err))
		}
		if seq < c.end() {
			return l.shared.chunks.put(l, c, rewinds), nil
		}
		p.seq, p.offset = c.end(), p.offset+int64(len(c.buf))
		c.release()
		if stop == stopBad {
			d, err := l.foundDamage(f, s, p)
			var unreadable *UnreadableError
			switch {
			case errors.As(err, &unreadable) && !unreadable.Holds(seq):
			case err != nil:
				return chunkView{}, err
			case seq < d.to:
				return chunkView{}, &DamageError{Path: s.path, From: d.from, To: d.to}
			}
			p.seq, p.offset = d.to, d.resume
		}
	}
}

// stop says why a chunk ended where it did.
type stop int

const (
	stopFull stop = iota
	stopBad       // the next record is not a good one
)

// fillChunk reads up to stretch bytes of records, at least one record.
func fillChunk(f io.ReaderAt, salt uint32, p place, stretch int) (*chunk, stop, error) {
	n := int(max(0, min(int64(stretch), p.limit-p.offset)))
	c := newChunk(n)
	c.first = p.seq
	for {
		c.buf = c.buf[:n]
		got, err := readFull(f, c.buf, p.offset)
		if err != nil && !isEnd(err) {
			c.release()
			return nil, 0, err
		}
		c.buf = c.buf[:got]
		used, err := verifyRecords(c, salt)
		size, known := message.Size(c.buf[used:])
		c.buf = c.buf[:used]
		if used > 0 && !errors.Is(err, message.ErrCorrupt) {
			return c, stopFull, nil
		}
		// The first record may be longer than the stretch.
		if !errors.Is(err, message.ErrShort) || !known || int64(size) > p.limit-p.offset || size <= n {
			return c, stopBad, nil
		}
		c.release()
		n = size
		c = newChunk(n)
		c.first = p.seq
	}
}

// verifyRecords notes where the good records in c.buf start, from the front up
// to the first that is cut short or bad, and returns how many bytes they take.
func verifyRecords(c *chunk, salt uint32) (used int, err error) {
	for used < len(c.buf) {
		n, err := message.Verify(c.buf[used:], salt)
		if err != nil {
			return used, err
		}
		if message.SeqOf(c.buf[used:]) != c.first+uint64(len(c.offs)) {
			return used, message.ErrCorrupt
		}
		c.offs = append(c.offs, uint32(used))
		used += n
	}
	return used, nil
}

// foundDamage notes the damage that starts at p. Where it is the medium that
// fails it returns an *UnreadableError beside the stretch, until that has gone
// on for too long.
func (l *Log) foundDamage(f *around, s *segment, p place) (damage, error) {
	sc := scanner{f: f, salt: s.salt, limit: p.limit}
	at, seq, found, err := sc.next(p.offset+1, p.seq+1, p.end)
	if err != nil {
		return damage{}, fmt.Errorf("read %s: %w", s.path, bare(err))
	}
	if !found {
		at, seq = p.limit, p.end
	}
	d := damage{from: p.seq, to: seq, offset: p.offset, resume: at}
	why := errBadRecords
	if f.failed(d.offset, d.resume) {
		why = bare(f.err)
		if !l.givesUp(s, d.from, found || f.whole) {
			return d, &UnreadableError{Path: s.path, From: d.from, To: d.to, Err: why}
		}
	}
	return l.lose(s, d, f, why)
}
