package admin

import (
	"log/slog"
	"time"

	"qmq/admin/cluster"
)

// maxTransitions bounds the lines of one update: a network that fails is one event.
const maxTransitions = 20

// logTransitions logs them, a few one by one and the rest by their number.
func logTransitions(log *slog.Logger, list []cluster.Transition) {
	for _, t := range list[:min(len(list), maxTransitions)] {
		if t.Lost {
			log.Warn(t.Kind+" does not answer", "address", t.Address, "since", t.Since.Format(time.RFC3339), "error", t.Problem)
		} else {
			log.Info(t.Kind+" answers again", "address", t.Address)
		}
	}
	rest := list[min(len(list), maxTransitions):]
	lost := 0
	for _, t := range rest {
		if t.Lost {
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
