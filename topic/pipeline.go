package topic

import (
	"math"
	"runtime"
	"slices"
	"sync"

	"qmq/channel"
	"qmq/diskqueue"
)

const (
	// maxPending is how many bytes may wait to be written before publishers
	// are held back.
	maxPending = 8 << 20
	// maxWrite is about how many bytes are written at a time.
	maxWrite = 1 << 20
	// maxPausing is how many bytes a publisher brings at most for others to be
	// waited for.
	maxPausing = 16 << 10
	// groupTarget is how many publishers must write together for the wait to have
	// been worth it, and soloWrites how many writes are not waited before after it
	// was not.
	groupTarget = 4
	soloWrites  = 127
)

// pipeline is where the publishers of a topic wait for one another: one at a time
// commits what all have pending, and hands over to the next.
type pipeline struct {
	o         *Options
	committer Committer // called by whose turn it is to write, or to probe; nil of a replicated topic
	fanout    *fanout
	limiter   *limiter
	// committed is called with what was committed, with no lock held.
	committed func(diskqueue.Appended)
	unused    requestList
	// failureChanged is called, with no lock held, after failure has changed.
	failureChanged func()

	// mu guards what follows: the batches that are not stored yet, who writes, and
	// whether there may be more. It is taken before fanout.mu.
	mu           sync.Mutex
	idle         sync.Cond  // signalled when pending shrinks or writing or probing ends
	pending      []*request // accepted, in no group
	pendingBytes int
	writing      bool     // a publisher writes, or is told to
	solo         int      // writes before which nobody is waited for
	inFlight     []*Group // proposed, and not done
	spare        []*Group
	probing      bool
	replacing    bool  // the committer is about to be replaced: publishers wait
	failed       error // why publishes are refused, until a Probe; of a replicated topic for ever
	closed       bool
	dropped      bool // nobody waits for a group that is proposed
}

// Publish stores a batch: it returns nil when the batch may be OK'd, which is
// when it is in the kernel, or on the platter with SyncPolicy.Every 1. On an
// error nothing of it will be delivered, unless the daemon is killed before it
// can cut it off. The batch may be used again when Publish returns.
//
// The publisher that finds no write under way writes everything that is
// pending, others' batches included.
//
// The error is also a *FullError.
func (t *Topic) Publish(b *diskqueue.Batch) error {
	if len(b.Identified()) > 0 {
		if d := t.doubles.Load(); d != nil {
			return t.publishOnce(d, b)
		}
	}
	return t.publish(b, nil)
}

// publish is Publish of what is no double; c holds the ids, if there are any.
func (t *Topic) publish(b *diskqueue.Batch, c *claim) error {
	promised, err := t.limiter.admit(b)
	if err != nil {
		return err
	}
	if err = t.pipeline.publish(b, promised, c); err == nil {
		t.relieve()
	}
	return err
}

// PublishOwn is Publish for what the node publishes itself: a full topic takes it too.
func (t *Topic) PublishOwn(b *diskqueue.Batch) error {
	err := t.pipeline.publish(b, load{}, nil)
	if err == nil {
		t.relieve()
	}
	return err
}

// relieve drops the oldest messages if there are more than there may be.
func (t *Topic) relieve() {
	if t.limiter.relieve() {
		t.voided()
	}
}

func (p *pipeline) publish(b *diskqueue.Batch, promised load, c *claim) error {
	r, g, err := p.enqueue(b, promised, c)
	if r == nil {
		p.fanout.unpromise(promised)
		return err
	}
	if g == nil {
		if <-r.signal == answered {
			return p.unused.putBack(r)
		}
		g = p.nextGroup(r)
	}
	p.committer.Propose(g, g.done)
	if done, err := p.endWrite(g, r); done {
		return err
	}
	<-r.signal
	return p.unused.putBack(r)
}

