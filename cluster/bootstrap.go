package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// A node that is in no set asks those at the addresses of its list what they know.
// What it does then is decided here, of what was said, and nothing else:
//
//   - Somebody is in a set: this node joins it, or, if it is one of those whom the set
//     began with, begins too.
//   - One of them, or this one, was in a set whose log it may have forgotten in part:
//     it waits for a member of that set that has not.
//   - All are there and in none: the one with the lowest address makes a record of
//     them, or takes the one that was offered before, and offers it to all. Each keeps
//     it, synced, before it says so. When all have, the set begins.
//   - Else it waits.
//
// So nobody has to be told whether a set is new. Two records never both begin: the
// second is made only when all of the first's members are seen without a set or are
// gone for good, and until one has begun it takes all of them.

// stand is where a member stands, as it says itself.
type stand struct {
	Member  id      `json:"member"`
	Cluster id      `json:"cluster"` // it is in this set; 0: in none
	Record  *record `json:"record,omitempty"`
	// Open says that the member can tell group 0's leader of somebody who joins.
	Open bool `json:"open"`
	// Gone says that whoever asks was a member of the set and is none any more.
	Gone bool `json:"gone,omitempty"`
	// Level is the highest feature level that the member's program knows; 0: it is of an older
	// version, and does not know that of a record.
	Level uint32 `json:"level,omitempty"`
	// Former says that the member was in a set and may have forgotten what it
	// acknowledged there: it can only join.
	Former *former `json:"former,omitempty"`
}

// seen is what is known of the one at an address.
type seen struct {
	address string
	stand   *stand // nil: it has not said
	failure string // why not
}

// step is what a node that is in no set does next.
type step struct {
	do     action
	record *record // that is offered, or begins
	of     id      // the set that is joined
	via    id      // a member of it
	wait   string  // for whom, and why
}

type action int

const (
	waits  action = iota
	offers        // the record, to all
	begins        // the set of its record
	joins         // the set of another
)

// decide says what the member own at an address does, which stands as it says, when it
// knows this of the others. fresh makes a record of members who all know a feature level.
func decide(own place, mine stand, others []seen, fresh func([]place, uint32) *record) step {
	pending := mine.Record
	if s, ok := decideByOthers(own, pending, others); ok {
		return s
	}
	if s, ok := waitForMemory(own, mine, others); ok {
		return s
	}
	members, level := []place{own}, mine.Level
	records := make(map[id]*record)
	if pending != nil {
		records[pending.Cluster] = pending
	}
	for _, o := range others {
		if o.stand == nil {
			return step{do: waits, wait: waitFor(others)}
		}
		members, level = append(members, place{o.stand.Member, o.address}), min(level, o.stand.Level)
		if r := o.stand.Record; r != nil {
			records[r.Cluster] = r
		}
	}
	if lowest := slices.MinFunc(members, func(a, b place) int { return strings.Compare(a.Address, b.Address) }); lowest != own {
		return step{do: waits, wait: fmt.Sprintf("%s, which begins the set as the lowest address", lowest.Address)}
	}
	if len(records) == 1 {
		for _, r := range records {
			if r.of(members) {
				return step{do: offers, record: r}
			}
		}
	}
	return step{do: offers, record: fresh(members, level)}
}

// decideByOthers is what to do when somebody is in a set already.
func decideByOthers(own place, pending *record, others []seen) (step, bool) {
	var member *stand
	for _, o := range others {
		switch {
		case o.stand == nil || o.stand.Cluster == 0:
		case pending != nil && pending.Cluster == o.stand.Cluster && pending.has(own.Member):
			return step{do: begins, record: pending}, true
		case member != nil && member.Cluster != o.stand.Cluster:
			return step{do: waits, wait: fmt.Sprintf("correct --cluster-peers: they are of two sets, %s and %s", show(member.Cluster), show(o.stand.Cluster))}, true
		case member == nil || o.stand.Open:
			member = o.stand
		}
	}
	switch {
	case member == nil:
		return step{}, false
	case !member.Open:
		return step{do: waits, wait: fmt.Sprintf("the leader of set %s", show(member.Cluster))}, true
	}
	return step{do: joins, of: member.Cluster, via: member.Member}, true
}

// waitForMemory is to wait when somebody was in a set and has forgotten.
func waitForMemory(own place, mine stand, others []seen) (step, bool) {
	for _, o := range append([]seen{{address: own.Address, stand: &mine}}, others...) {
		if o.stand != nil && o.stand.Former != nil {
			f := o.stand.Former
			return step{do: waits, wait: fmt.Sprintf("a member of set %s that has all it acknowledged: %s was one and has not (%s). If there is none left, use qd cluster force-new", show(f.Cluster), o.address, f.Why)}, true
		}
	}
	return step{}, false
}

// waitFor says who is waited for, and what is known of them.
func waitFor(others []seen) string {
	var list []string
	for _, o := range others {
		switch {
		case o.stand != nil:
		case o.failure != "":
			list = append(list, o.address+" ("+o.failure+")")
		default:
			list = append(list, o.address)
		}
	}
	return strings.Join(list, ", ")
}

func show(i id) string { return fmt.Sprintf("%016x", uint64(i)) }
