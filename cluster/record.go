package cluster

import (
	"fmt"
	"slices"
	"strings"

	"qmq/cluster/link"
)

// record is with what a set begins: the same on all its first members.
type record struct {
	Cluster  id       `json:"cluster"`
	Number   int      `json:"number"` // in ids of messages
	Patterns []string `json:"patterns,omitempty"`
	Members  []place  `json:"members"` // by address
	// Level is the feature level that the set uses from its beginning, which all its first
	// members know; 0, of an older version: 1.
	Level uint32 `json:"level,omitempty"`
}

// place is a member at an address.
type place struct {
	Member  id     `json:"member"`
	Address string `json:"address"`
}

// numbers is how many sets can be told apart in ids of messages.
const numbers = 1 << 10

// newRecord is one of a new set of these members.
func newRecord(members []place, number int, patterns []string) *record {
	r := &record{Cluster: newID(), Number: number, Patterns: patterns, Members: slices.Clone(members)}
	if r.Number < 0 {
		r.Number = int(r.Cluster % numbers)
	}
	slices.SortFunc(r.Members, func(a, b place) int { return strings.Compare(a.Address, b.Address) })
	return r
}

// check says what is wrong with a record that came from elsewhere.
func (r *record) check() error {
	if r.Cluster == 0 || r.Number < 0 || r.Number >= numbers || len(r.Members) < 3 {
		return fmt.Errorf("the record of cluster %s makes no sense", link.ID(uint64(r.Cluster)))
	}
	return nil
}

// has tells whether a member is one of the first.
func (r *record) has(member id) bool {
	return slices.ContainsFunc(r.Members, func(p place) bool { return p.Member == member })
}

// of tells whether the record is of exactly these members.
func (r *record) of(members []place) bool {
	return len(r.Members) == len(members) && !slices.ContainsFunc(members, func(p place) bool { return !slices.Contains(r.Members, p) })
}

// ids are those of the first members.
func (r *record) ids() (list []uint64) {
	for _, p := range r.Members {
		list = append(list, uint64(p.Member))
	}
	slices.Sort(list)
	return list
}
