package serve

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"qmq/diskqueue"
	"qmq/internal/deadline"
	"qmq/internal/turn"
	"qmq/replica/machine"
	"qmq/state"
	"qmq/topic"
)

// Serving is a shard's topics while this node leads it, for one term: the channels
// that consumers get messages from, and what is to be published. A topic is restored
// when somebody asks for it.
type Serving struct {
	shard *Shard
	term  uint64
	log   *stateLog
	// common is what its topics have in common.
	common *topic.Common
	// retention calls retain, which holds retaining: one look at a time.
	retention *deadline.Timer
	retaining turn.Turn
	// before is the Serving of an earlier term, which ends first.
	before <-chan struct{}

	// acting has a value while something is done that is done once, whoever asks for it;
	// it is taken before all other locks.
	acting chan struct{}

	ctx    context.Context // done when it ends
	cancel context.CancelFunc

	// mu guards what follows. No other lock is taken under it, but for the machine's.
	mu       sync.Mutex
	over     bool
	names    map[string]*served
	topics   map[uint64]*served // by incarnation
	queues   map[uint64]*queue  // likewise
	creating map[string]chan struct{}
	last     uint64          // incarnation that was given last
	unjudged map[uint64]bool // topics of which it was not looked yet what is to be retained
	timers   map[*time.Timer]struct{}
	saying   bool     // the shard's time will be said
	heard    *hearing // of names; nil: it has still to begin

	working sync.WaitGroup // goroutines; they begin with mu held, while over is false
	stopped chan struct{}  // closed when all has ended
}

// served is a topic, while it is restored and afterwards.
type served struct {
	name        string
	incarnation uint64
	made        chan struct{} // closed when view and topic, or err, are set
	view        *machine.View
	topic       *topic.Topic
	err         error

	mu      sync.Mutex // guards what follows; it is taken before the topic's locks
	ready   bool       // topic is told at once
	waiting []committed
}

// committed is what was appended to a topic's log.
type committed struct {
	added    diskqueue.Appended
	bytes    uint64
	promised topic.Promise
}

func newServing(s *Shard, term uint64, before <-chan struct{}) *Serving {
	v := &Serving{
		shard: s, term: term, before: before, stopped: make(chan struct{}),
		names: make(map[string]*served), topics: make(map[uint64]*served), queues: make(map[uint64]*queue),
		acting: make(chan struct{}, 1), creating: make(map[string]chan struct{}), timers: make(map[*time.Timer]struct{}),
		last: s.machine.MaxIncarnation(),
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.log = newStateLog(v)
	common := s.n.o.Common
	register := common.RegisterChannel
	common.NewIncarnation = v.newIncarnation
	common.RegisterChannel = func(t *topic.Topic, channel string) {
		v.log.markFanOut(t) // the first channel gets what waited, and it may be an ephemeral one
		register(t, channel)
	}
	v.common = &common
	v.beginRetention() // which may look at common at once
	v.sayTimeLater()
	return v
}

// newIncarnation is one that no topic or channel of the shard had or will have: the
// leader alone gives them.
func (v *Serving) newIncarnation() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = max(v.last, v.shard.machine.MaxIncarnation()) + 1
	return v.last
}

// ended says that the term is over, for this node.
func (v *Serving) ended() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.over
}

// standing is an error as it counts: of what is not there one knows nothing who does not lead
// any more, for others may have agreed on what was given up here.
func (v *Serving) standing(err error) error {
	if (errors.Is(err, ErrNoTopic) || errors.Is(err, topic.ErrNoChannel)) && v.ended() {
		return errNotLeader
	}
	return err
}

// Topic returns a topic that is there, or is being made; it is restored if need be. The
// error is ErrNoTopic, or that this node does not lead any more.
func (v *Serving) Topic(name string) (*topic.Topic, error) {
	v.awaitCreated(name)
	s, restore, err := v.find(name)
	if err != nil {
		return nil, err
	}
	if restore {
		v.restore(s)
	}
	<-s.made
	return s.topic, s.err
}

// find finds a topic. restore says that the caller has to restore it.
func (v *Serving) find(name string) (s *served, restore bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, false, errNotLeader
	}
	incarnation, there := v.shard.machine.Incarnation(name)
	if !there {
		return nil, false, ErrNoTopic
	}
	if s = v.names[name]; s != nil && s.incarnation == incarnation {
		return s, false, nil
	}
	s = &served{name: name, incarnation: incarnation, made: make(chan struct{})}
	v.names[name], v.topics[incarnation] = s, s
	return s, true, nil
}

// restore makes a topic of what is applied. What is applied from now on is told it
// afterwards.
func (v *Serving) restore(s *served) {
	defer close(s.made)
	<-v.before
	m := v.shard.machine
	m.SetServed(s.incarnation, true)
	if s.view, s.err = m.Topic(s.incarnation); s.err != nil {
		if errors.Is(s.err, machine.ErrNoTopic) {
			s.err = ErrNoTopic
		}
		m.SetServed(s.incarnation, false)
		v.forget(s) // it is tried again when it is asked for again
		return
	}
	s.topic = topic.Restore(topic.Options{
		Name: s.name, Incarnation: s.incarnation, IDPrefix: v.shard.n.o.IDPrefix,
		Log: s.view.Log, End: s.view.Next, Replicated: true, State: v.log, Common: v.common,
		Doubles: func() topic.DedupStats { return v.shard.dedupStats(m.Doubles(s.incarnation)) },
	}, s.view.State)
	s.view.State = nil // it is the topic's
	s.begin()
}

