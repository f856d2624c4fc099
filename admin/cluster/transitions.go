package cluster

import "time"

// Transition is a node or directory that has stopped to answer, or answers again.
type Transition struct {
	Kind    string // node or lookup daemon
	Address string
	Lost    bool
	Since   time.Time
	Problem string
}

// Transitions lists who has stopped to answer since the last call, or answers again,
// which takes several questions each: whoever comes and goes faster is not told
// of.
func (c *Cluster) Transitions() (list []Transition) {
	look := func(kind, address string, k *contact) {
		if k.lost != k.told {
			k.told = k.lost
			list = append(list, Transition{kind, address, k.lost, k.silent, k.problem})
		}
	}
	for _, l := range c.lookupds {
		look("lookup daemon", l.address, &l.contact)
	}
	for _, n := range c.order {
		look("node", n.address, &n.contact)
	}
	return list
}
