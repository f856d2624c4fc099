package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// publisher is one connection that publishes. It belongs to one goroutine at a
// time; its progress may be read by all.
type publisher struct {
	*progress
	encoder
	conn    *conn
	answers answers
	window  int
	next    uint64 // number of the next message
	out     output // commands that are not written yet

	published histogram // from when a command was due, or else sent, to its OK
	late      histogram // from when a command was due to when it was sent
}

// bigOutput is how many bytes of commands are gathered for one write.
const bigOutput = 256 << 10

// newPublisher connects.
func newPublisher(ctx context.Context, t Target, l *Load, topic string, bodies *bodies, id uint32) (*publisher, error) {
	p := &publisher{progress: new(progress), window: l.Window}
	p.encoder = newEncoder(l, topic, t.HTTP, bodies, id)
	if l.HTTP {
		var d net.Dialer
		n, err := d.DialContext(ctx, "tcp", t.HTTP)
		if err != nil {
			return nil, err
		}
		p.conn = newConn(n)
		p.answers = httpAnswers{p.conn}
		return p, nil
	}
	c, _, err := dial(ctx, t.TCP, -1, l.Encoding)
	if err != nil {
		return nil, err
	}
	p.conn, p.answers = c, tcpAnswers{c}
	return p, nil
}

// publish sends a number of commands, or for ever when it is negative, until
// stop, and waits for their answers.
func (p *publisher) publish(commands int64, stop *atomic.Bool, s *schedule) error {
	var err error
	switch {
	case s == nil:
		err = p.hurry(commands, stop)
	case p.window == 1:
		err = p.keepTime(commands, stop, s)
	default:
		err = p.keepTimeAhead(commands, stop, s)
	}
	if err != nil {
		return fmt.Errorf("publisher %d: %w", p.publisher, err)
	}
	return nil
}

// hurry keeps the window full. It refills it when half is free, so that writes
// and answers come in batches.
func (p *publisher) hurry(commands int64, stop *atomic.Bool) error {
	waiting := 0
	for commands != 0 || waiting > 0 {
		if stop.Load() {
			commands = 0
		}
		start := time.Time{}
		if p.window == 1 {
			start = time.Now()
		}
		for ; commands != 0 && waiting < p.window; waiting++ {
			if err := p.add(); err != nil {
				return err
			}
			commands--
		}
		if err := p.write(); err != nil {
			return err
		}
		enough := p.window / 2
		if commands == 0 {
			enough = 0
		}
		for waiting > enough {
			n, err := p.await()
			if err != nil {
				return err
			}
			waiting -= n
			if p.window == 1 {
				p.published.add(time.Since(start))
			}
		}
	}
	return nil
}

// keepTime sends each command when it is due, or when the one before has been
// answered if that is later.
func (p *publisher) keepTime(commands int64, stop *atomic.Bool, s *schedule) error {
	for k := uint64(0); commands < 0 || k < uint64(commands); k++ {
		due := s.due(p.publisher, k)
		if err := sleepUntil(due, stop); err != nil || stop.Load() {
			return err
		}
		p.late.add(time.Since(due))
		if err := p.add(); err != nil {
			return err
		}
		if err := p.write(); err != nil {
			return err
		}
		if _, err := p.await(); err != nil {
			return err
		}
		p.published.add(time.Since(due))
	}
	return nil
}

// sleepUntil returns at a moment, or soon after stop.
func sleepUntil(at time.Time, stop *atomic.Bool) error {
	for !stop.Load() {
		wait := time.Until(at)
		if wait <= 0 {
			return nil
		}
		if nap := napFor(wait); nap > 0 {
			if err := pause(nap); err != nil {
				return err
			}
		}
	}
	return nil
}

// napFor is how long to sleep when a wait remains; 0: not at all. A processor
// that was idle takes some 25 µs to come back, and longer after a longer rest.
// What then still remains is spent looking at the clock.
func napFor(wait time.Duration) time.Duration {
	const (
		look     = 50 * time.Millisecond // how long stop goes unseen at most
		soonest  = 30 * time.Microsecond
		latest   = 150 * time.Microsecond
		fraction = 20 // of the wait
	)
	return min(wait-min(max(soonest, wait/fraction), latest), look)
}

// keepTimeAhead sends each command when it is due while less than a window is
// unanswered. A goroutine of its own takes the answers.
func (p *publisher) keepTimeAhead(commands int64, stop *atomic.Bool, s *schedule) error {
	a := &ahead{p: p, s: s, free: make(chan struct{}, 1), ended: make(chan error, 1)}
	a.all.Store(-1)
	go func() { a.ended <- a.takeAnswers() }()
	sent, err := a.send(commands, stop)
	if err != nil {
		p.conn.Close() // ends the other goroutine
		return errors.Join(err, <-a.ended)
	}
	a.all.Store(sent)
	// It may wait for an answer that will not come: the deadline wakes it.
	if err := p.conn.SetReadDeadline(time.Now()); err != nil {
		return err
	}
	return errors.Join(<-a.ended, p.conn.SetReadDeadline(time.Time{}))
}

// ahead is a publisher that sends while others of its commands are unanswered.
type ahead struct {
	p        *publisher
	s        *schedule
	answered atomic.Int64
	all      atomic.Int64  // commands when the last one is sent; -1 before
	free     chan struct{} // holds a value after an answer
	ended    chan error    // gets the result of takeAnswers
}

// send returns how many commands it has sent.
func (a *ahead) send(commands int64, stop *atomic.Bool) (sent int64, err error) {
	for commands < 0 || sent < commands {
		due := a.s.due(a.p.publisher, uint64(sent))
		if err := sleepUntil(due, stop); err != nil || stop.Load() {
			return sent, err
		}
		for sent-a.answered.Load() >= int64(a.p.window) {
			select {
			case <-a.free:
			case err := <-a.ended:
				a.ended <- nil
				return sent, err
			}
		}
		// All that is due by now goes in one write.
		now := time.Now()
		for (commands < 0 || sent < commands) && !due.After(now) && sent-a.answered.Load() < int64(a.p.window) {
			a.p.late.add(now.Sub(due))
			if err := a.p.add(); err != nil {
				return sent, err
			}
			sent++
			due = a.s.due(a.p.publisher, uint64(sent))
		}
		if err := a.p.write(); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// takeAnswers ends when everything is answered.
func (a *ahead) takeAnswers() error {
	for {
		answered := a.answered.Load()
		if answered == a.all.Load() {
			return nil
		}
		n, err := a.p.await()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// Everything is sent; the rest is waited for as long as it takes.
			err = a.p.conn.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return err
		}
		now := time.Now()
		for k := range uint64(n) {
			a.p.published.add(now.Sub(a.s.due(a.p.publisher, uint64(answered)+k)))
		}
		a.answered.Add(int64(n))
		select {
		case a.free <- struct{}{}:
		default:
		}
	}
}

// add encodes the next command and writes when enough has gathered.
func (p *publisher) add() error {
	p.encoder.append(&p.out, p.next)
	p.next += uint64(p.batch)
	p.sent.Store(p.next)
	if p.out.len() >= bigOutput {
		return p.write()
	}
	return nil
}

func (p *publisher) write() error { return p.out.send(p.conn) }

// await waits for answers and counts what they acknowledge.
func (p *publisher) await() (int, error) {
	n, err := p.answers.await()
	p.acked.Add(uint64(n) * uint64(p.batch))
	return n, err
}
