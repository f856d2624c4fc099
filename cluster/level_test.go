package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Who asks for a thing while the members of a set that has just begun still say what they
// know waits for them; a set that has a member of an older version refuses.
func TestRequestsWaitForMembersToSayWhatTheyKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Set)
		time.AfterFunc(time.Second, func() { s.level.Store(levelOfSettings) })
		time.AfterFunc(3*time.Second, func() { s.level.Store(levelOfRetention) })
		if !s.knows(t.Context(), levelOfRetention) {
			t.Error("refused before all had said what they know")
		}
		begun := time.Now()
		if s.knows(t.Context(), levelOfRetention+1) {
			t.Error("what a member does not know is asked of it")
		}
		if waited := time.Since(begun); waited != requestTimeout {
			t.Errorf("it is refused after %v", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if !s.knows(ctx, levelOfRetention) {
			t.Error("what is known need not be waited for")
		}
	})
}

// TestSetUsesAtOnceWhatAllItsFirstMembersKnow: what is published first counts too.
func TestSetUsesAtOnceWhatAllItsFirstMembersKnow(t *testing.T) {
	for _, m := range startRig(t).members {
		i := m.who()
		if i.Record.Level != Level || m.run.Load().group0.state().Registry.Level != Level {
			t.Errorf("the set began with level %d", i.Record.Level)
		}
	}
}

// TestWhoHasJustJoinedDoesNotSayThatAllHaveHeard, for it knows nobody yet.
func TestWhoHasJustJoinedDoesNotSayThatAllHaveHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Set{identity: &identity{Member: 4, Cluster: 1}}
		s.level.Store(Level)
		s.registry.Store(new(registry))
		if err := s.tellAll(t.Context()); err != errUntoldMembers {
			t.Error(err)
		}
		time.AfterFunc(knownWithin/2, func() { s.registry.Store(&registry{Level: Level, Members: []*member{{ID: 4}}}) })
		if err := s.tellAll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What is set of a topic waits until all members that are connected say that the set uses the
// features that it does: what is published through one that has not heard would lack it. Who is
// not there is told when it is back.
func TestSettingsWaitForMembersToHearWhichFeaturesAreUsed(t *testing.T) {
	g := startRig(t)
	asked, late := g.members[0].Set, g.members[2].Set
	if err := asked.maySet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := asked.allTold.Load(); told != Level {
		t.Errorf("all members have said that level %d is in use, not %d", told, Level)
	}
	member := uint64(late.who().Member)
	short, cancel := context.WithTimeout(t.Context(), 10*insistEvery)
	defer cancel()
	if asked.isTold(short, member, Level+1) {
		t.Error("a member has heard of a level that is not in use")
	}
	waits := make(chan bool, 1)
	go func() { waits <- asked.isTold(t.Context(), member, Level+1) }()
	late.level.Store(Level + 1)
	if !<-waits {
		t.Error("what a member has heard is not waited for")
	}
	late.Stop()
	g.eventually("a member has left", func() bool { return len(asked.connected()) == 1 })
	if !asked.isTold(t.Context(), member, Level+2) {
		t.Error("who is not there is waited for")
	}
}
