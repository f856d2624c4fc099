package cluster

import (
	"log/slog"
	"testing"

	"qmq/broker"
	"qmq/internal/vfs"
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

// Publishes are refused before the disks of a majority are full, with the reserves still
// there, and taken again when there is some more room than that.
func TestNothingIsPublishedWhileThereIsLittleRoomForAMajority(t *testing.T) {
	g := startRig(t)
	g.publish(g.members[0], "orders", "before", 1)
	const disk = 10 << 30
	room := func(m *rigMember, free int64) { m.space.Store(&vfs.Space{Free: free, Used: disk - free}) }
	refusing := func(is bool) {
		t.Helper()
		for _, m := range g.members {
			g.eventually("it is known to all", func() bool { return (m.run.Load().room.refusal() != nil) == is })
			g.eventually("publishes are refused, or not", func() bool { return (g.tryPublish(m, "orders", "another", 1) != nil) == is })
		}
	}
	room(g.members[0], lowBytes-1)
	g.eventually("it says so", func() bool { return g.members[0].Status().Disk.Low })
	refusing(false)
	room(g.members[1], lowBytes-1)
	refusing(true)
	for _, m := range g.members {
		if !m.reserve.give() {
			t.Error("the reserve was given up before")
		}
	}
	room(g.members[1], lowBytes)
	refusing(true)
	room(g.members[1], lowBytes+lowBytes/8)
	refusing(false)
}
