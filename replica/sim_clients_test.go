package replica

import "time"

// producer numbers a node's batches and keeps them until their fate is known.
type producer struct {
	epoch  uint64 // survives: it is synced before it is used
	number uint64
	unsure []origin // in order
	leader uint64
	sent   time.Duration
}

// startClients begins a new epoch.
func (n *simNode) startClients() {
	n.producer = producer{epoch: n.producer.epoch + 1}
	if n.w.served != nil {
		n.server = n.w.served.start(n, n.producer.epoch)
		return
	}
	n.later(n.w.between(0, 50*time.Millisecond), n.publish)
}

func (n *simNode) publish() {
	p := &n.producer
	if len(p.unsure) < 8 && !n.w.ending {
		p.number++
		p.unsure = append(p.unsure, origin{n.id, p.epoch, p.number})
		n.sendParts(p.unsure[len(p.unsure)-1:])
	}
	if n.w.now-p.sent > 300*time.Millisecond {
		n.sendAgain()
	}
	n.later(n.w.between(10*time.Millisecond, 80*time.Millisecond), n.publish)
}

// sendAgain sends all whose fate is not known.
func (n *simNode) sendAgain() {
	n.producer.sent = n.w.now
	if len(n.producer.unsure) > 0 {
		n.sendParts(n.producer.unsure)
	}
}

func (n *simNode) sendParts(parts []origin) {
	switch leader := n.producer.leader; leader {
	case 0:
	case n.id:
		for _, p := range parts {
			n.collect(p)
		}
	default:
		for _, p := range parts {
			n.w.send(n, leader, func(to *simNode) { to.collect(p) })
		}
	}
}

// fates tells publishers what their node's own machine did.
func (n *simNode) fates(e simEntry, out simOutcome) {
	for i, part := range e.parts {
		if part.member == n.id && part.epoch == n.producer.epoch && (out.parts[i] == partApplied || out.parts[i] == partDuplicate) {
			n.known(part)
		}
	}
}

// fatesOfState does so after a snapshot.
func (n *simNode) fatesOfState() {
	row := n.machine.row(n.id)
	for len(n.producer.unsure) > 0 && row.epoch == n.producer.epoch && n.producer.unsure[0].number <= row.number {
		n.known(n.producer.unsure[0])
	}
}

func (n *simNode) known(part origin) {
	for i, u := range n.producer.unsure {
		if u == part {
			n.producer.unsure = append(n.producer.unsure[:i:i], n.producer.unsure[i+1:]...)
			n.producer.sent = n.w.now
			n.w.okay(part)
			return
		}
	}
}

// collector puts parts that arrive at a leader into entries, one at a time.
type collector struct {
	parts    []origin
	inFlight bool
}

func (n *simNode) collect(p origin) {
	if n.leads() && len(n.collector.parts) < 100 {
		n.collector.parts = append(n.collector.parts, p)
		n.propose()
	}
}

func (n *simNode) propose() {
	c := &n.collector
	if c.inFlight || len(c.parts) == 0 {
		return
	}
	group := c.parts[:min(len(c.parts), 8)]
	c.parts = c.parts[len(group):]
	c.inFlight = true
	own := n.w.seed%2 == 0 // as if nobody else waited: who does hears of it with the next tick
	n.core.propose(&proposal{data: simEntry{parts: group}.encode(), own: own, done: func(_ any, err error) {
		c.inFlight = false
		if err != nil {
			c.parts = nil
		}
		n.propose()
	}})
}

// serving is what a leader keeps beyond what is applied: here a floor, which
// moves on and is proposed as it was.
type serving struct{ term, floor uint64 }

func (n *simNode) serve(term uint64) {
	s := &serving{term, n.machine.now().floor}
	n.serving = s
	n.later(n.w.between(0, 50*time.Millisecond), func() { n.change(s) })
}

// change proposes what changed. Between the making and the proposing of an entry
// there may be time enough for other leaders.
func (n *simNode) change(s *serving) {
	if n.serving != s || n.w.ending || n.w.whole {
		return
	}
	s.floor += n.w.rng.Uint64N(3)
	e := simEntry{term: s.term, floor: s.floor}
	delay := n.w.between(0, 20*time.Millisecond)
	if n.w.chance(0.1) {
		delay = n.w.between(0, 4*time.Second)
	}
	n.later(delay, func() {
		n.core.propose(&proposal{data: e.encode(), done: func(any, error) {
			n.later(n.w.between(10*time.Millisecond, 60*time.Millisecond), func() { n.change(s) })
		}})
	})
}
