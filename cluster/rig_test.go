package cluster

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/state"
)

// rig is the members of a set in this process, each with a broker.
type rig struct {
	t       *testing.T
	peers   []string
	members []*rigMember
}

type rigMember struct {
	*Set
	broker *broker.Broker
	dir    string
}

const rigPatience = 30 * time.Second

// startRig starts three members, which are at work when it returns.
func startRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t}
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
		m := &rigMember{dir: t.TempDir()}
		m.Set = New(Options{
			FS: vfs.OS, Dir: m.dir, Address: g.peers[i], Peers: g.peers, Listener: l, Number: 5, Election: 300 * time.Millisecond,
			LogBytes: 1 << 30, BootID: "boot", Version: "test",
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", i),
		})
		var err error
		m.broker, err = broker.Open(broker.Options{
			FS: vfs.OS, DataPath: m.dir, NodeID: uint16(i), SegmentBytes: 1 << 20, HotBytes: 1 << 20, MemQueueSize: 100, SyncEvery: 100,
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
			HasLocal: func(string) bool { return false },
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
	late := time.After(rigPatience)
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
	p, err := m.Publisher(topicName, true)
	if err != nil {
		g.t.Fatal(err)
	}
	var batch diskqueue.Batch
	for i := range n {
		batch.Add(message.Meta{Timestamp: time.Now().UnixNano()}, fmt.Appendf(nil, "%s %d", name, i))
	}
	if err := p.Publish(&batch); err != nil {
		g.t.Fatal(err)
	}
}

// bodies are those that a member shows of what waits in a channel.
func (g *rig) bodies(m *rigMember, topicName, channelName string) (list []string) {
	g.t.Helper()
	p, err := m.Channel(topicName, channelName)
	if err != nil {
		g.t.Fatal(err)
	}
	total, err := p.Peek(channel.PeekReady, 1000, func(_ channel.Peeked, v message.View) error {
		list = append(list, string(v.Body))
		return nil
	})
	if err != nil || total != len(list) {
		g.t.Fatal(total, len(list), err)
	}
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

func (g *rig) change(m *rigMember, op state.Op, topicName, channelName string) {
	g.t.Helper()
	if err := m.Change(broker.Change{Op: op, Topic: topicName, Channel: channelName}); err != nil {
		g.t.Fatal(err)
	}
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
