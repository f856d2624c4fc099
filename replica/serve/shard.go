package serve

import (
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/internal/deadline"
	"qmq/replica/machine"
	"qmq/state"
)

const (
	// leaderWithin is how long publishes and requests wait for a leader.
	leaderWithin = 5 * time.Second
	// answerWithin is how long a publish waits while there is a leader.
	answerWithin = 30 * time.Second
	// readyWithin is how long after a change of leader nothing is sent to it unless it
	// says that it is ready.
	readyWithin = 200 * time.Millisecond
	// retryAfter is how long after it was refused something is sent again, unless
	// something is heard before, and unsentAfter how long after it could not be sent.
	retryAfter, unsentAfter = 50 * time.Millisecond, 100 * time.Millisecond
)

// ready says that a member leads in a term and takes parts.
type ready struct{ member, term uint64 }

// Shard is one shard of a Node. Its exported methods are what the shard's raft tells:
// calls come in the order in which things happened, one at a time.
type Shard struct {
	n       *Node
	id      uint32
	raft    Raft
	machine Machine
	timer   *deadline.Timer // calls check

	awaiting atomic.Int32  // who waits for moved
	ended    chan struct{} // closed when the Servings of earlier terms have ended; of who calls Led alone

	// mu guards what follows: who leads, and who publishes. No other lock is taken
	// under it, but for the timer's.
	mu        sync.Mutex
	time      timeline      // the shard's
	leader    uint64        // 0: none is known
	term      uint64        // of leader
	ready     bool          // leader takes parts, as far as is known
	heard     ready         // what a leader said last, which may be before it is known to lead
	since     int64         // steady ns: while leader is 0, how long it has been
	retryAt   int64         // steady ns: when what was refused is sent again; 0: nothing was
	changed   chan struct{} // closed when leader or ready changes
	moved     chan struct{} // closed when something is applied and somebody waits for it
	serving   *Serving      // while this node leads
	producers map[uint64]*Producer
	closed    bool
}

func newShard(n *Node, id uint32, o ShardOptions) *Shard {
	s := &Shard{n: n, id: id, raft: o.Raft, machine: o.Machine, changed: make(chan struct{}), moved: make(chan struct{}), ended: make(chan struct{}), producers: make(map[uint64]*Producer)}
	s.timer = n.deadlines.NewTimer(s.check)
	s.since = n.now()
	s.time.reach(o.Machine.Time(), s.since)
	close(s.ended)
	return s
}

// Leader tells who leads in the term; member is 0 while that is not known.
func (s *Shard) Leader(member, term uint64) {
	s.mu.Lock()
	if s.leader == member && s.term == term {
		s.mu.Unlock()
		return
	}
	now := s.n.now()
	s.setLeader(member, term, now)
	s.ready = member == s.n.o.Member && s.serving != nil && s.serving.term == term || s.heard == ready{member, term}
	if member != 0 {
		s.retryLater(now, readyWithin)
	}
	s.mu.Unlock()
	s.restart()
}

// setLeader notes who leads. The caller holds s.mu.
func (s *Shard) setLeader(member, term uint64, now int64) {
	s.leader, s.term = member, term
	if member == 0 {
		s.since = now
		s.timer.Arm(now + int64(leaderWithin))
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Led begins to serve the shard's topics: this node leads, and has applied all that
// was agreed on in the terms before.
func (s *Shard) Led(term uint64) {
	s.atLeast(s.machine.Time())
	serving := newServing(s, term, s.ended)
	s.ended = serving.stopped
	s.mu.Lock()
	before := s.serving
	s.serving = serving
	now := s.n.now()
	s.setLeader(s.n.o.Member, term, now)
	s.ready = true
	s.retryLater(now, readyWithin)
	s.mu.Unlock()
	if before != nil {
		before.end()
	}
	notice := notice{kind: noticeReady, shard: s.id, term: term}
	for _, member := range s.n.o.Remote.Peers() {
		s.n.o.Remote.SendNotice(member, notice.encode())
	}
	s.restart()
}

// Deposed ends it. Consumers are told soon, and whoever waits is answered at once.
func (s *Shard) Deposed() {
	s.mu.Lock()
	serving := s.serving
	s.serving = nil
	if s.leader == s.n.o.Member {
		s.ready = false
		s.setLeader(0, s.term, s.n.now())
	}
	s.mu.Unlock()
	if serving != nil {
		serving.end()
	}
}

// Applied tells what became of an entry on this node, as the machine returned it,
// before whoever proposed it is told.
func (s *Shard) Applied(outcome any) {
	defer s.tellApplied()
	o, ok := outcome.(machine.Outcome)
	if !ok {
		return
	}
	s.reached(o.Time)
	if serving := s.servingNow(); serving != nil {
		serving.applied(&o)
		if o.Time != 0 {
			serving.sayTimeLater()
		}
	}
	if s.n.asking.Load() > 0 {
		s.tellNumbers(o.Parts)
	}
	for i := range o.Parts {
		if i+1 == len(o.Parts) || !covers(&o.Parts[i+1], &o.Parts[i]) {
			s.fate(&o.Parts[i])
		}
	}
	for _, t := range o.Topology {
		if p := s.producerOf(t.Entry.Topic); p != nil && t.Entry.Op == state.DeleteTopic && t.Result == machine.Done {
			p.end(channel.ErrExiting)
		}
	}
}

// tellNumbers tells publishers of this node which numbers their messages got.
func (s *Shard) tellNumbers(parts []machine.PartOutcome) {
	for i := range parts {
		o := &parts[i]
		if o.Origin.Member != s.n.o.Member || o.Origin.Epoch != s.n.o.Epoch || o.Status != machine.Applied {
			continue
		}
		if p := s.producerOf(o.Topic); p != nil {
			p.numbered(o)
		}
	}
}

// covers says that the fate of a part tells that of the one before it, too.
func covers(next, before *machine.PartOutcome) bool {
	done := func(p *machine.PartOutcome) bool { return p.Status == machine.Applied || p.Status == machine.Duplicate }
	return next.Topic == before.Topic && next.Origin.Member == before.Origin.Member && next.Origin.Epoch == before.Origin.Epoch &&
		done(next) && done(before) && next.Origin.Number > before.Origin.Number
}

// fate tells a publisher of this node.
func (s *Shard) fate(o *machine.PartOutcome) {
	if o.Origin.Member != s.n.o.Member {
		return
	}
	if p := s.producerOf(o.Topic); p != nil {
		p.fate(o)
	}
}

// Installed tells that the state was replaced by a snapshot: what publishers wait for
// may be in it.
func (s *Shard) Installed(uint64, uint64) {
	defer s.tellApplied()
	s.reached(s.machine.Time())
	for _, p := range s.listProducers() {
		if incarnation, _ := s.machine.Incarnation(p.name); incarnation != p.topic {
			p.end(channel.ErrExiting)
			continue
		}
		o := machine.PartOutcome{Topic: p.topic, Status: machine.Duplicate}
		o.Origin.Member = s.n.o.Member
		o.Origin.Epoch, o.Origin.Number = s.machine.Row(p.topic, s.n.o.Member)
		p.fate(&o)
	}
}

func (s *Shard) servingNow() *Serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving
}

// producer finds or makes that of a topic.
func (s *Shard) producer(name string, topic uint64) *Producer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.producers[topic]
	if p == nil {
		p = newProducer(s, name, topic)
		if s.closed {
			p.ended = ErrClosed
			return p
		}
		s.producers[topic] = p
	}
	return p
}

