package replica

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"qmq/replica/machine"
)

// served is what a world has whose members serve topics, as package serve does: who
// publishes and consumes, and what must hold of what they see. The goroutines of the
// product run in the bubble of a test, between two events of the world; what they want of
// the world waits in the inbox until none of them goes on by itself.
type served struct {
	w      *world
	begun  time.Time
	inbox  inbox
	ending sync.WaitGroup // processes that are over
	links  [][]simLink    // from slot, to slot
	slots  sync.Map       // of members' ids

	ready    bool   // topics, channels and settings are there
	hour     bool   // all that was finished is kept
	leading  uint64 // the highest term that anybody serves in
	t, dead  uint64 // incarnations
	once     onceModel
	rows     map[[2]uint64]origin // by topic and member
	log      []*stored
	channels []*simChannel
	pubs     []*publication
	made     int // bounded channels that were asked for
	waiting  int // publications whose fate nobody knows
	recent   []*simMessage
	counts   servedCounts
}

// servedCounts is how much of what a run saw.
type servedCounts struct {
	okayed, refused, doubles, again, letters, rewinds, bounded, deliveries int
}

func (c *servedCounts) add(o servedCounts) {
	c.okayed += o.okayed
	c.refused += o.refused
	c.doubles += o.doubles
	c.again += o.again
	c.letters += o.letters
	c.rewinds += o.rewinds
	c.bounded += o.bounded
	c.deliveries += o.deliveries
}

func (c servedCounts) String() string {
	return fmt.Sprintf("%d publishes OK'd, %d refused; %d doubles left out, ids stored again %d; %d deliveries, %d dead letters, %d rewinds, %d bounded channels",
		c.okayed, c.refused, c.doubles, c.again, c.deliveries, c.letters, c.rewinds, c.bounded)
}

func newServed(w *world) *served {
	d := &served{w: w, begun: time.Now(), links: make([][]simLink, w.slots), hour: w.seed%3 != 1, rows: make(map[[2]uint64]origin)}
	for slot := range d.links {
		d.links[slot] = make([]simLink, w.slots)
	}
	d.inbox.signal = make(chan struct{}, 1)
	d.once = newOnceModel()
	w.after(w.between(0, 100*time.Millisecond), d.relink)
	w.after(w.between(500*time.Millisecond, time.Second), d.setUp)
	return d
}

// inbox is what goroutines of the product want done.
type inbox struct {
	signal chan struct{} // of capacity 1

	mu   sync.Mutex // guards list
	list []func()
}

func (b *inbox) put(f func()) {
	b.mu.Lock()
	b.list = append(b.list, f)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}

// settle lets the goroutines of the product run until all of them wait, and does what
// they want.
func (d *served) settle() {
	for d.w.err == nil {
		synctest.Wait()
		list := d.inbox.take()
		if len(list) == 0 {
			return
		}
		d.w.now = max(d.w.now, time.Since(d.begun))
		for _, f := range list {
			f()
		}
	}
}

// sleep sleeps until a time; false: something came into the inbox before.
func (d *served) sleep(until time.Duration) bool {
	rest := until - time.Since(d.begun)
	if rest <= 0 {
		return true
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.inbox.signal:
		return false
	}
}

// end ends all processes, and waits for their goroutines.
func (d *served) end() {
	for _, n := range d.w.nodes {
		n.end()
	}
	d.ending.Wait()
	synctest.Wait()
}

// leader is who serves in the highest term; nil: nobody does now.
func (d *served) leader() *simServer {
	for _, n := range d.w.nodes {
		if n.up() && n.server != nil && n.server.term == d.leading && d.leading > 0 {
			return n.server
		}
	}
	return nil
}

// agreed takes up what an entry did where it was applied first.
func (d *served) agreed(index uint64, data []byte, out machine.Outcome) {
	d.agreedParts(index, data, out.Parts)
	for i := range out.Topology {
		d.agreedChange(index, &out.Topology[i])
	}
}

// simLink is a connection from one slot to another: frames come in their order until it
// breaks.
type simLink struct {
	last   time.Duration // when the last one comes
	broken atomic.Bool
}

// linked tells whether there is one between a slot and a member. Any goroutine may ask.
func (d *served) linked(from int, member uint64) bool {
	to, there := d.slots.Load(member)
	return there && !d.links[from][to.(int)].broken.Load()
}

// frame brings something over a link.
func (d *served) frame(from *simNode, to uint64, arrive func(*simServer)) {
	target := d.w.ids[to]
	if target == nil {
		return
	}
	l := &d.links[from.slot][target.slot]
	if d.w.net.cut[[2]int{from.slot, target.slot}] || d.w.chance(d.w.net.loss/20) {
		l.broken.Store(true)
	}
	if l.broken.Load() || target.server == nil {
		l.broken.Store(true)
		return
	}
	l.last = max(l.last, d.w.now+d.w.between(50*time.Microsecond, time.Millisecond))
	life := target.life
	d.w.after(l.last-d.w.now, func() {
		if target.life == life && !l.broken.Load() {
			target.do(func() { arrive(target.server) })
		}
	})
}

// relink makes broken links anew where nothing is cut, and tells both sides.
func (d *served) relink() {
	for from := range d.w.slots {
		for to := range from {
			a, b := d.w.nodes[from], d.w.nodes[to]
			there, back := &d.links[from][to].broken, &d.links[to][from].broken
			if !there.Load() && !back.Load() || d.w.net.cut[[2]int{from, to}] || d.w.net.cut[[2]int{to, from}] || a.server == nil || b.server == nil {
				continue
			}
			a.hears(b.knows.Load())
			b.hears(a.knows.Load())
			there.Store(false)
			back.Store(false)
			a.do(func() { a.server.node.LinkChanged(b.id) })
			b.do(func() { b.server.node.LinkChanged(a.id) })
		}
	}
	d.w.after(d.w.between(10*time.Millisecond, 100*time.Millisecond), d.relink)
}
