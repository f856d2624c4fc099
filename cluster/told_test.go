package cluster

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"qmq/broker"
	"qmq/cluster/link"
	"qmq/internal/vfs"
)

// TestWhoHasJustStartedIsToldWhichLevelTheSetUses: before it has applied what group 0 agreed
// on it is connected to a member that says so, and leaves out nothing that the others count on,
// as by which settings the keys of messages were found.
func TestWhoHasJustStartedIsToldWhichLevelTheSetUses(t *testing.T) {
	s := New(Options{FS: vfs.OS, Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	defer s.cancel()
	s.identity = &identity{Member: 1}
	s.links = link.New(s.linkOptions())
	r := &run{s: s}
	stamps, replays := r.has(levelOfStamps), r.has(levelOfReplays)
	if stamps() || replays() {
		t.Error("a member that knows nothing uses what others may not know")
	}
	for _, h := range []link.Hello{{Member: 2, Address: "a:1", Active: levelOfStamps, Level: Level}, {Member: 3, Level: Level}} { // 3 has just started too
		s.meet(h)
		s.linkUp(link.Peer{Hello: h})
	}
	if !stamps() {
		t.Error("what a member said that the set uses is not used")
	}
	if replays() {
		t.Error("what a program knows is taken for what the set uses")
	}
	if says := s.hello().Active; says != 0 {
		t.Errorf("a member of no set says that level %d is in use", says)
	}
	if got := s.addressOf(2); got != "a:1" {
		t.Errorf("a member that it is connected to is called %s", got)
	}
	if got := s.addressOf(4); got != show(4) {
		t.Errorf("a member that it does not know is called %s", got)
	}
	s.identity.Cluster = 1
	s.setRegistry(&registry{Level: levelOfSettings})
	if says := s.hello().Active; says != levelOfStamps {
		t.Errorf("the next member is told that level %d is in use", says)
	}
	s.setRegistry(&registry{Level: levelOfReplays})
	if !replays() {
		t.Error("what was agreed on is not used")
	}
}

// TestLevelThatTheSetUsesIsKnownToTheNextProcess, whoever said so: it may lead before it hears
// it again, when all were killed. In another set it says nothing.
func TestLevelThatTheSetUsesIsKnownToTheNextProcess(t *testing.T) {
	s := New(Options{FS: vfs.OS, Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	defer s.cancel()
	s.identity = &identity{Member: 1, Cluster: 5, Ran: true}
	s.links = link.New(s.linkOptions())
	level := func() uint32 {
		t.Helper()
		i, err := s.file.load()
		if err != nil || i == nil {
			t.Fatal(i, err)
		}
		if !i.Ran {
			t.Error("it is forgotten that the member ran")
		}
		return i.Level
	}
	for _, test := range []struct {
		hear func()
		want uint32
	}{
		{func() { s.meet(link.Hello{Member: 2, Active: levelOfDedup}) }, levelOfDedup},
		{func() { s.meet(link.Hello{Member: 2, Active: levelOfSettings}) }, levelOfDedup},
		{func() { s.setRegistry(&registry{Level: levelOfStamps}) }, levelOfStamps},
		{func() { s.become(s.who()) }, levelOfStamps},
		{func() { s.become(identity{Member: 2, Ran: true}) }, 0},
		{func() { s.meet(link.Hello{Member: 2, Active: levelOfTime}) }, 0},
		{func() { s.become(identity{Member: 2, Cluster: 6, Ran: true}) }, levelOfTime},
	} {
		if test.hear(); level() != test.want {
			t.Errorf("the next process knows level %d, want %d", level(), test.want)
		}
	}
}

// TestMemberThatIsStartedAloneLeavesNothingOutThatItKnew: nobody tells it anything, and group 0
// has no leader.
func TestMemberThatIsStartedAloneLeavesNothingOutThatItKnew(t *testing.T) {
	dir, quiet := t.TempDir(), slog.New(slog.DiscardHandler)
	record := newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil) // of an older version
	file := identityFile{fs: vfs.OS, dir: filepath.Join(dir, "raft")}
	if err := file.store(&identity{Member: 1, Cluster: record.Cluster, Record: record, Number: 7, Level: levelOfStamps}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{
		FS: vfs.OS, Dir: dir, Address: "a:1", Peers: []string{"a:1", "b:1", "c:1"}, Listener: listener,
		Dial:     func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		Election: time.Second, LogFileBytes: 1 << 20, Logger: quiet,
	})
	b, err := broker.Open(broker.Options{FS: vfs.OS, DataPath: dir, Replicas: s, SyncEvery: 100, SyncTimeout: time.Second, MaxMsgTimeout: time.Minute, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	defer s.Stop()
	if err := s.Start(Host{Disk: b.Disk(), Common: b.TopicCommon(), SegmentBytes: 1 << 20, NodeID: 1}); err != nil {
		t.Fatal(err)
	}
	r := s.run.Load()
	if !r.has(levelOfStamps)() {
		t.Error("what the set used before is left out")
	}
	if r.has(levelOfReplays)() {
		t.Error("what the set did not use is used")
	}
	if says := s.hello().Active; says != levelOfStamps {
		t.Errorf("the next member is told that level %d is in use", says)
	}
}
