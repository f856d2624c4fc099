package cluster

import (
	"log/slog"
	"testing"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// A reserve is whole or not there at all, and given once.
func TestReserveIsWholeOrNotThere(t *testing.T) {
	disk := crashfs.New(1)
	fsys := disk.Mount()
	if err := fsys.MkdirAll("/raft"); err != nil {
		t.Fatal(err)
	}
	r := &reserve{fs: fsys, path: "/raft/reserve", bytes: 1<<20 + 5, log: slog.New(slog.DiscardHandler)}
	used := disk.Used()
	disk.Limit(used + 1<<20)
	if err := r.keep(); !noRoom(err) {
		t.Fatalf("without room for it: %v", err)
	}
	if now := disk.Used(); now != used {
		t.Errorf("it takes %d bytes all the same", now-used)
	}
	if r.give() {
		t.Error("it gave what it did not have")
	}
	disk.Limit(-1)
	for range 2 {
		if err := r.keep(); err != nil {
			t.Fatal(err)
		}
	}
	if !r.give() || r.give() {
		t.Error("it is not given just once")
	}
}

// While the disks of two of three are full nothing is published, through any; what
// consumers do goes on.
func TestNothingIsPublishedWhileTheDisksOfAMajorityAreFull(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	g.publish(g.members[0], "orders", "before", 2)
	full := func(m *rigMember, is bool) { m.run.Load().logFull.Store(is) }
	refused := func(m *rigMember) bool { return g.tryPublish(m, "orders", "refused", 1) != nil }
	full(g.members[0], true)
	g.eventually("it gives its reserve up", func() bool { return g.members[0].run.Load().room.low.Load() })
	g.publish(g.members[0], "orders", "meanwhile", 1)
	full(g.members[1], true)
	for _, m := range g.members {
		g.eventually("it refuses publishes", func() bool { return m.run.Load().room.refusal() != nil })
		g.eventually("they are refused", func() bool { return refused(m) })
	}
	if err := g.members[2].Change(broker.Change{Op: state.EmptyChannel, Topic: "orders", Channel: "work"}); err != nil {
		t.Errorf("a channel is emptied: %v", err)
	}
	full(g.members[0], false)
	for _, m := range g.members {
		g.eventually("it takes them again", func() bool { return m.run.Load().room.refusal() == nil })
		g.eventually("they are taken", func() bool { return g.tryPublish(m, "orders", "after", 1) == nil })
	}
}
