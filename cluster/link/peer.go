package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

var (
	errStopping = errors.New("this node stops")
	errRemoved  = errors.New("it is no member any more")
	errReplaced = errors.New("it has connected again")
)

// The pause before an address is dialled again doubles from firstPause to maxPause,
// and begins anew after a session that lasted for stable.
const (
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
	stable     = time.Second
)

// peer is an address at which another member is.
type peer struct {
	links   *Links
	address string
	ctx     context.Context // done when it is no peer any more
	stop    context.CancelFunc

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	closed  error      // why it is no peer any more
	session *session   // the newest; nil: none since the last one ended
	half    *half      // of which only the control connection is there
	hello   Hello      // the last one
	failure string     // why there is no session
	refused bool       // with failure: one side does not want the other
	reports reporter
}

// half is a session of which the control connection has come.
type half struct {
	number uint64
	bulk   chan *conn
}

func newPeer(l *Links, address string) *peer {
	p := &peer{links: l, address: address}
	p.ctx, p.stop = context.WithCancel(l.ctx)
	return p
}

// close ends what there is; nothing begins any more.
func (p *peer) close(why error) {
	p.stop()
	p.mu.Lock()
	p.closed = why
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.finish(why)
	}
}

func (p *peer) state() Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := Peer{Address: p.address, Hello: p.hello, Failure: p.failure, Refused: p.refused}
	if s := p.session; s != nil {
		state.Up, state.Failure, state.Refused = true, "", false
		state.RTT, state.Skew = time.Duration(s.rtt.Load()), time.Duration(s.skew.Load())
	}
	return state
}

// dialOn dials until this is no peer any more.
func (p *peer) dialOn() {
	for failures := 0; p.ctx.Err() == nil; {
		failures++
		if s, err := p.dialSession(); err != nil {
			p.failed(err)
		} else {
			began := time.Now()
			p.run(s)
			if time.Since(began) >= stable {
				failures = 0
			}
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(pause(failures)):
		}
	}
}

// pause is how long to wait after so many failures. It varies, so that not all come
// back at the same moment.
func pause(failures int) time.Duration {
	limit := firstPause << min(max(failures-1, 0), 5)
	limit = min(limit, maxPause)
	return limit/2 + rand.N(limit/2)
}

// dialSession makes both connections.
func (p *peer) dialSession() (*session, error) {
	number := rand.Uint64()
	control, err := p.dial(Control, number)
	if err != nil {
		return nil, err
	}
	bulk, err := p.dial(Bulk, number)
	if err == nil && bulk.peer.Member != control.peer.Member {
		bulk.Close()
		err = errGreeting
	}
	if err != nil {
		control.Close()
		return nil, err
	}
	return newSession(p.links, p, control, bulk), nil
}

// dial makes one of the connections.
func (p *peer) dial(kind Lane, number uint64) (_ *conn, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, handshakeTime)
	defer cancel()
	raw, err := p.links.o.Dial(ctx, p.address)
	if err != nil {
		return nil, dialFailure(err)
	}
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	unwatch := context.AfterFunc(ctx, func() { raw.Close() })
	defer unwatch()
	secured, err := p.secure(ctx, raw)
	if err != nil {
		return nil, err
	}
	c, cred := newConn(secured, raw), p.links.credentials()
	own, key, err := greet(p.links.o.Hello(), kind, number, p.address, cred.auth)
	if err != nil {
		return nil, err
	}
	if err := c.dial(own, key, cred, p.links.judge(p.address)); err != nil {
		if ctx.Err() != nil && !isRefusal(err) {
			err = errNoAnswer
		}
		return nil, err
	}
	return c, nil
}

// secure is a connection with TLS, if there is to be.
func (p *peer) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if p.links.o.Client == nil {
		return raw, nil
	}
	config, err := p.links.o.Client(p.address)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

var errNoAnswer = fmt.Errorf("there was no answer within %s", handshakeTime)

// dialFailure leaves out what the line says anyway.
func dialFailure(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errNoAnswer
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// run makes s the session of the peer, in place of the one before, until it ends.
func (p *peer) run(s *session) {
	p.mu.Lock()
	before, closed := p.session, p.closed
	if closed == nil {
		p.session, p.hello, p.failure, p.refused = s, s.hello, "", false
		p.reports.clear()
	}
	p.mu.Unlock()
	if closed != nil {
		s.finish(closed)
		return
	}
	if before != nil {
		before.finish(errReplaced)
		<-before.gone
	}
	s.run()
}

// left notes the end of a session.
func (p *peer) left(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == s {
		p.session, p.failure, p.refused = nil, s.why.Error(), isRefusal(s.why)
	}
}

// failed notes why there is no session, and tells it when that is a refusal, or stays so.
func (p *peer) failed(err error) {
	if p.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	p.failure, p.refused = err.Error(), isRefusal(err)
	tell := p.reports.due(p.failure, p.refused)
	p.mu.Unlock()
	if tell {
		p.links.o.Logger.Warn("no connection to a member", slog.String("address", p.address), slog.Any("error", err))
	}
}

// reporter decides which failures are told: a new one, and the same again after a
// while, but not many at once. That nobody is there is told once it has been so for a
// moment: members of a set do not start all at once, and each is started anew at times.
type reporter struct {
	last  string
	at    time.Time // when the last was told
	began time.Time // when the first of these failures was; zero: there was none
}

const (
	reportAfter = 5 * time.Second
	reportAgain = time.Minute
	reportPause = time.Second
)

func (r *reporter) due(text string, refused bool) bool {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	if !refused && time.Since(r.began) < reportAfter {
		return false
	}
	since := time.Since(r.at)
	if since < reportPause || text == r.last && since < reportAgain {
		return false
	}
	r.last, r.at = text, time.Now()
	return true
}

func (r *reporter) clear() { *r = reporter{} }
