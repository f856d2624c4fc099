package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/replica/serve"
	"qmq/state"
)

// rig is the members of a set in this process, each with a broker.
type rig struct {
	t       *testing.T
	peers   []string
	members []*rigMember
	wires   wires
}

// wires are the connections between members, some of whom are cut off from one another.
type wires struct {
	mu    sync.Mutex // guards what follows
	cuts  map[[2]string]bool
	short map[[2]string]int64 // how many bytes a connection lasts; 0: for ever
	conns map[[2]string][]net.Conn
}

// pair names two addresses, in either order.
func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// dial connects two members, unless they are cut off.
func (w *wires) dial(ctx context.Context, from, to string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cuts[pair(from, to)] {
		c.Close()
		return nil, syscall.EHOSTUNREACH
	}
	if bytes := w.short[pair(from, to)]; bytes > 0 {
		short := &shortConn{Conn: c}
		short.left.Store(bytes)
		c = short
	}
	w.conns[pair(from, to)] = append(w.conns[pair(from, to)], c)
	return c, nil
}

// shortConn is a connection that ends when so many bytes have gone over it, either way.
type shortConn struct {
	net.Conn
	left atomic.Int64
}

func (c *shortConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return c.count(n, err)
}

func (c *shortConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return c.count(n, err)
}

func (c *shortConn) count(n int, err error) (int, error) {
	if c.left.Add(int64(-n)) < 0 {
		c.Close()
		return 0, syscall.ECONNRESET
	}
	return n, err
}

// shorten has each connection between two members end after so many bytes from now on.
func (g *rig) shorten(a, b *rigMember, bytes int64) {
	of := pair(a.o.Address, b.o.Address)
	g.wires.mu.Lock()
	defer g.wires.mu.Unlock()
	g.wires.short[of] = bytes
	for _, c := range g.wires.conns[of] {
		c.Close()
	}
}

// cut cuts two members off from one another, until the function is called.
func (g *rig) cut(a, b *rigMember) (heal func()) {
	of := pair(a.o.Address, b.o.Address)
	g.wires.mu.Lock()
	defer g.wires.mu.Unlock()
	g.wires.cuts[of] = true
	for _, c := range g.wires.conns[of] {
		c.Close()
	}
	return func() {
		g.wires.mu.Lock()
		defer g.wires.mu.Unlock()
		delete(g.wires.cuts, of)
	}
}

type rigMember struct {
	*Set
	broker *broker.Broker
	dir    string
	disk   *hangingFS
	space  atomic.Pointer[vfs.Space] // that its disk is said to have
	// elsewhere is what its directories say of a topic; nil: nothing.
	elsewhere atomic.Pointer[func(topic string) map[string]bool]
}

// hangingFS is a file system on which syncs hang, or fail, while it is told to.
type hangingFS struct {
	vfs.FS
	mu      sync.Mutex
	hangs   chan struct{} // closed when it no longer hangs; nil: it does not
	failing string        // part of the names of directories with files that cannot be synced; empty: none
}

// fail has syncs of files in some directories fail from now on.
func (h *hangingFS) fail(dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = dir
}

// hang has syncs wait until the end of the test, or until the function is called.
func (h *hangingFS) hang(t *testing.T) (goOn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hangs := make(chan struct{})
	h.hangs = hangs
	goOn = sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hangs = nil
		close(hangs)
	})
	t.Cleanup(goOn)
	return goOn
}

func (h *hangingFS) Create(name string) (vfs.File, error) {
	f, err := h.FS.Create(name)
	return h.file(f, err, name)
}

func (h *hangingFS) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	return h.file(f, err, name)
}

func (h *hangingFS) file(f vfs.File, err error, name string) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hangingFile{f, h, filepath.Dir(name)}, nil
}

type hangingFile struct {
	vfs.File
	h   *hangingFS
	dir string
}

func (f *hangingFile) Sync() error {
	f.h.mu.Lock()
	hangs, failing := f.h.hangs, f.h.failing
	f.h.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	if failing != "" && strings.Contains(f.dir, failing) {
		return syscall.EIO
	}
	return f.File.Sync()
}

const rigTimeout = time.Minute

