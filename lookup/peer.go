package lookup

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	pingInterval = 15 * time.Second
	// The pause before an attempt to connect doubles from the one to the other
	// with each that fails. A connection that lasted for stable is replaced at
	// once.
	firstPause   = 100 * time.Millisecond
	longestPause = 15 * time.Second
	stable       = time.Second
)

// peer keeps one directory informed. Its goroutine connects, says what there
// is, then what changes, and listens in between, so that it notices at once
// when the connection is lost.
type peer struct {
	a       *Announcer
	address string
	stop    context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	tried   chan struct{} // closed when the directory has introduced itself, or failed to, once

	reported string // the failure that was logged last; the goroutine's

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	web     string     // where the directory serves HTTP, as it said last; empty: it did not
	met     bool       // the directory has introduced itself at least once
	nudged  bool       // there may be something to say
	resting net.Conn   // that is listened to while there is nothing to say
}

func newPeer(a *Announcer, address string) *peer {
	ctx, stop := context.WithCancel(context.Background())
	p := &peer{a: a, address: address, stop: stop, done: make(chan struct{}), tried: make(chan struct{})}
	go p.run(ctx)
	return p
}

// close ends the connection and waits for the goroutine.
func (p *peer) close() {
	p.stop()
	<-p.done
}

// directory is where the directory serves HTTP, if it said so, and whether it
// ever said anything.
func (p *peer) directory() (web string, met bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.web, p.met
}

func (p *peer) run(ctx context.Context) {
	defer close(p.done)
	tried := sync.OnceFunc(func() { close(p.tried) })
	defer tried()
	for failures := 0; ; {
		began := time.Now()
		told, err := p.converse(ctx, tried)
		if ctx.Err() != nil {
			return
		}
		tried()
		failures++
		if told && time.Since(began) >= stable {
			failures = 0
		}
		p.report(told, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(failures)):
		}
	}
}

// pause is how long to wait after that many failures in a row. It varies, so
// that not all nodes come back to a directory at the same moment.
func pause(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	longest := longestPause
	if doubled := failures - 1; doubled < 8 {
		longest = min(longest, firstPause<<doubled)
	}
	return longest/2 + rand.N(longest/2)
}

// report logs a lost connection, and of attempts in a row that fail alike only
// the first.
func (p *peer) report(told bool, err error) {
	if told {
		p.reported = ""
		p.a.o.Logger.Warn("lost the lookup directory", slog.String("address", p.address), slog.Any("error", err))
		return
	}
	if text := withoutAddresses(err); text != p.reported {
		p.reported = text
		p.a.o.Logger.Warn("lookup directory cannot be told what is here", slog.String("address", p.address), slog.Any("error", err))
	}
}

// withoutAddresses is the text of an error without the port of this side, which
// is another one with each attempt.
func withoutAddresses(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

// converse is one connection from its beginning to its end. told says that the
// directory was told everything.
func (p *peer) converse(ctx context.Context, met func()) (told bool, err error) {
	conn, err := p.a.dial(ctx, p.address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	unblock := context.AfterFunc(ctx, func() { conn.Close() })
	defer unblock()
	l := newLink(conn)
	web, err := l.identify(p.a.identity)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	p.web, p.met = web, true
	p.mu.Unlock()
	met()

	f, all := p.a.desired.follow(p.wake)
	defer f.stop()
	count := len(all)
	for len(all) > 0 {
		n := min(len(all), maxBatch)
		if err := l.announce(all[:n]); err != nil {
			return false, err
		}
		all = all[n:]
	}
	p.a.o.Logger.Info("lookup directory knows what is here", slog.String("address", p.address), slog.Int("registrations", count))
	return true, p.follow(l, f)
}

// follow tells the directory of changes and that this node lives, until the
// connection is lost.
func (p *peer) follow(l *link, f *follower) error {
	nextPing := time.Now().Add(pingInterval)
	for {
		changes, err := f.take(maxBatch)
		if err != nil {
			return err
		}
		if len(changes) > 0 {
			if err := l.announce(changes); err != nil {
				return err
			}
		}
		if !time.Now().Before(nextPing) {
			if err := l.ping(); err != nil {
				return err
			}
			nextPing = time.Now().Add(pingInterval)
		}
		if len(changes) == 0 {
			if err := p.rest(l, nextPing); err != nil {
				return err
			}
		}
	}
}

// rest listens to the connection until there is something to say or the time
// has come.
func (p *peer) rest(l *link, until time.Time) error {
	p.mu.Lock()
	if p.nudged {
		p.nudged = false
		p.mu.Unlock()
		return nil
	}
	err := l.conn.SetReadDeadline(until)
	p.resting = l.conn
	p.mu.Unlock()
	if err == nil {
		err = l.listen()
	}
	p.mu.Lock()
	p.resting, p.nudged = nil, false
	p.mu.Unlock()
	return err
}

// wake says that there is something to take from the follower.
func (p *peer) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nudged {
		return
	}
	p.nudged = true
	if p.resting != nil {
		// Should it fail, the connection is closed and listen returns anyway.
		_ = p.resting.SetReadDeadline(time.Unix(1, 0))
	}
}