// enqueue makes a batch pending. The group, if there is one, is to be written by its
// publisher, who waits for a signal otherwise. There is no request of a batch that
// is refused, or that an ephemeral topic drops.
func (p *pipeline) enqueue(b *diskqueue.Batch, promised load, c *claim) (r *request, g *Group, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.pendingBytes > maxPending || p.replacing) && p.refusal() == nil {
		p.idle.Wait()
	}
	if err := p.refusal(); err != nil {
		return nil, nil, err
	}
	if p.o.Ephemeral {
		p.admit(b)
	}
	if b.Len() == 0 {
		return nil, nil, nil
	}
	r = p.unused.take(b)
	r.promised, r.claim = promised, c
	p.pending = append(p.pending, r)
	p.pendingBytes += b.Bytes()
	if p.writing {
		return r, nil, nil
	}
	p.writing = true
	if g = p.takeAtOnce(r); g == nil {
		r.signal <- lead
	}
	return r, g, nil
}

// refusal says why no publish is accepted now. The caller holds p.mu.
func (p *pipeline) refusal() error {
	if p.closed {
		return channel.ErrExiting
	}
	return p.failed
}

// admit drops of a batch what an ephemeral topic has no room for: it counts as
// published, and as dropped. The caller holds p.mu.
func (p *pipeline) admit(b *diskqueue.Batch) {
	n := p.fanout.limitWithoutConsumers()
	if n < math.MaxInt {
		for _, r := range p.pending {
			n -= r.batch.Len()
		}
	}
	p.dropNewest(b, max(0, n))
	if b.Len() > 0 && !p.o.Log.Hold(int64(b.Bytes())) {
		p.dropNewest(b, 0)
	}
}

// dropNewest leaves n messages of a batch.
func (p *pipeline) dropNewest(b *diskqueue.Batch, n int) {
	if messages, bytes := b.Len(), b.BodyBytes(); messages > n {
		b.Truncate(n)
		p.fanout.countDropped(messages-b.Len(), uint64(bytes-b.BodyBytes()))
	}
}

// nextGroup makes the group that own's publisher writes. Where many publish a
// little each, it first lets those that are about to come: a write costs as much
// as all else that is done for a small message.
func (p *pipeline) nextGroup(own *request) *Group {
	p.mu.Lock()
	g := p.takeAtOnce(own)
	p.mu.Unlock()
	if g != nil {
		return g
	}
	runtime.Gosched()
	return p.takeAfterPause()
}

// takeAtOnce makes a group, unless others are worth waiting for. The caller holds
// p.mu.
func (p *pipeline) takeAtOnce(own *request) *Group {
	switch {
	case own.batch.Bytes() >= maxPausing || len(p.pending) >= groupTarget:
	case p.solo > 0:
		p.solo--
	default:
		return nil
	}
	return p.takeGroup()
}

// takeAfterPause makes a group, and notes whether the pause before it was worth it.
func (p *pipeline) takeAfterPause() *Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.takeGroup()
	if len(g.requests) < groupTarget {
		p.solo = soloWrites
	}
	return g
}

// takeGroup makes a group of the requests that come first. The caller holds p.mu.
func (p *pipeline) takeGroup() *Group {
	g := p.group()
	for _, r := range p.pending {
		if g.size > 0 && g.size+r.batch.Bytes() > maxWrite {
			break
		}
		g.size += r.batch.Bytes()
		g.bodyBytes += uint64(r.batch.BodyBytes())
		g.promised = g.promised.plus(r.promised)
		g.requests = append(g.requests, r)
		g.Batches = append(g.Batches, r.batch)
		if r.claim != nil {
			g.claims = append(g.claims, r.claim)
		}
	}
	rest := copy(p.pending, p.pending[len(g.requests):])
	clear(p.pending[rest:])
	p.pending = p.pending[:rest]
	p.pendingBytes -= g.size
	return g
}

// group takes a group that is not used now, or makes one. The caller holds p.mu.
func (p *pipeline) group() *Group {
	n := len(p.spare)
	if n == 0 {
		g := &Group{pipeline: p}
		g.done = g.finish
		return g
	}
	g := p.spare[n-1]
	p.spare = p.spare[:n-1]
	return g
}

