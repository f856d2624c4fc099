package cluster

import (
	"slices"
	"time"
)

// A process that does not get the CPU cannot say how long its disk takes: a save is done,
// and nobody runs who would notice. So a time counts as far as the process had the CPU in
// it when it wanted to: of the time between two looks, which should be watchEvery, no more
// than that where the second is later than lateLook. While a disk hangs the looks go on,
// and it is noticed however busy the machine is; in a process that is starved nearly no
// time passes.
const (
	lateLook = 2 * watchEvery
	// lateKept is for how long late looks are remembered: what takes longer than that
	// counts as long.
	lateKept = 10 * time.Second
)

// pulse tells how much of a time the process had the CPU when it wanted to. It has no
// clock; the zero value is ready, and knows of no wait.
type pulse struct {
	looked time.Duration
	late   []gap // the oldest first
}

// gap is the time between two looks.
type gap struct{ from, to time.Duration }

// look is called every watchEvery by a goroutine that does nothing else for long.
func (p *pulse) look(now time.Duration) {
	if p.looked > 0 && now-p.looked > lateLook {
		p.late = append(p.late, gap{p.looked, now})
	}
	p.looked = now
	p.late = slices.DeleteFunc(p.late, func(g gap) bool { return now-g.to > lateKept })
}

// had is how much the process had of what took so long until then.
func (p *pulse) had(took, until time.Duration) time.Duration {
	from := until - took
	for _, g := range p.late {
		if part := min(g.to, until) - max(g.from, from); part > watchEvery {
			took -= part - watchEvery
		}
	}
	return took
}
