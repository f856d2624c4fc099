package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"qmq/internal/names"
)

// registry is what group 0 agrees on: who the members are and what is to become of
// them, and which topics are replicated. Every member has the same after the same
// entries.
type registry struct {
	Cluster  id       `json:"cluster"`
	Number   int      `json:"number"`
	Patterns []string `json:"patterns,omitempty"`
	// Level is the feature level that all members have; it only grows.
	Level   uint32    `json:"level"`
	Members []*member `json:"members"` // by id
	// Expected are addresses that somebody may join at who replaces nobody.
	Expected []string `json:"expected,omitempty"`
	// Instead says, by such an address, whose place who joins there takes.
	Instead map[string]id `json:"instead,omitempty"`
	// Local are topics that match the patterns and stay local, on all members.
	Local []string `json:"local,omitempty"` // sorted
	// Wanted are names that members want to keep local, and which members: no replicated
	// topic of them is made until they stay local, or are wanted no more.
	Wanted map[string][]id `json:"wanted,omitempty"`
	// Adopted are topics that were local and are replicated: a member that has one of
	// them for itself moves what it holds into the replicated one. Sorted.
	Adopted []string `json:"adopted,omitempty"`
	// Preferred says, by shard, who is to lead it in place of whose turn it would be.
	Preferred map[uint32]id `json:"preferred,omitempty"`
	// Begun says how the set began, if that was not with nothing.
	Begun *begun `json:"begun,omitempty"`
	// Gone are ids of former members, the last few: they are told that they are none.
	Gone []id `json:"gone,omitempty"`
}

// member is one of the set.
type member struct {
	ID      id     `json:"id"`
	Address string `json:"address"`
	Level   uint32 `json:"level"` // the highest that its program knows
	Version string `json:"version,omitempty"`
	// Joining says that it has no vote yet; when it has caught up in all shards it gets
	// one, in the place of Replaces, if there is one.
	Joining  bool `json:"joining,omitempty"`
	Replaces id   `json:"replaces,omitempty"`
	// Leaving says that it is to lose its vote in all shards.
	Leaving bool `json:"leaving,omitempty"`
}

// maxGone is how many former members are remembered.
const maxGone = 64

// newRegistry is that of a set that begins.
func newRegistry(r *record) *registry {
	g := &registry{Cluster: r.Cluster, Number: r.Number, Patterns: r.Patterns, Level: max(1, r.Level)}
	for _, p := range r.Members {
		g.Members = append(g.Members, &member{ID: p.Member, Address: p.Address, Level: g.Level})
	}
	g.sort()
	return g
}