// startRig starts three members, which are at work when it returns.
func startRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	g := &rig{t: t, wires: wires{cuts: make(map[[2]string]bool), short: make(map[[2]string]int64), conns: make(map[[2]string][]net.Conn)}}
	var listeners []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		g.peers = append(g.peers, l.Addr().String())
	}
	for i, l := range listeners {
		m := &rigMember{dir: t.TempDir(), disk: &hangingFS{FS: vfs.OS}}
		m.space.Store(&vfs.Space{Free: 1 << 40})
		o := Options{
			FS: m.disk, Dir: m.dir, Address: g.peers[i], Peers: g.peers, Listener: l,
			Dial:   func(ctx context.Context, to string) (net.Conn, error) { return g.wires.dial(ctx, g.peers[i], to) },
			Number: 5, Election: 300 * time.Millisecond, ClaimsWithin: 10 * time.Second, // however busy the machine
			LogBytes: 1 << 30, LogFileBytes: 8 << 20, Space: func() (vfs.Space, error) { return *m.space.Load(), nil }, BootID: "boot", Version: "test",
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", i),
		}
		for _, f := range change {
			f(&o)
		}
		m.Set = New(o)
		var err error
		m.broker, err = broker.Open(broker.Options{
			FS: m.disk, DataPath: m.dir, NodeID: uint16(i), SegmentBytes: 1 << 20, HotBytes: 1 << 20, MemQueueSize: 100, SyncEvery: 100,
			SyncTimeout: time.Second, MaxMsgTimeout: time.Minute, MaxReqTimeout: time.Minute, Replicas: m.Set,
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			m.Set.Stop()
			if err := m.broker.Close(); err != nil {
				t.Error(err)
			}
		})
		host := Host{
			Disk: m.broker.Disk(), Common: m.broker.TopicCommon(), SegmentBytes: 1 << 20, HotMessages: 100, NodeID: i,
			Topic: m.broker.Existing, Delete: m.broker.DeleteTopic,
			Elsewhere: func(_ context.Context, topic string) (map[string]bool, bool, error) {
				if f := m.elsewhere.Load(); f != nil {
					return (*f)(topic), false, nil
				}
				return nil, false, nil
			},
		}
		if err := m.Set.Start(host); err != nil {
			t.Fatal(err)
		}
		g.members = append(g.members, m)
	}
	for _, m := range g.members {
		g.eventually("leaders of all shards", func() bool { return m.leaders() == Shards+1 })
	}
	return g
}

// leaders is of how many shards a member knows the leader.
func (m *rigMember) leaders() (n int) {
	r := m.run.Load()
	if r == nil {
		return 0
	}
	for shard := range uint32(Shards + 1) {
		if r.watch.leaderOf(shard) != 0 {
			n++
		}
	}
	return n
}

func (g *rig) eventually(what string, condition func() bool) {
	g.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(rigTimeout)
	for !condition() {
		select {
		case <-again.C:
		case <-late:
			g.t.Fatalf("never: %s", what)
		}
	}
}

// publish publishes messages of a name and a number through a member.
func (g *rig) publish(m *rigMember, topicName, name string, n int) {
	g.t.Helper()
	if err := g.tryPublish(m, topicName, name, n); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) tryPublish(m *rigMember, topicName, name string, n int) error {
	p, err := m.Publisher(topicName, true)
	if err != nil {
		return err
	}
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("%s %d", name, i))
	}
	return p.Publish(batchOf(bodies...))
}

func batchOf(bodies ...string) *diskqueue.Batch {
	batch := new(diskqueue.Batch)
	for _, body := range bodies {
		batch.Add(&message.Meta{Timestamp: time.Now().UnixNano()}, []byte(body))
	}
	return batch
}

// channelOf is a channel at a member, once that has applied its creation.
func (g *rig) channelOf(m *rigMember, topicName, channelName string) (c broker.Messages) {
	g.t.Helper()
	g.eventually(fmt.Sprintf("channel %s of %s", channelName, topicName), func() (there bool) {
		var err error
		c, err = m.Channel(topicName, channelName)
		return err == nil
	})
	return c
}

// bodies are those that a member shows of what waits in a channel, once there is a leader to
// be asked and nothing moves while it is looked at.
func (g *rig) bodies(m *rigMember, topicName, channelName string) (list []string) {
	g.t.Helper()
	p := g.channelOf(m, topicName, channelName)
	g.eventually("what waits in "+channelName+" is shown", func() bool {
		list = nil
		total, err := p.Peek(channel.PeekOptions{Limit: 1000}, func(_ channel.Peeked, v message.View) error {
			list = append(list, string(v.Body))
			return nil
		})
		return err == nil && total == len(list)
	})
	return list
}

// awaitBodies waits until a member shows these: who leads may have applied them a moment
// later than who was asked to publish them.
func (g *rig) awaitBodies(m *rigMember, topicName, channelName string, want ...string) {
	g.t.Helper()
	g.eventually(fmt.Sprintf("%q wait in %s", want, channelName), func() bool {
		return slices.Equal(g.bodies(m, topicName, channelName), want)
	})
}

// change changes something through a member. On a busy machine an election may take longer than
// that waits for it.
func (g *rig) change(m *rigMember, op state.Op, topicName, channelName string) {
	g.t.Helper()
	g.eventually("there is a leader for a change", func() bool {
		err := m.Change(broker.Change{Op: op, Topic: topicName, Channel: channelName})
		if err != nil && !errors.Is(err, serve.ErrNoLeader) {
			g.t.Fatal(err)
		}
		return err == nil
	})
}

// leader is the member that leads a shard.
func (g *rig) leader(shard uint32) (leader *rigMember) {
	g.t.Helper()
	g.eventually("a leader", func() bool {
		for _, m := range g.members {
			if r := m.run.Load(); r != nil && r.watch.leaderOf(shard) == r.member {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}
