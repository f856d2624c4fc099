package cluster

import (
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica"
)

func testRegistry() *registry {
	return newRegistry(newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, []string{"orders*", "bills"}))
}

// must applies an entry through its bytes.
func must(t *testing.T, g *registry, e *entry) {
	t.Helper()
	if why := through(t, g, e); why != "" {
		t.Fatalf("%+v: %s", e, why)
	}
}

func through(t *testing.T, g *registry, e *entry) refused {
	t.Helper()
	b, err := e.encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	return g.apply(back)
}

func (g *registry) ids() (list []id) {
	for _, m := range g.Members {
		list = append(list, m.ID)
	}
	return list
}

func TestWhoJoinsTakesThePlaceOfTheMemberAtItsAddress(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Join: &member{ID: 9, Address: "b:1", Level: 1}})
	if m := g.member(9); m == nil || !m.Joining || m.Replaces != 2 || g.member(2) == nil {
		t.Fatalf("%+v", m)
	}
	must(t, g, &entry{Join: &member{ID: 9, Address: "b:1", Level: 1}}) // asked again
	must(t, g, &entry{Join: &member{ID: 8, Address: "b:1", Level: 1}}) // wiped again before it had a vote
	if m := g.member(8); g.member(9) != nil || m.Replaces != 2 {
		t.Fatalf("%v, %+v", g.ids(), m)
	}
	must(t, g, &entry{Promoted: 8})
	if !slices.Equal(g.ids(), []id{1, 3, 8}) || g.member(8).Joining || !slices.Equal(g.Gone, []id{9, 2}) {
		t.Errorf("%v, gone %v", g.ids(), g.Gone)
	}
	if why := through(t, g, &entry{Join: &member{ID: 2, Address: "b:1", Level: 1}}); why == "" {
		t.Error("a former member joined again under its id")
	}
}

func TestSetGrowsAndShrinksAtAddressesThatWereTold(t *testing.T) {
	g := testRegistry()
	if why := through(t, g, &entry{Join: &member{ID: 4, Address: "d:1", Level: 1}}); why == "" {
		t.Error("somebody joined who was not expected")
	}
	must(t, g, &entry{Expect: "d:1"})
	if !slices.Equal(g.addresses(), []string{"a:1", "b:1", "c:1", "d:1"}) {
		t.Error(g.addresses())
	}
	must(t, g, &entry{Join: &member{ID: 4, Address: "d:1", Level: 1}})
	if m := g.member(4); m.Replaces != 0 || len(g.Expected) != 0 {
		t.Errorf("%+v", m)
	}
	must(t, g, &entry{Promoted: 4})
	must(t, g, &entry{Leave: 1})
	if why := through(t, g, &entry{Leave: 2}); why == "" {
		t.Error("a set of two was agreed on")
	}
	if why := through(t, g, &entry{Removed: 2}); why == "" {
		t.Error("one went that was not to leave")
	}
	must(t, g, &entry{Removed: 1})
	if !slices.Equal(g.ids(), []id{2, 3, 4}) {
		t.Error(g.ids())
	}
}

func TestMemberMovesToAnotherAddress(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Expect: "z:1"})
	must(t, g, &entry{Seen: &member{ID: 2, Address: "z:1", Level: 1, Version: "9"}})
	if m := g.at("z:1"); m == nil || m.ID != 2 || m.Version != "9" || g.at("b:1") != nil || len(g.Expected) != 0 {
		t.Errorf("%+v, %v", m, g.Expected)
	}
	if why := through(t, g, &entry{Seen: &member{ID: 7, Address: "z:1"}}); why == "" {
		t.Error("somebody moved who is no member")
	}
}

func TestOldProgramDoesNotJoinANewerSet(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Level: 2})
	must(t, g, &entry{Level: 1})
	if g.Level != 2 {
		t.Error("the level went back")
	}
	if why := through(t, g, &entry{Join: &member{ID: 9, Address: "b:1", Level: 1}}); why == "" {
		t.Error("it joined")
	}
}

func TestUnknownEntryIsNotPassedOver(t *testing.T) {
	for _, b := range []string{"", "\x02{}", "\x01{\"new\":1}", "\x01[]", "\x01"} {
		if _, err := decodeEntry([]byte(b)); !errors.Is(err, errUnknownEntry) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func TestWhichTopicsAreReplicated(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Local: []string{"orders.old", "bills"}})
	for name, want := range map[string]bool{
		"orders": true, "orders.new": true, "orders.old": false, "bills": false, "others": false, "orders#ephemeral": false,
	} {
		if got := g.replicates(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	must(t, g, &entry{Adopt: "bills"})
	if !g.replicates("bills") {
		t.Error("an adopted topic stayed local")
	}
	if all := newRegistry(newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil)); !all.replicates("any") || all.replicates("any#ephemeral") {
		t.Error("without patterns all topics are replicated but ephemeral ones")
	}
}

func TestLeadersTakeTurnsUnlessOneIsPreferred(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Join: &member{ID: 9, Address: "b:1", Level: 1}})
	counts := make(map[id]int)
	for n := uint32(1); n <= Shards; n++ {
		counts[g.turn(n)]++
	}
	if counts[1] != 4 || counts[2] != 4 || counts[3] != 4 {
		t.Error(counts)
	}
	must(t, g, &entry{Prefer: &prefer{Shard: 3, Member: 2}})
	if g.turn(3) != 2 {
		t.Error(g.turn(3))
	}
	must(t, g, &entry{Promoted: 9}) // 2 is gone, and its preference with it
	if p := g.turn(3); p == 2 || len(g.Preferred) != 0 {
		t.Error(p, g.Preferred)
	}
	must(t, g, &entry{Prefer: &prefer{Shard: 1, Member: 3}})
	must(t, g, &entry{Prefer: &prefer{All: true}})
	if len(g.Preferred) != 0 {
		t.Error(g.Preferred)
	}
}