func (g *registry) sort() {
	slices.SortFunc(g.Members, func(a, b *member) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
}

// clone is a copy that may be changed.
func (g *registry) clone() *registry {
	c := *g
	c.Members = make([]*member, len(g.Members))
	for i, m := range g.Members {
		c.Members[i] = new(*m)
	}
	c.Expected, c.Gone = slices.Clone(g.Expected), slices.Clone(g.Gone)
	c.Local, c.Adopted = slices.Clone(g.Local), slices.Clone(g.Adopted)
	c.Preferred, c.Instead = maps.Clone(g.Preferred), maps.Clone(g.Instead)
	c.Wanted = maps.Clone(g.Wanted) // whose lists are never changed
	return &c
}

// member is the one with an id; nil: there is none.
func (g *registry) member(i id) *member {
	for _, m := range g.Members {
		if m.ID == i {
			return m
		}
	}
	return nil
}

// at is the member at an address that is not about to be replaced; nil: there is none.
func (g *registry) at(address string) (found *member) {
	for _, m := range g.Members {
		if m.Address == address && (found == nil || m.Joining) {
			found = m
		}
	}
	return found
}

// addresses are those of all members, and those where somebody is expected.
func (g *registry) addresses() []string {
	list := slices.Clone(g.Expected)
	for _, m := range g.Members {
		list = append(list, m.Address)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// replicates tells whether the topic of a name is, or would be, replicated.
func (g *registry) replicates(name string) bool {
	if _, local := slices.BinarySearch(g.Local, name); local {
		return false
	}
	return matches(g.Patterns, name)
}

// matches tells whether the topic of a name is one of those that patterns are for.
func matches(patterns []string, name string) bool {
	if names.IsEphemeral(name) {
		return false
	}
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// entry is a change of the registry, as group 0 agrees on it: a version, 1, and JSON.
// Fields that are not set are left out. An entry is for all members or none: what does
// not fit what is known when it is applied changes nothing.
type entry struct {
	Join     *member  `json:"join,omitempty"`     // a member, with Joining set
	Seen     *member  `json:"seen,omitempty"`     // a member's address, level and version are these now
	Promoted id       `json:"promoted,omitempty"` // has its vote in all shards; whom it replaces has none any more
	Leave    id       `json:"leave,omitempty"`    // is to lose its vote
	Removed  id       `json:"removed,omitempty"`  // is in no shard any more
	Expect   string   `json:"expect,omitempty"`   // an address
	Instead  id       `json:"instead,omitempty"`  // with Expect: whose place who joins there takes
	Withdraw string   `json:"withdraw,omitempty"` // an address where nobody is expected any more
	Level    uint32   `json:"level,omitempty"`    // all have it
	Local    []string `json:"local,omitempty"`    // names that stay local
	Adopt    string   `json:"adopt,omitempty"`    // a name that is local no more
	Prefer   *prefer  `json:"prefer,omitempty"`
	// From level levelOfNames on: a member wants names, has those that it wanted stay
	// local, or wants them no more.
	Want  *wanted `json:"want,omitempty"`
	Keep  *wanted `json:"keep,omitempty"`
	Waive *wanted `json:"waive,omitempty"`
}

// wanted are names that a member wants.
type wanted struct {
	Member id       `json:"member"`
	Names  []string `json:"names"`
}

// prefer says who is to lead a shard; member 0: whose turn it is, and with All in all
// shards.
type prefer struct {
	Shard  uint32 `json:"shard"`
	Member id     `json:"member"`
	All    bool   `json:"all,omitempty"`
}

const entryVersion = 1

// errUnknownEntry means that an entry was made by a newer version: it must not be
// passed over.
var errUnknownEntry = errors.New("an entry of a newer version: start this node with a newer qd")

func (e *entry) encode() ([]byte, error) {
	line, err := json.Marshal(e)
	return append([]byte{entryVersion}, line...), err
}

func decodeEntry(b []byte) (*entry, error) {
	if len(b) == 0 || b[0] != entryVersion {
		return nil, errUnknownEntry
	}
	d := json.NewDecoder(strings.NewReader(string(b[1:])))
	d.DisallowUnknownFields()
	e := new(entry)
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("%w (%w)", errUnknownEntry, err)
	}
	return e, nil
}

// refused is the outcome of an entry that changed nothing: why. It is empty when
// the entry was applied.
type refused string

// apply makes the change, or says why not.
func (g *registry) apply(e *entry) refused {
	switch {
	case e.Join != nil:
		return g.join(e.Join)
	case e.Seen != nil:
		return g.seen(e.Seen)
	case e.Promoted != 0:
		return g.promoted(e.Promoted)
	case e.Leave != 0:
		return g.leave(e.Leave)
	case e.Removed != 0:
		return g.removed(e.Removed)
	case e.Expect != "":
		return g.expect(e.Expect, e.Instead)
	case e.Withdraw != "":
		g.unexpect(e.Withdraw)
	case e.Level != 0:
		g.Level = max(g.Level, e.Level)
	case len(e.Local) > 0:
		for _, name := range e.Local {
			g.keep(name)
		}
	case e.Want != nil:
		return g.want(e.Want)
	case e.Keep != nil:
		return g.keepWanted(e.Keep)
	case e.Waive != nil:
		g.waive(e.Waive)
	case e.Adopt != "":
		g.Local, g.Adopted = without(g.Local, e.Adopt), with(g.Adopted, e.Adopt)
		delete(g.Wanted, e.Adopt)
	case e.Prefer != nil:
		g.prefer(e.Prefer)
	}
	return ""
}

// with is a sorted list with a name, without one that lacks it.
func with(list []string, name string) []string {
	if at, found := slices.BinarySearch(list, name); !found {
		return slices.Insert(list, at, name)
	}
	return list
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(list, func(other string) bool { return slices.Contains(names, other) })
}

// join takes somebody in who has no vote yet: in place of the member at the same
// address, or where somebody is expected.
func (g *registry) join(m *member) refused {
	if m.ID == 0 || m.Address == "" || slices.Contains(g.Gone, m.ID) {
		return "this member was removed: wipe its directories raft and replicated, and start it again"
	}
	if known := g.member(m.ID); known != nil {
		return "" // it asks again
	}
	if m.Level < g.Level {
		return refused(fmt.Sprintf("the set uses feature level %d and this node knows %d at most: start it with a newer qd", g.Level, m.Level))
	}
	joined := &member{ID: m.ID, Address: m.Address, Level: m.Level, Version: m.Version, Joining: true}
	switch at := g.at(m.Address); {
	case at != nil && at.Joining: // and has been wiped again
		joined.Replaces = at.Replaces
		g.drop(at.ID)
	case at != nil:
		joined.Replaces = at.ID
	case !slices.Contains(g.Expected, m.Address):
		return refused(fmt.Sprintf("the set has no member at %s: q cluster add %s first", m.Address, m.Address))
	default:
		joined.Replaces = g.Instead[m.Address]
	}
	g.unexpect(m.Address)
	g.Members = append(g.Members, joined)
	g.sort()
	return ""
}

// seen notes what is new of a member.
func (g *registry) seen(now *member) refused {
	m := g.member(now.ID)
	if m == nil {
		return "there is no such member"
	}
	m.Address, m.Level, m.Version = now.Address, now.Level, now.Version
	g.unexpect(m.Address)
	g.Expected = slices.DeleteFunc(g.Expected, func(a string) bool { return a == m.Address })
	return ""
}

// promoted makes somebody who joined a full member, and whom it replaces none.
func (g *registry) promoted(i id) refused {
	m := g.member(i)
	if m == nil || !m.Joining {
		return "no such member joins"
	}
	former := m.Replaces
	m.Joining, m.Replaces = false, 0
	if former != 0 {
		g.drop(former)
	}
	return ""
}

// leave has a member lose its vote.
func (g *registry) leave(i id) refused {
	m := g.member(i)
	if m == nil {
		return "there is no such member"
	}
	staying := 0
	for _, other := range g.Members {
		if other.ID != i && !other.Joining && !other.Leaving {
			staying++
		}
	}
	if !m.Joining && staying < 3 {
		return "a set has at least 3 members: add one first, or replace this one by starting a node at its address with an empty data directory"
	}
	m.Leaving = true
	return ""
}

func (g *registry) removed(i id) refused {
	if m := g.member(i); m == nil || !m.Leaving {
		return "no such member leaves"
	}
	g.drop(i)
	return ""
}

// drop makes somebody a former member.
func (g *registry) drop(i id) {
	g.Members = slices.DeleteFunc(g.Members, func(m *member) bool { return m.ID == i })
	g.Gone = append(g.Gone, i)
	if len(g.Gone) > maxGone {
		g.Gone = slices.Delete(g.Gone, 0, len(g.Gone)-maxGone)
	}
	for name := range g.Wanted {
		g.unwant(name, i)
	}
	for shard, preferred := range g.Preferred {
		if preferred == i {
			delete(g.Preferred, shard)
		}
	}
	for address, replaced := range g.Instead {
		if replaced == i {
			delete(g.Instead, address)
		}
	}
}

// maxMembers is how many members, present and expected, a set has.
const maxMembers = 9

// expect lets somebody join at an address, in the place of a member or, with 0, of nobody.
func (g *registry) expect(address string, instead id) refused {
	if why := g.replaceable(instead, address); why != "" {
		return why
	}
	switch there := g.at(address); {
	case there != nil && there.Joining && there.Replaces == instead:
		return "" // it is asked for again
	case there != nil && instead != 0:
		return refused(fmt.Sprintf("member %s is at %s: an address is that of one member", show(there.ID), address))
	case there != nil:
		return ""
	case !slices.Contains(g.Expected, address):
		if len(g.addresses()) >= maxMembers {
			return refused(fmt.Sprintf("a set has %d members at most", maxMembers))
		}
		g.Expected = append(g.Expected, address)
	}
	delete(g.Instead, address)
	if instead != 0 {
		if g.Instead == nil {
			g.Instead = make(map[string]id)
		}
		g.Instead[address] = instead
	}
	return ""
}

// replaceable tells why somebody at an address is not to take a member's place.
func (g *registry) replaceable(i id, by string) refused {
	if i == 0 {
		return ""
	}
	if m := g.member(i); m == nil || m.Joining || m.Leaving {
		return "only a member that has a vote and does not leave can be replaced"
	}
	for _, m := range g.Members {
		if m.Replaces == i && m.Address != by {
			return refused(fmt.Sprintf("it is being replaced already, by the member at %s", m.Address))
		}
	}
	for address, replaced := range g.Instead {
		if replaced == i && address != by {
			return refused(fmt.Sprintf("it is to be replaced already, by whoever joins at %s: q cluster remove %s takes that back", address, address))
		}
	}
	return ""
}

// unexpect has nobody expected at an address.
func (g *registry) unexpect(address string) {
	g.Expected = slices.DeleteFunc(g.Expected, func(a string) bool { return a == address })
	delete(g.Instead, address)
}

func (g *registry) prefer(p *prefer) {
	switch {
	case p.All:
		g.Preferred = nil
	case p.Member == 0:
		delete(g.Preferred, p.Shard)
	default:
		if g.Preferred == nil {
			g.Preferred = make(map[uint32]id)
		}
		g.Preferred[p.Shard] = p.Member
	}
}
