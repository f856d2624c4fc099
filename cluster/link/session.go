package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// session is a pair of connections to a peer, from when both are there until one is
// lost.
type session struct {
	links  *Links
	peer   *peer
	number uint64
	hello  Hello // the peer's
	said   Hello // this member's
	lanes  [lanes]*lane
	calls  calls

	end   sync.Once
	why   error         // set by end
	ended chan struct{} // closed by end
	gone  chan struct{} // closed when its last goroutine has ended

	heard atomic.Int64 // nanoseconds from links.began: when a frame of the control lane came last
	rtt   atomic.Int64 // nanoseconds, of the last ping
	skew  atomic.Int64 // nanoseconds that the peer's clock is ahead
	told  bool         // that the clocks differ; the control reader's
}

func newSession(links *Links, p *peer, control, bulk *conn) *session {
	s := &session{
		links: links, peer: p, number: control.peer.Session, hello: control.peer.Hello, said: control.own.Hello,
		ended: make(chan struct{}), gone: make(chan struct{}),
	}
	s.calls.init(s)
	for kind, c := range []*conn{control, bulk} {
		limit, buffer := links.o.ControlBytes, 8<<10
		if Lane(kind) == Bulk {
			limit, buffer = links.o.BulkBytes, 64<<10
		}
		c.in.most, c.in.least = links.o.MaxFrame+kindBytes, buffer
		c.in.r, c.in.spares = &patientConn{Conn: c.Conn, timeout: links.o.Alive}, &links.spares
		s.lanes[kind] = &lane{conn: c, out: newOutbox(limit, c.out.overhead()), kind: Lane(kind)}
	}
	s.skew.Store(int64(control.skew))
	s.hears()
	return s
}

// run is the session's life. It returns when its last goroutine has ended: nothing of
// it comes to a handler from then on.
func (s *session) run() {
	defer close(s.gone)
	select {
	case <-s.ended: // another one has taken its place before it began
		s.peer.left(s)
		return
	default:
	}
	s.links.up(s)
	if s.isStale() {
		s.finish(errStale)
	} else {
		s.work()
	}
	s.calls.wait()
	s.links.down(s)
}

// work reads and writes until the session ends.
func (s *session) work() {
	s.tellSkew()
	var working sync.WaitGroup
	for _, l := range s.lanes {
		working.Go(func() { s.finish(l.writeAll(s.ended, s.links.o.Alive/4, func() { s.ping(l) })) })
		working.Go(func() { s.finish(s.readAll(l)) })
	}
	working.Wait()
}

// errStale is why a session ends that isStale.
var errStale = errors.New("what this node has said of itself is no longer so")

// isStale says that this member is another one by now than it said, so that what is sent to
// it would not arrive, or that the set uses features of which neither side has told the other.
func (s *session) isStale() bool {
	own := s.links.o.Hello()
	return own.Member != s.said.Member || own.Epoch != s.said.Epoch || own.Active > max(s.said.Active, s.hello.Active)
}

// finish ends the session, for the first reason that there is.
func (s *session) finish(err error) {
	s.end.Do(func() {
		s.why = err
		close(s.ended)
		for _, l := range s.lanes {
			l.out.close()
			l.Close()
		}
		s.calls.fail()
	})
}

// readAll gives frames to their handlers until the connection fails.
func (s *session) readAll(l *lane) error {
	for {
		kind, body, err := l.in.next()
		if err != nil {
			return reason(err, l.kind)
		}
		if l.kind == Control {
			s.hears()
		}
		if err := s.handle(l, kind, body); err != nil {
			return err
		}
	}
}

// hears notes that the peer is heard.
func (s *session) hears() { s.heard.Store(int64(time.Since(s.links.began))) }

// reason says in words why a connection was lost.
func reason(err error, kind Lane) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing came of it (%s)", kind)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("it has closed the connection (%s)", kind)
	}
	return fmt.Errorf("%s: %w", kind, err)
}

var errKind = fmt.Errorf("%w that this version knows", ErrFrame)

func (s *session) handle(l *lane, kind byte, body []byte) error {
	switch {
	case kind >= FirstKind:
		if h := s.links.handlers[kind]; h != nil {
			if s.links.kept[kind] && len(body) >= KeptBytes {
				body = l.in.keep(body)
			}
			h(s.hello.Member, body)
			return nil
		}
		return fmt.Errorf("%w: kind %d", errKind, kind)
	case kind == kindPing && len(body) == 2*8:
		l.in.shrink()
		now := binary.LittleEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
		l.out.put(l.out.limit, kindPong, body[:8], now)
	case kind == kindPong && len(body) == 2*8:
		if l.kind == Control {
			s.measure(body)
		}
	case kind == kindCall:
		return s.calls.serve(body)
	case kind == kindAnswer:
		return s.calls.answer(l.in.own(body))
	default:
		return fmt.Errorf("%w: kind %d of %d bytes", errKind, kind, len(body))
	}
	return nil
}

// ping asks the peer for a sign of life, which is one itself.
func (s *session) ping(l *lane) {
	now := time.Now()
	l.out.put(l.out.limit, kindPing, appendTimes(now.Sub(s.links.began), now.UnixNano()))
}

// appendTimes is the body of pings and pongs.
func appendTimes(steady time.Duration, wall int64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(steady)), uint64(wall))
}

// measure takes up what an answer to a ping says of the way there and of the clock.
func (s *session) measure(pong []byte) {
	now := time.Now()
	sent := s.links.began.Add(time.Duration(binary.LittleEndian.Uint64(pong)))
	rtt := now.Sub(sent)
	if rtt < 0 || rtt > s.links.o.Alive {
		return // it is not of a ping of ours
	}
	s.rtt.Store(int64(rtt))
	wall := time.Unix(0, int64(binary.LittleEndian.Uint64(pong[8:])))
	middle := now.Add(-rtt / 2).Round(0)
	s.skew.Store(int64(toward0(wall.Sub(middle), rtt/2)))
	s.tellSkew()
}

// tellSkew logs when clocks begin to differ, and when they no longer do.
func (s *session) tellSkew() {
	skew := time.Duration(s.skew.Load())
	switch ahead := skew.Abs(); {
	case !s.told && ahead > warnSkew:
		s.told = true
		s.links.o.Logger.Warn("the clock of a member differs: set the clocks, delays are kept to within this", s.attributes(slog.Duration("ahead", skew.Round(time.Millisecond)))...)
	case s.told && ahead < calmSkew:
		s.told = false
		s.links.o.Logger.Info("the clock of a member is right again", s.attributes()...)
	}
}

func (s *session) attributes(more ...any) []any {
	return append([]any{slog.String("address", s.peer.address), slog.String("member", ID(s.hello.Member))}, more...)
}
