package lookup

import (
	"net"
	"sync"

	"qmq/internal/acceptloop"
)

// TCP takes the registrations of producers, in the lookup protocol V1. Its
// methods may be called concurrently.
type TCP struct {
	db *DB
	o  Options

	refusals refusals

	stop chan struct{} // closed when Close begins
	wg   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	closing   bool
}

// NewTCP makes a server that registers producers in db. It serves once Serve
// is called.
func NewTCP(db *DB, o Options) *TCP {
	return &TCP{
		db:        db,
		o:         o,
		stop:      make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		sessions:  make(map[*session]struct{}),
	}
}

// Serve accepts connections from l until Close, then returns nil; it returns
// an error when l fails for good. It closes l.
func (t *TCP) Serve(l net.Listener) error {
	defer l.Close()
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		return nil
	}
	t.listeners[l] = struct{}{}
	t.mu.Unlock()
	err := acceptloop.Loop(l, t.stop, t.o.Logger, t.start)
	t.mu.Lock()
	delete(t.listeners, l)
	t.mu.Unlock()
	return err
}

// Close stops accepting, closes all connections and waits until their
// goroutines have ended, which is soon: none waits for anything else. The
// error is always nil.
func (t *TCP) Close() error {
	t.mu.Lock()
	if !t.closing {
		t.closing = true
		close(t.stop)
	}
	for l := range t.listeners {
		l.Close()
	}
	for s := range t.sessions {
		s.conn.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
	return nil
}

// start begins a session on conn.
func (t *TCP) start(conn net.Conn) {
	s := newSession(t, conn)
	t.mu.Lock()
	if t.closing {
		t.mu.Unlock()
		conn.Close()
		return
	}
	t.sessions[s] = struct{}{}
	t.wg.Add(1)
	t.mu.Unlock()
	go func() {
		defer t.wg.Done()
		s.run()
		t.mu.Lock()
		delete(t.sessions, s)
		t.mu.Unlock()
	}()
}
