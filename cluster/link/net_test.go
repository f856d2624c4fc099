package link

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// wires are a network of pipes between addresses.
type wires struct {
	mu        sync.Mutex
	listeners map[string]*wireListener
	silent    map[string]bool // addresses of which nothing comes and nothing goes
}

func newWires() *wires {
	return &wires{listeners: make(map[string]*wireListener), silent: make(map[string]bool)}
}

type wireListener struct {
	address string
	arrived chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (w *wires) listen(address string) net.Listener {
	l := &wireListener{address: address, arrived: make(chan net.Conn), closed: make(chan struct{})}
	w.mu.Lock()
	w.listeners[address] = l
	w.mu.Unlock()
	return l
}

func (l *wireListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *wireListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *wireListener) Addr() net.Addr { return &net.UnixAddr{Name: l.address} }

// hang keeps all bytes from and to an address from arriving.
func (w *wires) hang(address string, hangs bool) {
	w.mu.Lock()
	w.silent[address] = hangs
	w.mu.Unlock()
}

func (w *wires) hangs(addresses ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addresses {
		if w.silent[a] {
			return true
		}
	}
	return false
}

// dialFrom is the Dial of who is at an address.
func (w *wires) dialFrom(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		w.mu.Lock()
		l := w.listeners[to]
		w.mu.Unlock()
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		if l == nil {
			return nil, refused
		}
		near, far := net.Pipe()
		select {
		case l.arrived <- &wire{far, w, from, to}:
			return &wire{near, w, from, to}, nil
		case <-l.closed:
			return nil, refused
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// wire is an end of a pipe, whose bytes are lost while an address hangs.
type wire struct {
	net.Conn
	w    *wires
	a, b string
}

func (c *wire) Write(b []byte) (int, error) {
	if c.w.hangs(c.a, c.b) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// node is a member in a test.
type node struct {
	*Links
	t     *testing.T
	log   syncBuffer
	mu    sync.Mutex
	seen  []string // events and frames, in order
	hello Hello
}

func (n *node) saw(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, fmt.Sprintf(format, args...))
}

// take returns what was seen since the last take.
func (n *node) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.seen
	n.seen = nil
	return seen
}

func (n *node) change(change func(*Hello)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.hello)
}

const testKind = FirstKind

var testPeers = []string{"a:1", "b:1", "c:1"}

// newNode makes a member of testPeers at an address, which has its number as id.
func newNode(t *testing.T, w *wires, address string, edit func(*Options)) *node {
	n := &node{t: t, hello: Hello{
		Member: uint64(address[0]), Epoch: 1, Address: address, Peers: testPeers, Level: 1,
		Number: -1, Election: 300 * time.Millisecond, Sync: "always",
	}}
	o := Options{
		Address: address, Listener: w.listen(address), Dial: w.dialFrom(address),
		Hello: func() Hello {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.hello
		},
		Secrets: func() [][]byte { return [][]byte{[]byte("the secret of the tests")} },
		Up:      func(p Peer) { n.saw("up %s", p.Address) },
		Down:    func(p Peer, err error) { n.saw("down %s: %v", p.Address, err) },
		Logger:  slog.New(slog.NewTextHandler(&n.log, nil)),
	}
	if edit != nil {
		edit(&o)
	}
	n.Links = New(o)
	n.Handle(testKind, func(from uint64, body []byte) { n.saw("%c: %s", rune(from), body) })
	return n
}

// startNode is newNode at work until the test's end.
func startNode(t *testing.T, w *wires, address string, edit func(*Options)) *node {
	n := newNode(t, w, address, edit)
	n.Start(testPeers)
	t.Cleanup(n.Close)
	return n
}

// waitFor lets everything happen that happens within d of the bubble's time.
func waitFor(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantSeen(t *testing.T, n *node, want ...string) {
	t.Helper()
	got := n.take()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("saw %q, not %q", got, want)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