// forget lets a Producer go that has ended.
func (s *Shard) forget(p *Producer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.producers[p.topic] == p {
		delete(s.producers, p.topic)
	}
}

func (s *Shard) producerOf(topic uint64) *Producer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.producers[topic]
}

func (s *Shard) listProducers() []*Producer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.producers))
}

// restart has everything sent whose fate is not known.
func (s *Shard) restart() {
	for _, p := range s.listProducers() {
		p.restart()
	}
}

// isReady is heard from the leader of a term.
func (s *Shard) isReady(member, term uint64) {
	s.mu.Lock()
	s.heard = ready{member, term}
	is := s.leader == member && s.term == term && !s.ready
	if is {
		s.ready = true
		close(s.changed)
		s.changed = make(chan struct{})
	}
	s.mu.Unlock()
	if is {
		s.restart()
	}
}

// isNotReady is heard from a member that does not lead in the term, or found where it
// cannot be sent anything. It is tried again in a while.
func (s *Shard) isNotReady(member, term uint64, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == member && s.term == term {
		s.ready, s.heard = false, ready{}
		s.retryLater(s.n.now(), after)
	}
}

// linkChanged has everything sent again that went over a link.
func (s *Shard) linkChanged(member uint64) {
	s.mu.Lock()
	concerned := s.leader == member
	s.ready = s.ready || concerned // it says so if it is not
	s.mu.Unlock()
	if concerned {
		s.restart()
	}
}

// target is where parts go now.
type target struct {
	member, term uint64
	serving      *Serving // of this node
}

// target finds the leader. ok is false when nothing may be sent.
func (s *Shard) target() (t target, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == 0 || !s.ready {
		return t, false
	}
	t = target{member: s.leader, term: s.term}
	if t.member == s.n.o.Member {
		t.serving = s.serving
		return t, t.serving != nil
	}
	return t, true
}

// retry has what was refused sent again in a while, unless that waits for a leader.
func (s *Shard) retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		s.retryLater(s.n.now(), retryAfter)
	}
}

// retryLater is retry for a caller that holds s.mu.
func (s *Shard) retryLater(now int64, after time.Duration) {
	if at := now + int64(after); s.retryAt == 0 || at < s.retryAt {
		s.retryAt = at
		s.timer.Arm(at)
	}
}

// leaderless says whether there is a leader, and if not, since when.
func (s *Shard) leaderless() (since int64, none bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, s.leader == 0
}

// check is the timer's function: it has sent again what was refused, and gives up what
// has waited for too long.
func (s *Shard) check(now int64) {
	retry, next := s.beginCheck(now)
	for _, p := range s.listProducers() {
		if retry {
			p.resume()
		}
		next = min(next, p.giveUp(now))
	}
	if next < math.MaxInt64 {
		s.timer.Arm(next)
	}
}

// beginCheck says whether it is time to send again, and when it will be.
func (s *Shard) beginCheck(now int64) (retry bool, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.retryAt == 0:
		return false, math.MaxInt64
	case now < s.retryAt:
		return false, s.retryAt
	}
	s.retryAt = 0
	s.ready = s.ready || s.leader != 0 && s.leader != s.n.o.Member
	return true, math.MaxInt64
}

// close ends it; nobody calls it any more.
func (s *Shard) close() {
	s.mu.Lock()
	s.closed = true
	serving := s.serving
	s.serving = nil
	s.leader, s.ready = 0, false
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.timer.Stop()
	if serving != nil {
		serving.end()
	}
	for _, p := range s.listProducers() {
		p.end(ErrClosed)
	}
}