// dedupStats has the shard's times by the wall clock.
func (s *Shard) dedupStats(d machine.Doubles) topic.DedupStats {
	stats := topic.DedupStats{Found: d.Found, IDs: d.IDs, Evicted: d.Evicted, Bytes: d.Bytes}
	if d.Oldest != 0 {
		stats.Oldest = s.n.clock.Wall() - (s.timeNow() - d.Oldest)
	}
	return stats
}

// stop ends a topic that nobody restores any more.
func (s *served) stop() {
	<-s.made
	if s.topic != nil {
		_ = s.topic.Stop() // it commits nothing
		s.view.Release()
	}
}

// begin tells the topic what was applied while it was restored.
func (s *served) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.waiting {
		s.topic.Committed(c.added, c.bytes, c.promised)
	}
	s.waiting, s.ready = nil, true
}

// committed tells the topic what was applied. It says whether the topic knows now.
func (s *served) committed(c committed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		s.waiting = append(s.waiting, c)
		return false
	}
	s.topic.Committed(c.added, c.bytes, c.promised)
	return true
}

// forget makes a topic one that is not served. It says whether it was until now.
func (v *Serving) forget(s *served) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over || v.topics[s.incarnation] != s {
		return false
	}
	if v.names[s.name] == s {
		delete(v.names, s.name)
	}
	delete(v.topics, s.incarnation)
	return true
}

// applied tells the topics what was appended to their logs, the parts of one topic
// together. The shard's goroutine alone calls it.
func (v *Serving) applied(o *machine.Outcome) {
	for i := range o.Parts {
		if p := &o.Parts[i]; p.Status == machine.Gap {
			v.missed(p.Topic, p.Origin.Member)
		}
	}
	for i := 0; i < len(o.Parts); {
		c, next := together(o.Parts, i)
		c.promised = v.landed(o.Parts[i].Topic)
		s := v.served(o.Parts[i].Topic)
		switch {
		case s == nil:
		case c.added.End == c.added.First:
			if c.promised != (topic.Promise{}) { // which the topic gave: it is there
				s.topic.Withdraw(c.promised)
			}
		case s.committed(c):
			if _, needed := s.topic.FanOutEntry(); needed {
				v.log.markFanOut(s.topic)
			}
		}
		i = next
	}
	for _, t := range o.Topology {
		if t.Result != machine.Done {
			continue
		}
		switch t.Entry.Op {
		case state.DeleteTopic:
			v.forgetQueue(t.Entry.Topic)
		case state.CreateTopic, state.ConfigureTopic:
			v.judgeRetention(t.Entry.Topic)
		}
	}
}

func (v *Serving) missed(topic, member uint64) {
	if q := v.queueOf(topic); q != nil {
		q.missed(member)
	}
}

// landed is the room that was promised to the entry of a topic that is applied now.
func (v *Serving) landed(id uint64) (promised topic.Promise) {
	if q := v.queueOf(id); q != nil {
		promised = q.landed()
	}
	return promised
}

// queueOf is the queue of a topic; nil: there is none.
func (v *Serving) queueOf(topic uint64) *queue {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.queues[topic]
}

// forgetQueue lets the queue of a topic go that is deleted; what is in it will be told
// so, for it is proposed yet.
func (v *Serving) forgetQueue(topic uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.queues, topic)
}

// together is what the parts from i on added to one topic, and where those of the
// next begin.
func together(parts []machine.PartOutcome, i int) (c committed, next int) {
	for next = i; next < len(parts) && parts[next].Topic == parts[i].Topic; next++ {
		p := &parts[next]
		if p.Status != machine.Applied || p.Added.First == p.Added.End {
			continue
		}
		if c.added.End == 0 {
			c.added = p.Added
		} else {
			c.added.End = p.Added.End
			c.added.Marks = append(slices.Clip(c.added.Marks), p.Added.Marks...)
			c.added.Only = append(slices.Clip(c.added.Only), p.Added.Only...)
		}
		c.bytes += p.Bytes
	}
	return c, next
}

func (v *Serving) served(topic uint64) *served {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.topics[topic]
}

// work runs f in a goroutine, unless the Serving has ended.
func (v *Serving) work(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over {
		v.working.Go(f)
	}
}

// after calls f in a while, unless the Serving ends before.
func (v *Serving) after(d time.Duration, f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		v.mu.Lock()
		delete(v.timers, timer)
		over := v.over
		v.mu.Unlock()
		if !over {
			f()
		}
	})
	v.timers[timer] = struct{}{}
}

// end ends the Serving. It does not wait: stopped says when all has ended.
func (v *Serving) end() {
	v.mu.Lock()
	if v.over {
		v.mu.Unlock()
		return
	}
	v.over = true
	v.shard.n.ending.Add(1)
	for timer := range v.timers {
		timer.Stop()
	}
	v.queues = nil
	v.mu.Unlock()
	v.retention.Stop()
	v.cancel()
	v.log.end() // whoever holds up a topic's end by waiting goes on
	go v.stop()
}

// stop ends the topics and waits for what is under way.
func (v *Serving) stop() {
	defer v.shard.n.ending.Done()
	defer close(v.stopped)
	v.working.Wait()
	<-v.before
	for _, s := range v.all() {
		s.stop()
		v.shard.machine.SetServed(s.incarnation, false)
	}
}

// all lists the topics that were asked for.
func (v *Serving) all() []*served {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]*served, 0, len(v.topics))
	for _, s := range v.topics {
		list = append(list, s)
	}
	return list
}
