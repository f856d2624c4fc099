package admin

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"qmq/internal/qdapi"
	"qmq/lookup"
)

// How often is asked.
const (
	liveInterval  = time.Second      // while somebody looks
	idleInterval  = 10 * time.Second // so that there are charts when somebody comes
	lookupEvery   = 5 * time.Second
	memoryEvery   = 10 * time.Second // it makes nsqd stop for a moment
	versionEvery  = time.Minute
	settleTime    = 700 * time.Millisecond // how long an update waits for slow nodes
	questionsOnce = 16                     // to nodes and directories at a time
	pokeGap       = 100 * time.Millisecond
)

// collector asks all nodes for all viewers. Its run goroutine owns the rhythm;
// every question has a goroutine of its own, at most one a node.
type collector struct {
	up  *upstream
	log *slog.Logger

	mu      sync.Mutex // guards what follows; held for computing only, never across I/O
	cluster *cluster
	changed chan struct{} // closed at the next update
	updates uint64
	viewers int
	round   int           // of questions
	asking  int           // questions of this round under way
	settled chan struct{} // gets one when asking falls to 0
	crowd   *crowd

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
		up: up, log: log, cluster: newCluster(historyBytes), changed: make(chan struct{}), settled: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, questionsOnce), ended: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.crowd = newCrowd(c)
	c.cluster.setLookupds(lookupds)
	for _, address := range up.direct {
		c.cluster.nodes[address] = newNode(address, address)
	}
	c.cluster.sortNodes()
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
			if !c.rest(ctx, pokeGap) {
				return
			}
		case <-next.C:
		}
		start := time.Now()
		c.ask(start)
		settle := time.NewTimer(settleTime)
		select {
		case <-ctx.Done():
			settle.Stop()
			return
		case <-c.settled:
		case <-settle.C:
		}
		settle.Stop()
		c.update(time.Now())
		next.Reset(max(pokeGap, time.Until(start.Add(c.interval()))))
	}
}

// rest waits a moment, in which one poke more changes nothing. It tells whether
// to go on.
func (c *collector) rest(ctx context.Context, d time.Duration) bool {
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
		return liveInterval
	}
	return idleInterval
}

// enter counts a viewer until leave is called.
func (c *collector) enter() (leave func()) {
	c.mu.Lock()
	c.viewers++
	first := c.viewers == 1
	c.mu.Unlock()
	if first {
		c.poke()
	}
	return func() {
		c.mu.Lock()
		c.viewers--
		c.mu.Unlock()
	}
}

// ask begins questions to all that have answered the last one.
func (c *collector) ask(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.settled: // of the last round
	default:
	}
	c.round++
	c.asking = 0
	for _, l := range c.cluster.lookupds {
		if now.Sub(l.at) < lookupEvery-liveInterval/2 {
			continue
		}
		if l.asking {
			l.miss(now, "no answer in time")
			continue
		}
		l.asking = true
		askVersion := l.version == "" || now.Sub(l.at) >= versionEvery
		l.at = now
		c.question(func(ctx context.Context) { c.askLookupd(ctx, l, askVersion) })
	}
	for _, n := range c.cluster.order {
		if n.asking {
			if now.Sub(n.asked) >= liveInterval*9/10 {
				n.miss(now, "no answer in time")
			}
			continue
		}
		n.asking, n.asked = true, now
		wanted := qdapi.Wanted{Memory: now.Sub(n.memoryAt) >= memoryEvery}
		if wanted.Memory {
			n.memoryAt = now
		}
		c.question(func(ctx context.Context) { c.askNode(ctx, n, wanted) })
	}
	if c.asking == 0 {
		c.settled <- struct{}{}
	}
}