// endWrite ends the turn of own's publisher, who wrote a group, and hands over to
// the next that waits. done says that own is answered, with err.
func (p *pipeline) endWrite(g *Group, own *request) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(g.Batches) // they belong to sessions that may end
	if done = g.stage.Load() == finished || !g.stage.CompareAndSwap(proposing, proposed); done {
		g.answer(own, g.err)
		p.recycle(g)
		err = p.unused.put(own)
	} else {
		p.inFlight = append(p.inFlight, g)
		if p.dropped {
			g.answer(nil, channel.ErrExiting)
		}
	}
	p.idle.Broadcast()
	if p.failed != nil {
		p.refusePending()
	}
	if len(p.pending) > 0 {
		p.pending[0].signal <- lead
	} else {
		p.writing = false
	}
	return done, err
}

// commit makes a group visible that was appended.
func (p *pipeline) commit(added diskqueue.Appended, g *Group) error {
	storeClaims(g.claims, added.End) // first: what is given out may be finished and given back at once
	err := p.fanout.commit(added, g.bodyBytes, g.size, g.promised)
	if err == nil {
		p.committed(added)
	}
	return err
}

// endFlight ends a group that was done after its Propose.
func (p *pipeline) endFlight(g *Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.inFlight, g)
	p.inFlight = slices.Delete(p.inFlight, i, i+1)
	g.answer(nil, g.err)
	p.recycle(g)
	if p.replacing {
		p.idle.Broadcast()
	}
}

// recycle keeps a group whose publishers are answered for the next write. The
// caller holds p.mu.
func (p *pipeline) recycle(g *Group) {
	g.Batches, g.size, g.bodyBytes, g.promised, g.err = g.Batches[:0], 0, 0, load{}, nil
	g.claims = nil
	g.stage.Store(proposing)
	p.spare = append(p.spare, g)
}

// refusePending refuses the publishers that nobody writes for. The caller holds
// p.mu and the turn to write.
func (p *pipeline) refusePending() {
	for _, r := range p.pending {
		p.fanout.unpromise(r.promised)
		r.err = p.failed
		r.signal <- answered
	}
	clear(p.pending)
	p.o.Log.Release(int64(p.pendingBytes))
	p.pending, p.pendingBytes = p.pending[:0], 0
}

// fail refuses publishes from now on. What is pending is refused when the write
// under way has ended.
func (p *pipeline) fail(err error) {
	if !p.setFailed(err) {
		return
	}
	p.o.Common.Logger.Error("publishes are refused", "topic", p.o.Name, "error", err)
	p.failureChanged()
}

// setFailed says whether that is news to anybody.
func (p *pipeline) setFailed(err error) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return false
	}
	p.failed = err
	p.idle.Broadcast()
	return !p.closed
}

// failure is why publishes are refused that are accepted again some time; nil when
// none are, or the topic is closed.
func (p *pipeline) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	return p.failed
}

// probe tries whether publishes can be accepted again.
func (p *pipeline) probe() error {
	needed, err := p.beginProbe()
	if !needed {
		return err
	}
	err = p.committer.Probe()
	p.endProbe(err)
	if err == nil {
		p.failureChanged()
	}
	return err
}

func (p *pipeline) beginProbe() (needed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.replacing && !p.closed {
		p.idle.Wait()
	}
	if p.closed {
		return false, channel.ErrExiting
	}
	p.probing = p.failed != nil
	return p.probing, nil
}

func (p *pipeline) endProbe(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probing = false
	p.idle.Broadcast()
	if err == nil && !p.closed {
		p.failed = nil
	}
}

// close refuses publishes from now on. It waits for nothing.
func (p *pipeline) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.idle.Broadcast()
}

// drain waits until nothing is pending and the committer is not called.
func (p *pipeline) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing || p.probing {
		p.idle.Wait()
	}
}

// drop refuses publishers whose batches nobody wants any more: those whose group
// is proposed now, others when the write under way has ended. It waits for
// nothing.
func (p *pipeline) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = channel.ErrExiting
	}
	p.dropped = true
	for _, g := range p.inFlight {
		g.answer(nil, channel.ErrExiting)
	}
}
