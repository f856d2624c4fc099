package cluster

import (
	"slices"
	"strings"
	"testing"
)

// at is what the one at an address said: no set, unless edit says otherwise.
func at(address string, member id, edit func(*stand)) seen {
	s := &stand{Member: member}
	if edit != nil {
		edit(s)
	}
	return seen{address: address, stand: s}
}

func inSet(cluster id) func(*stand) {
	return func(s *stand) { s.Cluster, s.Open = cluster, true }
}

func TestNodeInNoSetDecidesByWhatOthersSay(t *testing.T) {
	members := []place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
	offered := newRecord(members, 7, nil)
	older := newRecord([]place{{9, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil)
	pendingAt := func(r *record) func(*stand) { return func(s *stand) { s.Record = r } }
	fresh := newRecord(members, 8, nil)
	for _, test := range []struct {
		name    string
		own     place
		pending *record
		others  []seen
		do      action
		record  *record
		of      id
		wait    string
		former  *former
	}{
		{name: "own log forgot, all there", own: members[0], former: &former{9, 5, "power"}, others: []seen{at("b:1", 2, nil), at("c:1", 3, nil)}, do: waits, wait: "a member of set 0000000000000005 that has all it acknowledged: a:1 was one and has not (power)"},
		{name: "another's log forgot, all there", own: members[0], others: []seen{at("b:1", 2, nil), at("c:1", 3, func(s *stand) { s.Former = &former{9, 5, "power"} })}, do: waits, wait: "c:1 was one and has not"},
		{name: "own log forgot, its set runs", own: members[0], former: &former{9, 5, "power"}, others: []seen{at("b:1", 2, inSet(5)), {address: "c:1"}}, do: joins, of: 5},
		{name: "all there, lowest", own: members[0], others: []seen{at("b:1", 2, nil), at("c:1", 3, nil)}, do: offers, record: fresh},
		{name: "all there, not lowest", own: members[1], others: []seen{at("a:1", 1, nil), at("c:1", 3, nil)}, do: waits, wait: "a:1, which begins the set"},
		{name: "one is missing", own: members[0], others: []seen{at("b:1", 2, nil), {address: "c:1", failure: "connection refused"}}, do: waits, wait: "c:1 (connection refused)"},
		{name: "two are missing", own: members[0], others: []seen{{address: "b:1"}, {address: "c:1"}}, do: waits, wait: "b:1, c:1"},
		{name: "offered, all there: the same again", own: members[0], pending: offered, others: []seen{at("b:1", 2, pendingAt(offered)), at("c:1", 3, nil)}, do: offers, record: offered},
		{name: "offered to another alone", own: members[0], others: []seen{at("b:1", 2, pendingAt(offered)), at("c:1", 3, nil)}, do: offers, record: offered},
		{name: "offered, one is missing: it may have begun", own: members[0], pending: offered, others: []seen{at("b:1", 2, pendingAt(offered)), {address: "c:1"}}, do: waits, wait: "c:1"},
		{name: "offered with one that was wiped since", own: members[0], pending: nil, others: []seen{at("b:1", 2, pendingAt(older)), at("c:1", 3, pendingAt(older))}, do: offers, record: fresh},
		{name: "two records", own: members[0], pending: offered, others: []seen{at("b:1", 2, pendingAt(older)), at("c:1", 3, nil)}, do: offers, record: fresh},
		{name: "it has begun elsewhere", own: members[1], pending: offered, others: []seen{at("a:1", 1, inSet(offered.Cluster)), {address: "c:1"}}, do: begins, record: offered},
		{name: "another set runs", own: members[1], pending: offered, others: []seen{at("a:1", 1, inSet(5)), at("c:1", 3, nil)}, do: joins, of: 5},
		{name: "wiped: its set runs", own: place{10, "b:1"}, others: []seen{at("a:1", 1, inSet(offered.Cluster)), at("c:1", 3, inSet(offered.Cluster))}, do: joins, of: offered.Cluster},
		{name: "record names a former self", own: place{10, "b:1"}, pending: offered, others: []seen{at("a:1", 1, inSet(offered.Cluster)), {address: "c:1"}}, do: joins, of: offered.Cluster},
		{name: "set without a leader", own: members[1], others: []seen{at("a:1", 1, func(s *stand) { s.Cluster = 5 }), {address: "c:1"}}, do: waits, wait: "the leader of set 0000000000000005"},
		{name: "two sets", own: members[1], others: []seen{at("a:1", 1, inSet(5)), at("c:1", 3, inSet(6))}, do: waits, wait: "they are of two sets"},
	} {
		got := decide(test.own, stand{Member: test.own.Member, Record: test.pending, Former: test.former}, test.others, func(list []place, level uint32) *record {
			if !fresh.of(list) {
				t.Errorf("%s: a record of %v", test.name, list)
			}
			return fresh
		})
		if got.do != test.do || got.record != test.record || got.of != test.of || !strings.Contains(got.wait, test.wait) {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// TestSetBeginsWithWhatAllItsMembersKnow, and as older versions do where one of them is one.
func TestSetBeginsWithWhatAllItsMembersKnow(t *testing.T) {
	knows := func(level uint32) func(*stand) { return func(s *stand) { s.Level = level } }
	for _, test := range []struct{ a, b, c, want uint32 }{{8, 8, 8, 8}, {9, 8, 10, 8}, {7, 8, 8, 7}, {8, 0, 8, 0}} {
		got := uint32(99)
		decide(place{1, "a:1"}, stand{Member: 1, Level: test.a}, []seen{at("b:1", 2, knows(test.b)), at("c:1", 3, knows(test.c))}, func(_ []place, level uint32) *record {
			got = level
			return nil
		})
		if got != test.want {
			t.Errorf("%+v: level %d", test, got)
		}
		g := newRegistry(&record{Members: []place{{1, "a:1"}}, Level: got})
		if want := max(1, test.want); g.Level != want || g.Members[0].Level != want {
			t.Errorf("%+v: group 0 begins with level %d", test, g.Level)
		}
	}
}

func TestNumberOfASetIsGivenOrMadeOfItsID(t *testing.T) {
	members := []place{{3, "c:1"}, {1, "a:1"}, {2, "b:1"}}
	if r := newRecord(members, 12, nil); r.Number != 12 || r.Members[0].Address != "a:1" || !slices.Equal(r.ids(), []uint64{1, 2, 3}) {
		t.Errorf("%+v", r)
	}
	if r := newRecord(members, -1, nil); r.Number != int(r.Cluster%1024) || r.check() != nil {
		t.Errorf("%+v", r)
	}
}
