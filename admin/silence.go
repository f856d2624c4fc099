package admin

import (
	"log/slog"
	"time"
)

// turn is a node or directory that has stopped to answer, or answers again.
type turn struct {
	kind    string // node or lookup daemon
	address string
	lost    bool
	since   time.Time
	problem string
}

// mostTurns bounds the lines of one update: a network that fails is one event.
const mostTurns = 20

// turns lists who has stopped to answer since the last call, or answers again,
// which takes several questions each: whoever comes and goes faster is not told
// of.
func (c *cluster) turns() (list []turn) {
	look := func(kind, address string, k *contact) {
		if k.lost != k.told {
			k.told = k.lost
			list = append(list, turn{kind, address, k.lost, k.silent, k.problem})
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

// logTurns logs them, a few one by one and the rest by their number.
func logTurns(log *slog.Logger, list []turn) {
	for _, t := range list[:min(len(list), mostTurns)] {
		if t.lost {
			log.Warn(t.kind+" does not answer", "address", t.address, "since", t.since.Format(time.RFC3339), "error", t.problem)
		} else {
			log.Info(t.kind+" answers again", "address", t.address)
		}
	}
	rest := list[min(len(list), mostTurns):]
	lost := 0
	for _, t := range rest {
		if t.lost {
			lost++
		}
	}
	if lost > 0 {
		log.Warn("more of them do not answer", "count", lost)
	}
	if back := len(rest) - lost; back > 0 {
		log.Info("more of them answer again", "count", back)
	}
}
