package admin

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"qmq/admin/cluster"
)

// How questions are asked.
const (
	slowestWait   = 700 * time.Millisecond // how long an update waits for slow nodes
	questionsOnce = 16                     // to nodes and directories at a time, those that hang apart
	lateAfter     = slowestWait / 4        // a question hangs
	pokeGap       = 100 * time.Millisecond
)

// collector asks all nodes for all viewers. Its run goroutine owns the rhythm;
// every question has a goroutine of its own, at most one a node.
type collector struct {
	up  *upstream
	log *slog.Logger

	mu          sync.Mutex // guards what follows; held for computing only, never across I/O
	cluster     *cluster.Cluster
	changed     chan struct{} // closed at the next update
	updates     uint64
	viewers     int
	viewersFrom map[string]int // by their addresses
	round       int            // of questions
	asking      int            // questions of this round under way
	answered    chan struct{}  // gets one when asking falls to 0
	consumers   *consumerCache

	tellAlerts func([]cluster.Alert) // of lines that started or ended; does not change once it runs

	wake      chan struct{} // gets one to ask at once
	slots     chan struct{} // bounds questions
	questions sync.WaitGroup
	ctx       context.Context // of questions; ends with the collector
	cancel    context.CancelFunc
	stopped   bool // no more questions; with mu
	ended     chan struct{}
}

func newCollector(up *upstream, lookupds []string, historyBytes int, log *slog.Logger) *collector {
	c := &collector{
		viewersFrom: make(map[string]int),
		up:          up, log: log, cluster: cluster.New(historyBytes, up.direct), changed: make(chan struct{}), answered: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, questionsOnce), ended: make(chan struct{}),
	}
	c.tellAlerts = func([]cluster.Alert) {}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.consumers = newConsumerCache(c)
	c.cluster.SetLookupds(lookupds)
	return c
}

// start begins to ask, until stop.
func (c *collector) start() { go c.run(c.ctx) }

// stop ends the questions under way and waits for them. It is called once,
// after start.
func (c *collector) stop() {
	c.cancel()
	<-c.ended
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.questions.Wait()
}

func (c *collector) run(ctx context.Context) {
	defer close(c.ended)
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			if !c.wait(ctx, pokeGap) {
				return
			}
		case <-next.C:
		}
		start := time.Now()
		c.ask(start)
		timeout := time.NewTimer(slowestWait)
		select {
		case <-ctx.Done():
			timeout.Stop()
			return
		case <-c.answered:
		case <-timeout.C:
		}
		timeout.Stop()
		c.update(time.Now())
		next.Reset(max(pokeGap, time.Until(start.Add(c.interval()))))
	}
}

// wait waits for d, in which one poke more changes nothing. It tells whether to go
// on.
func (c *collector) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// poke makes the collector ask soon.
func (c *collector) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *collector) interval() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.intervalLocked()
}

func (c *collector) intervalLocked() time.Duration {
	if c.viewers > 0 {
		return cluster.LiveInterval
	}
	return cluster.IdleInterval
}

// enter counts a viewer until leave is called, if there are fewer than most, and
// not too many of them from one address.
func (c *collector) enter(from string, most int) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.viewers >= most || c.viewersFrom[from] >= max(1, most/viewerShare) {
		return nil, false
	}
	c.viewersFrom[from]++
	if c.viewers++; c.viewers == 1 {
		c.poke()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.viewers--
		if c.viewersFrom[from]--; c.viewersFrom[from] == 0 {
			delete(c.viewersFrom, from)
		}
	}, true
}

// viewerShare is which part of the streams one address may have.
const viewerShare = 4

// ask begins the questions that are due.
func (c *collector) ask(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.answered: // of the last round
	default:
	}
	c.round++
	c.asking = 0
	lookupds, nodes := c.cluster.Due(now)
	for _, q := range lookupds {
		c.question(func(ctx context.Context) { c.askLookupd(ctx, q) })
	}
	for _, q := range nodes {
		c.question(func(ctx context.Context) { c.askNode(ctx, q) })
	}
	if c.asking == 0 {
		c.answered <- struct{}{}
	}
}

// question runs f in its turn. The caller holds the lock.
func (c *collector) question(f func(context.Context)) {
	c.asking++
	round := c.round
	c.questions.Go(func() {
		c.inTurn(f)
		c.mu.Lock()
		defer c.mu.Unlock()
		if round != c.round {
			return // nobody waits for it any more
		}
		if c.asking--; c.asking == 0 {
			select {
			case c.answered <- struct{}{}:
			default:
			}
		}
	})
}

// inTurn runs f when there is a slot. A question that takes long gives its slot
// back: nodes that hang do not keep others from being asked.
func (c *collector) inTurn(f func(context.Context)) {
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	free := sync.OnceFunc(func() { <-c.slots })
	defer free()
	late := time.AfterFunc(lateAfter, free)
	defer late.Stop()
	f(c.ctx)
}

// update adds up, tells the viewers, and logs who does not answer.
func (c *collector) update(now time.Time) {
	silent, alerts := c.addUp(now)
	logTransitions(c.log, silent)
	c.tellAlerts(alerts)
}

func (c *collector) addUp(now time.Time) (silent []cluster.Transition, alerts []cluster.Alert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What was polled rarely until now is not old at once.
	interval := max(c.intervalLocked(), min(now.Sub(c.cluster.UpdatedAt()), cluster.IdleInterval))
	c.cluster.Update(now, interval)
	c.consumers.forget(now)
	c.updates++
	close(c.changed)
	c.changed = make(chan struct{})
	return c.cluster.Transitions(), c.cluster.TakeAlerts()
}

// read calls f with what is known, and returns the number of the update that it
// is from and what is closed at the next one. f may not wait for anything.
func (c *collector) read(f func(*cluster.Cluster)) (update uint64, next <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.cluster)
	return c.updates, c.changed
}

// catchUp sees to it that what is known is not older than a viewer's, and waits
// for that a moment: without viewers nodes are asked rarely.
func (c *collector) catchUp(ctx context.Context) {
	var now time.Time
	_, next := c.read(func(k *cluster.Cluster) { now = k.UpdatedAt() })
	if time.Since(now) < 2*cluster.LiveInterval {
		return
	}
	c.poke()
	wait := time.NewTimer(firstWait)
	defer wait.Stop()
	select {
	case <-next:
	case <-wait.C:
	case <-ctx.Done():
	}
}

// firstUpdate waits until there is something to show.
func (c *collector) firstUpdate(ctx context.Context) {
	for {
		update, next := c.read(func(*cluster.Cluster) {})
		if update > 0 {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}
