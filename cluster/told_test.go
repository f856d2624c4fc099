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
	r := &run{s: s}
	stamps, replays := r.has(levelOfStamps), r.has(levelOfReplays)
	if stamps() || replays() {
		t.Error("a member that knows nothing uses what others may not know")
	}
	s.linkUp(link.Peer{Hello: link.Hello{Member: 2, Address: "a:1", Active: levelOfStamps, Level: Level}})
	s.linkUp(link.Peer{Hello: link.Hello{Member: 3, Level: Level}}) // which has just started too
	if !stamps() {
		t.Error("what a member said that the set uses is not used")
	}
	if replays() {
		t.Error("what a program knows is taken for what the set uses")
	}
	if got := s.addressOf(2); got != "a:1" {
		t.Errorf("a member that it is connected to is called %s", got)
	}
	if got := s.addressOf(4); got != show(4) {
		t.Errorf("a member that it does not know is called %s", got)
	}
	s.registry.Store(&registry{Level: levelOfReplays})
	if !replays() {
		t.Error("what was agreed on is not used")
	}
}