// question runs f in its turn. The caller holds the lock.
func (c *collector) question(f func(context.Context)) {
	c.asking++
	round := c.round
	c.questions.Go(func() {
		select {
		case c.slots <- struct{}{}:
			f(c.ctx)
			<-c.slots
		case <-c.ctx.Done():
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if round != c.round {
			return // nobody waits for it any more
		}
		if c.asking--; c.asking == 0 {
			select {
			case c.settled <- struct{}{}:
			default:
			}
		}
	})
}

func (c *collector) askLookupd(ctx context.Context, l *lookupd, askVersion bool) {
	start := time.Now()
	address := []string{l.address}
	nodes, err := c.up.directory.Nodes(ctx, address)
	took := time.Since(start)
	var topics []string
	if err == nil {
		topics, err = c.up.directory.Topics(ctx, address)
	}
	version := ""
	if err == nil && askVersion {
		version, _ = c.up.lookupdVersion(ctx, l.address) // it is for people only
	}
	if c.heard(l, topics, nodes, took, version, err) {
		channels := c.inactiveChannels(ctx, l)
		c.mu.Lock()
		defer c.mu.Unlock()
		l.learn(channels, time.Now())
		l.asking = false
	}
}

// heard takes the answer of a directory. It tells whether there was one; then
// the directory's turn is not over yet.
func (c *collector) heard(l *lookupd, topics []string, nodes []lookup.ClusterNode, took time.Duration, version string, err error) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if err != nil {
		l.miss(now, reason(err))
		l.asking = false
		return false
	}
	l.took, l.version = took, cmp.Or(version, l.version)
	if c.cluster.heard(l, topics, nodes, now) {
		c.poke()
	}
	return true
}

// inactiveChannels asks for the channels of topics without a node.
func (c *collector) inactiveChannels(ctx context.Context, l *lookupd) map[string][]string {
	c.mu.Lock()
	topics := l.wantsChannels(time.Now())
	c.mu.Unlock()
	found := make(map[string][]string, len(topics))
	for _, topic := range topics {
		if names, err := c.up.directory.Channels(ctx, []string{l.address}, topic); err == nil {
			found[topic] = names
		}
	}
	return found
}

func (c *collector) askNode(ctx context.Context, n *node, w qdapi.Wanted) {
	start := time.Now()
	stats, err := c.up.nodes.Stats(ctx, n.address, w, &n.decoder)
	took := time.Since(start)
	var info *qdapi.Info
	if err == nil && n.infoOf != stats.StartTime {
		if i, err := c.up.nodes.Info(ctx, n.address); err == nil {
			info = &i
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.asking = false
	now := time.Now()
	if err != nil {
		n.miss(now, reason(err))
		return
	}
	n.answered()
	n.took = took
	if info != nil {
		c.introduce(n, info, stats.StartTime)
	}
	if restarted := n.take(&c.cluster.budget, stats, now, c.cluster.wasEmptied); restarted {
		c.cluster.mark(mark{at: now, text: shortName(n.name) + " restarted", kind: "restart", node: n.id})
	}
}

// introduce takes what a node says of itself.
func (c *collector) introduce(n *node, info *qdapi.Info, start int64) {
	id := lookup.Identity{BroadcastAddress: info.BroadcastAddress, TCPPort: info.TCPPort, HTTPPort: info.HTTPPort}
	if len(c.up.direct) > 0 {
		n.id = nodeAddress(&id)
	}
	n.name, n.tcp, n.zone, n.region = info.Hostname, tcpAddress(&id), info.TopologyZone, info.TopologyRegion
	n.introduced, n.infoOf = true, start
	c.cluster.sortNodes()
}

// update adds up and tells the viewers.
func (c *collector) update(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What was polled rarely until now is not old at once.
	interval := max(c.intervalLocked(), min(now.Sub(c.cluster.now), idleInterval))
	c.cluster.update(now, interval)
	c.crowd.forget(now)
	c.updates++
	close(c.changed)
	c.changed = make(chan struct{})
}

// read calls f with what is known, and returns the number of the update that it
// is from and what is closed at the next one. f may not wait for anything.
func (c *collector) read(f func(*cluster)) (update uint64, next <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.cluster)
	return c.updates, c.changed
}

// firstUpdate waits until there is something to show.
func (c *collector) firstUpdate(ctx context.Context) {
	for {
		update, next := c.read(func(*cluster) {})
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
