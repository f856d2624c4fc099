package server

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"qmq/broker"
)

// How Close ends the sessions: first they may finish what they have read, then
// their connections are cut, and at last they are given up.
const (
	closeGently  = 2 * time.Second
	closeByForce = 8 * time.Second
)

// ErrSessionsRemain is what Close returns when sessions were still busy at the
// end of its patience.
var ErrSessionsRemain = errors.New("server: sessions did not end in time")

// TCP serves the V2 protocol. Its methods may be called concurrently.
type TCP struct {
	broker *broker.Broker
	o      Options

	stop chan struct{} // closed when Close begins
	wg   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]struct{}
	sessions  map[uint64]*session
	lastID    uint64
	closing   bool
}

// NewTCP makes a server of b's topics. It serves once Serve is called.
func NewTCP(b *broker.Broker, o Options) *TCP {
	return &TCP{
		broker:    b,
		o:         o,
		stop:      make(chan struct{}),
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
	var pause backoff
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause.reset()
			t.start(conn)
		case t.isClosing():
			return nil
		case !isTemporary(err):
			return err
		default:
			if pause.shouldLog() {
				t.o.Logger.Warn("cannot accept connections", slog.Any("error", err), slog.Duration("retry", pause.delay()))
			}
			if !pause.wait(t.stop) {
				return nil
			}
		}
	}
}

// Close stops accepting, lets the sessions finish what they have read, closes
// their connections and waits until all their goroutines have ended, but not
// for ever: the error then is ErrSessionsRemain.
func (t *TCP) Close() error {
	t.mu.Lock()
	if !t.closing {
		t.closing = true
		close(t.stop)
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

// start begins a session on conn.
func (t *TCP) start(conn net.Conn) {
	t.mu.Lock()
	if t.closing {
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
}

// session finds a session by its id, which is also that of its consumer.
func (t *TCP) session(id uint64) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sessions[id]
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

func (t *TCP) isClosing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closing
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

// isTemporary tells errors that pass, such as too many open files, from those
// of a listener that is broken.
func isTemporary(err error) bool {
	if errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) {
		return true
	}
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
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