// leading is the status of a leader of these, all caught up but those behind.
func leading(voters, learners, behind []uint64) *replica.Status {
	st := &replica.Status{Role: replica.Leader, Serving: true, Last: 10_000, Commit: 10_000, Members: &pb.ConfState{Voters: voters, Learners: learners}}
	for _, m := range append(slices.Clone(voters), learners...) {
		p := replica.Progress{Member: m, Match: 10_000, Learner: slices.Contains(learners, m), Active: true}
		if slices.Contains(behind, m) {
			p.Match = 10
		}
		st.Followers = append(st.Followers, p)
	}
	return st
}

func TestShardFollowsWhatGroup0SaysOfMembers(t *testing.T) {
	joining := testRegistry()
	must(t, joining, &entry{Join: &member{ID: 9, Address: "b:1", Level: 1}})
	leaving := testRegistry()
	must(t, leaving, &entry{Expect: "d:1"})
	must(t, leaving, &entry{Join: &member{ID: 4, Address: "d:1", Level: 1}})
	must(t, leaving, &entry{Promoted: 4})
	must(t, leaving, &entry{Leave: 2})
	gone := testRegistry()
	gone.drop(7)
	joint := leading([]uint64{1, 3, 9}, nil, nil)
	joint.Members.VotersOutgoing = []uint64{1, 2, 3}
	snapshot := leading([]uint64{1, 2, 3}, []uint64{9}, nil)
	snapshot.Followers[3].Snapshot = true
	follower := leading([]uint64{1, 2, 3}, nil, nil)
	follower.Role = replica.Follower
	for _, test := range []struct {
		name string
		g    *registry
		st   *replica.Status
		want change
		no   bool
	}{
		{"nothing to do", testRegistry(), leading([]uint64{1, 2, 3}, nil, nil), change{}, true},
		{"no leader", joining, follower, change{}, true},
		{"first a learner", joining, leading([]uint64{1, 2, 3}, nil, nil), change{add: 9}, false},
		{"which is behind", joining, leading([]uint64{1, 2, 3}, []uint64{9}, []uint64{9}), change{}, true},
		{"which gets a snapshot", joining, snapshot, change{}, true},
		{"then one joint change", joining, leading([]uint64{1, 2, 3}, []uint64{9}, nil), change{vote: 9, remove: 2}, false},
		{"whom it replaces is dead", joining, leading([]uint64{1, 2, 3}, []uint64{9}, []uint64{2}), change{vote: 9, remove: 2}, false},
		{"the joint change is under way", joining, joint, change{}, true},
		{"it is done", joining, leading([]uint64{1, 3, 9}, nil, nil), change{}, true},
		{"one leaves", leaving, leading([]uint64{1, 2, 3, 4}, nil, nil), change{remove: 2}, false},
		{"one that is no member any more", gone, leading([]uint64{1, 2, 3}, []uint64{7}, nil), change{remove: 7}, false},
		{"one that had a vote", gone, leading([]uint64{1, 3, 7}, nil, nil), change{remove: 7}, false},
		{"one that joined when the leader was away", testRegistry(), leading([]uint64{1, 2, 3}, []uint64{9}, nil), change{}, true},
		{"one that took another's place meanwhile", testRegistry(), leading([]uint64{1, 3, 9}, nil, nil), change{}, true},
	} {
		got, ok := nextChange(test.g, test.st)
		if ok == test.no || got != test.want {
			t.Errorf("%s: %+v, %v", test.name, got, ok)
		}
	}
}

func TestReplacementIsOneJointChange(t *testing.T) {
	v2 := change{vote: 9, remove: 2}.conf()
	if auto, joint := v2.EnterJoint(); !joint || !auto || len(v2.Changes) != 2 {
		t.Errorf("%v", v2)
	}
	if _, joint := (change{add: 9}.conf()).EnterJoint(); joint {
		t.Error("a learner is added with a joint change")
	}
}

func TestWhoIsAddedInAPlaceReplacesThatMember(t *testing.T) {
	g := testRegistry()
	must(t, g, &entry{Expect: "d:1", Instead: 2})
	for _, e := range []*entry{
		{Expect: "e:1", Instead: 2},   // by two
		{Expect: "c:1", Instead: 2},   // by another member
		{Expect: "e:1", Instead: 777}, // nobody
	} {
		if why := through(t, g, e); why == "" {
			t.Errorf("%+v is taken", e)
		}
	}
	must(t, g, &entry{Withdraw: "d:1"})
	if len(g.Expected)+len(g.Instead) != 0 {
		t.Errorf("%v %v", g.Expected, g.Instead)
	}
	must(t, g, &entry{Expect: "e:1", Instead: 2})
	must(t, g, &entry{Join: &member{ID: 9, Address: "e:1", Level: 1}})
	if m := g.member(9); m.Replaces != 2 || len(g.Expected)+len(g.Instead) != 0 {
		t.Fatalf("%+v, %v %v", m, g.Expected, g.Instead)
	}
	if why := through(t, g, &entry{Expect: "f:1", Instead: 2}); why == "" {
		t.Error("a member is replaced twice")
	}
	must(t, g, &entry{Expect: "e:1", Instead: 2}) // asked for again
	must(t, g, &entry{Promoted: 9})
	if !slices.Equal(g.ids(), []id{1, 3, 9}) || len(g.Expected)+len(g.Instead) != 0 {
		t.Error(g.ids())
	}
}
