package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"qmq/broker"
	"qmq/internal/acceptloop"
)

// How Close ends the sessions: nothing is delivered any more, and consumers may
// answer what they have until they are quiet; all may finish what they have read,
// then their connections are cut, and at last they are given up.
const (
	lastAnswers  = 200 * time.Millisecond
	quietAnswers = 100 * time.Millisecond // more than an acknowledgement of TCP may be delayed
	closeGently  = 2 * time.Second
	closeByForce = 8 * time.Second
)

// ErrSessionsRemain is what Close returns when sessions were still busy at the
// end of the time that it gives them.
var ErrSessionsRemain = errors.New("server: sessions did not end in time")

// TCP serves the V2 protocol. Its methods may be called concurrently.
type TCP struct {
	broker *broker.Broker
	o      Options

	stop chan struct{} // closed when Close begins
	// life ends then too, for those who ask others in a session's name.
	life context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup // of all goroutines and heartbeats of sessions

	// mu guards listeners, sessions, lastID and closing.
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[uint64]*session // by id, which is that of its consumer too
	lastID    uint64
	closing   bool

	// closed is when Close began. It is written once, before the first session is
	// told to stop; a session reads it when it has seen that it is to, and so
	// needs no lock.
	closed time.Time
}

// NewTCP makes a server of b's topics. It serves once Serve is called.
func NewTCP(b *broker.Broker, o Options) *TCP {
	life, end := context.WithCancel(context.Background())
	return &TCP{
		broker:    b,
		o:         o,
		stop:      make(chan struct{}),
		life:      life,
		end:       end,
		listeners: make(map[net.Listener]struct{}),
		sessions:  make(map[uint64]*session),
	}
}

// Serve accepts connections from l until Close, then returns nil; it returns
// an error when l fails for good. It closes l.
func (t *TCP) Serve(l net.Listener) error {
	if !t.addListener(l) {
		return l.Close()
	}
	defer t.removeListener(l)
	return acceptloop.Loop(l, t.stop, t.o.Logger, t.start)
}

// Close stops accepting and delivering, lets the sessions finish what they have
// read and consumers answer what they have, for up to 200 ms, closes their
// connections and waits until all their goroutines have ended, but not
// for ever: the error then is ErrSessionsRemain.
func (t *TCP) Close() error {
	t.mu.Lock()
	if !t.closing {
		t.closing = true
		t.closed = time.Now()
		close(t.stop)
		t.end()
	}
	for l := range t.listeners {
		l.Close()
	}
	for _, s := range t.sessions {
		s.interrupt()
	}
	t.mu.Unlock()

	done := make(chan struct{})
	go func() {
		t.wg.Wait()
		close(done)
	}()
	if waitFor(done, closeGently) {
		return nil
	}
	for _, s := range t.all() {
		s.shut()
	}
	if waitFor(done, closeByForce) {
		return nil
	}
	return ErrSessionsRemain
}

// answersUntil is how long, from now, a client of a closing server may be
// silent.
func (t *TCP) answersUntil(now time.Time) time.Time {
	quiet, last := now.Add(quietAnswers), t.closed.Add(lastAnswers)
	if quiet.After(last) {
		return last
	}
	return quiet
}

// start begins a session on conn.
func (t *TCP) start(conn net.Conn) {
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		conn.Close()
		return
	}
	if !t.o.Places.Take(conn) {
		t.mu.Unlock()
		conn.Close()
		return
	}
	t.lastID++
	s := newSession(t, t.lastID, conn)
	t.sessions[s.id] = s
	t.wg.Add(1)
	t.mu.Unlock()
	go func() {
		defer t.wg.Done()
		s.run()
		t.forget(s)
	}()
}

func (t *TCP) forget(s *session) {
	t.mu.Lock()
	delete(t.sessions, s.id)
	t.mu.Unlock()
	t.o.Places.Leave()
}

// all is a snapshot of the sessions.
func (t *TCP) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.sessions))
	for _, s := range t.sessions {
		all = append(all, s)
	}
	return all
}

func (t *TCP) addListener(l net.Listener) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return false
	}
	t.listeners[l] = struct{}{}
	return true
}

func (t *TCP) removeListener(l net.Listener) {
	t.mu.Lock()
	delete(t.listeners, l)
	t.mu.Unlock()
	l.Close()
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
