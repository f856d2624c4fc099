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
	// The pause before an attempt to connect doubles from firstPause with each
	// that fails: to absentPause while the directory gives no sign of life, so
	// that it is told within a second once it is there, and to maxPause
	// while it is there but refuses or breaks off, which it may do because it
	// has too much to do. A connection that lasted for stable is replaced at
	// once.
	firstPause  = 100 * time.Millisecond
	absentPause = 750 * time.Millisecond
	maxPause    = 15 * time.Second
	stable      = time.Second
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

	reported string   // the failure that was logged last; the goroutine's
	audit    auditing // the goroutine's
	taking   Taking   // as the directory was told last; the goroutine's

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	web     string     // where the directory serves HTTP, as it said last; empty: it did not
	met     bool       // the directory has introduced itself at least once
	told    bool       // it was told everything over the connection that there is
	nudged  bool       // there may be something to say
	resting net.Conn   // that is listened to while there is nothing to say
	found   *finding   // what an audit has found; nil: it was taken
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

// isTold says whether the directory knows what is here.
func (p *peer) isTold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

func (p *peer) setTold(told bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = told
}

func (p *peer) run(ctx context.Context) {
	defer close(p.done)
	tried := sync.OnceFunc(func() { close(p.tried) })
	defer tried()
	last := absent
	for failures := 0; ; {
		began := time.Now()
		stage, err := p.converse(ctx, failures, tried)
		if ctx.Err() != nil {
			return
		}
		tried()
		lasted := time.Since(began)
		failures++
		switch {
		case stage == told && lasted >= stable:
			failures = 0
		case (stage == absent) != (last == absent):
			failures = 1 // one that went away and came back is another one
		}
		last = stage
		p.report(stage == told, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(stage.pause(failures, lasted)):
		}
	}
}

// stage is how far a connection came.
type stage int

const (
	absent stage = iota // nothing was heard of the directory
	heard               // it has answered, if only with a refusal
	told                // it was told everything
)

// pause is how long to wait after that many failures in a row, the last of which
// took a while itself. It varies, so that not all nodes come back to a directory
// at the same moment.
func (s stage) pause(failures int, took time.Duration) time.Duration {
	if failures == 0 {
		return 0
	}
	limit := maxPause
	if s == absent {
		limit = absentPause
	}
	if doubled := failures - 1; doubled < 8 {
		limit = min(limit, firstPause<<doubled)
	}
	pause := limit/2 + rand.N(limit/2)
	if s == absent {
		pause -= took // it was waited for
	}
	return max(pause, 0)
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

// converse is one connection from its beginning to its end, and how far it came.
func (p *peer) converse(ctx context.Context, failures int, met func()) (stage, error) {
	conn, err := p.a.dial(ctx, p.address)
	if err != nil {
		return absent, err
	}
	defer conn.Close()
	unblock := context.AfterFunc(ctx, func() { conn.Close() })
	defer unblock()
	l := newPeerConn(conn)
	// One that has taken the connection but is slow, or stands still, is given
	// more time each time: it answers as soon as it can.
	p.taking = p.a.takingNow()
	web, err := l.identify(p.a.introduce(p.taking), min(ioTimeout<<min(failures, 4), maxPause))
	if err != nil {
		return l.stage(), err
	}
	p.mu.Lock()
	p.web, p.met, p.found = web, true, nil
	p.mu.Unlock()
	met()

	f, all := p.a.registrations.follow(p.wake)
	defer f.stop()
	if err := p.announce(l, all); err != nil {
		return heard, err
	}
	p.setTold(true)
	defer p.setTold(false)
	p.a.o.Logger.Info("lookup directory knows what is here", slog.String("address", p.address), slog.Int("registrations", len(all)))
	p.audit = auditing{}
	ctx, stop := context.WithCancel(ctx)
	defer p.audit.running.Wait()
	defer stop()
	return told, p.follow(ctx, l, f)
}

// introduce is how the node introduces itself.
func (a *Announcer) introduce(t Taking) introduction {
	in := introduction{Identity: a.identity, Secret: valueOf(a.o.RegistrationSecret), Views: a.o.Views}
	if t.Takes != "" {
		in.Taking = &t
	}
	return in
}

// announce tells the directory of changes, part by part.
func (p *peer) announce(l *peerConn, changes []change) error {
	for len(changes) > 0 {
		n := min(len(changes), maxBatch)
		if err := l.announce(changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// follow tells the directory of changes, that this node lives, and again of what
// it was made to forget, until the connection is lost.
func (p *peer) follow(ctx context.Context, l *peerConn, f *follower) error {
	nextPing := time.Now().Add(pingInterval)
	for {
		changes, err := f.take(maxBatch)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			changes = p.forgotten()
		}
		if err := p.announce(l, changes); err != nil {
			return err
		}
		now, taking := time.Now(), p.a.takingNow()
		if taking.Takes != p.taking.Takes || !now.Before(nextPing) {
			if err := l.ping(taking); err != nil {
				return err
			}
			p.taking, nextPing = taking, now.Add(pingInterval)
			p.startAudit(ctx, l.conn)
		} else if p.audit.isDue(now) {
			p.startAudit(ctx, l.conn)
		}
		if len(changes) == 0 {
			if err := p.wait(l, p.audit.before(nextPing)); err != nil {
				return err
			}
		}
	}
}

// wait listens to the connection until there is something to say or the time
// has come.
func (p *peer) wait(l *peerConn, until time.Time) error {
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
