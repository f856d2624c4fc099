package cluster

import (
	"testing"

	"qmq/cluster/link"
)

// TestWhoHasJustStartedIsToldWhichLevelTheSetUses: before it has applied what group 0 agreed
// on it is connected to a member that says so, and leaves out nothing that the others count on,
// as by which settings the keys of messages were found.
func TestWhoHasJustStartedIsToldWhichLevelTheSetUses(t *testing.T) {
	s := New(Options{Dir: t.TempDir()})
	defer s.cancel()
	s.identity, s.links = new(identity), link.New(link.Options{})
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
	s.registry.Store(&registry{Level: levelOfSettings})
	if says := s.hello().Active; says != levelOfStamps {
		t.Errorf("the next member is told that level %d is in use", says)
	}
	s.registry.Store(&registry{Level: levelOfReplays})
	if !replays() {
		t.Error("what was agreed on is not used")
	}
}
