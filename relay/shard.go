package relay

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"qmq/channel"
)

const (
	// withoutLeader is how long consumers wait for a leader that is not there, or
	// cannot be reached.
	withoutLeader = 5 * time.Second
	// attachAgain is after how long a leader is asked again that said that it is none.
	attachAgain = 100 * time.Millisecond
	// claimsWithin is Options.ClaimsWithin unless it says otherwise.
	claimsWithin = 250 * time.Millisecond
)

// shard is what is known of a shard, and the consumers that this node has of its
// topics. Relay.mu guards it.
type shard struct {
	id           uint32
	leader, term uint64 // leader 0: none is known
	// generation grows whenever consumers have to be attached anew. It changes under
	// Relay.mu, and is read without: who finds it changed does not trust what it has
	// just heard of a leader.
	generation atomic.Uint64
	// doubted says that the leader is not heard of, and no other one is known. It changes under
	// Relay.mu, and is read without.
	doubted   atomic.Bool
	consumers map[*Consumer]struct{}
	// gone are consumers that were closed of late, in that order, with what they have
	// done; forget runs while there are any.
	gone      []departure
	forget    *time.Timer
	todo      map[*Consumer]struct{} // those that are to be attached
	attaching bool                   // there is a goroutine that attaches
	told      uint64                 // generation of which the leader knows that all is claimed
	alone     *time.Timer            // runs while there is no leader, or it is doubted

	leading *leadership       // nil unless this node serves the topics
	early   []*joining        // come before this node leads
	claims  map[uint64]uint64 // by member, the term for which it has claimed all
}

// departure is a consumer that was closed at a time.
type departure struct {
	*Consumer
	at time.Time
}

// target is where the consumers of a shard are to be attached.
type target struct {
	member     uint64 // 0: nowhere
	term       uint64
	generation uint64
}

// shardOf finds a shard, or makes it. The caller holds r.mu.
func (r *Relay) shardOf(id uint32) *shard {
	s := r.shards[id]
	if s == nil {
		s = &shard{id: id, consumers: make(map[*Consumer]struct{}), todo: make(map[*Consumer]struct{}), claims: make(map[uint64]uint64)}
		r.shards[id] = s
	}
	return s
}

// target is where consumers go now. The caller holds r.mu.
func (r *Relay) target(s *shard) target {
	t := target{member: s.leader, term: s.term, generation: s.generation.Load()}
	switch {
	case s.leader == r.o.Self && s.leading == nil, s.leader != r.o.Self && !r.reachable(s.leader):
		t.member = 0
	}
	return t
}

func (s *shard) stopTimers() {
	if s.alone != nil {
		s.alone.Stop()
		s.alone = nil
	}
	if s.forget != nil {
		s.forget.Stop()
	}
	if s.leading != nil && s.leading.timer != nil {
		s.leading.timer.Stop()
	}
}

// Leader says who leads a shard; member 0: nobody is known to. Where it is this node,
// it begins to serve with Led. A leader that is not heard of for a moment, in its own term,
// leads on as a rule: consumers stay with it for as long as the link does, and no other one is
// known.
func (r *Relay) Leader(id uint32, member, term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.shardOf(id)
	same := term == s.term && (member == s.leader || member == 0 && s.leader != r.o.Self)
	s.doubted.Store(same && member != s.leader)
	if same {
		r.attachSoon(s)
		return
	}
	s.leader, s.term = member, term
	if member != r.o.Self && member != 0 {
		for _, j := range s.early {
			delete(r.joining, j.at) // that node hears of the leader too
		}
		s.early = nil
	}
	r.changed(s)
}

// Led says that this node serves the topics of a shard from now on. Followers are the
// other nodes of the set that can be reached: it delivers when all have claimed what
// their clients hold, or after Options.ClaimsWithin.
func (r *Relay) Led(id uint32, term uint64, followers []uint64) {
	r.mu.Lock()
	s := r.shardOf(id)
	s.leader, s.term = r.o.Self, term
	s.doubted.Store(false)
	l := &leadership{
		term: term, shard: s, waiting: make(map[uint64]struct{}),
		topics: make(map[string]*admission), channels: make(map[*channel.Channel]struct{}), away: make(map[uint64]*absence),
	}
	for _, member := range append([]uint64{r.o.Self}, followers...) {
		if s.claims[member] != term {
			l.waiting[member] = struct{}{}
		}
	}
	s.leading = l
	if !r.closed {
		l.timer = time.AfterFunc(r.o.ClaimsWithin, func() { r.admit(l, func() { clear(l.waiting) }) })
	}
	r.joinEarly(l)
	r.changed(s)
	r.mu.Unlock()
	r.admit(l, func() {})
}

// Deposed says that this node serves the topics of a shard no longer. It is to be
// called before they are stopped. It closes their channels, so that none gives to one
// client what another one goes on to hold.
func (r *Relay) Deposed(id uint32) {
	r.mu.Lock()
	s := r.shardOf(id)
	l := s.leading
	if l == nil {
		r.mu.Unlock()
		return
	}
	l.timer.Stop()
	s.leading = nil
	l.over.Store(true)
	s.generation.Add(1) // nobody takes it for the end of a channel
	over := l.takeAway()
	for at, v := range r.served {
		if v.leading == l {
			over = append(over, v)
			delete(r.served, at)
		}
	}
	r.mu.Unlock()
	for c := range l.channels { // there are no more of them
		c.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed(s)
	r.startLocked(func() {
		for _, v := range over {
			v.close()
		}
	})
}

// changed has all consumers of a shard attached anew. The caller holds r.mu.
func (r *Relay) changed(s *shard) {
	s.generation.Add(1)
	for k := range s.consumers {
		s.todo[k] = struct{}{}
	}
	for _, d := range s.gone {
		s.todo[d.Consumer] = struct{}{}
	}
	r.attachSoon(s)
}

// departed takes out a consumer that was closed. What it has done of late is claimed
// from a new leader all the same, and from the present one unless that was told all.
func (r *Relay) departed(k *Consumer, remembers, told bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := k.shard
	delete(s.consumers, k)
	delete(s.todo, k)
	if !remembers || r.closed {
		return
	}
	s.gone = append(s.gone, departure{k, time.Now()})
	if !told {
		s.todo[k] = struct{}{}
		r.attachSoon(s)
	}
	if s.forget == nil {
		s.forget = time.AfterFunc(remembered, func() { r.forget(s) })
	}
}

// forget lets go of consumers that were closed long ago.
func (r *Relay) forget(s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	for old < len(s.gone) && time.Since(s.gone[old].at) >= remembered {
		delete(s.todo, s.gone[old].Consumer)
		old++
	}
	if s.gone = s.gone[old:]; len(s.gone) == 0 || r.closed {
		s.gone, s.forget = nil, nil
		return
	}
	s.forget.Reset(time.Until(s.gone[0].at.Add(remembered)))
}

// attachSoon has what is to be attached attached. The caller holds r.mu.
func (r *Relay) attachSoon(s *shard) {
	switch t := r.target(s); {
	case t.member != 0 && !s.doubted.Load():
		if s.alone != nil {
			s.alone.Stop()
			s.alone = nil
		}
	case s.alone == nil && len(s.consumers) > 0 && !r.closed:
		s.alone = time.AfterFunc(withoutLeader, func() { r.abandon(s) })
	}
	if !s.attaching {
		s.attaching = r.startLocked(func() { r.attach(s) })
	}
}

// attachLater has a consumer attached once more, if no other leader comes before.
func (r *Relay) attachLater(k *Consumer) {
	time.AfterFunc(attachAgain, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, there := k.shard.consumers[k]; there && !r.closed {
			k.shard.todo[k] = struct{}{}
			r.attachSoon(k.shard)
		}
	})
}

// abandon closes the consumers of a shard that has no leader for too long.
func (r *Relay) abandon(s *shard) {
	r.mu.Lock()
	var consumers []*Consumer
	if s.alone != nil && (r.target(s).member == 0 || s.doubted.Load()) {
		s.alone = nil
		for k := range s.consumers {
			consumers = append(consumers, k)
		}
	}
	r.mu.Unlock()
	for _, k := range consumers {
		k.lose(errNoLeader)
	}
}

// attach attaches consumers of a shard until there is none left that has to be, and
// then tells the leader that all is claimed.
func (r *Relay) attach(s *shard) {
	for {
		t, todo := r.next(s)
		switch {
		case todo != nil:
			r.attachAll(todo, t)
		case t.member == 0:
			return
		case t.member == r.o.Self:
			r.claimed(t.member, s.id, t.term)
		default:
			r.peer(t.member).pushClaimed(s, t)
		}
	}
}

// next says what attach is to do; with neither consumers nor a target it is to end.
func (r *Relay) next(s *shard) (t target, todo []*Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t = r.target(s)
	for k := range s.todo {
		todo = append(todo, k)
	}
	clear(s.todo)
	if todo == nil && (t.member == 0 || s.told == t.generation) {
		s.attaching = false
		return target{}, nil
	}
	if todo == nil {
		s.told = t.generation
	}
	return t, todo
}

// attachAll attaches consumers. It waits for those that take messages just now, but not
// for ever: one may read from a disk that hangs.
func (r *Relay) attachAll(consumers []*Consumer, t target) {
	over, busy := make(chan struct{}, len(consumers)), 0
	for _, k := range consumers {
		if k.taking.TryLock() {
			k.attach(t)
			k.taking.Unlock()
			continue
		}
		if r.start(func() {
			k.taking.Lock()
			k.attach(t)
			k.taking.Unlock()
			over <- struct{}{}
		}) {
			busy++
		}
	}
	timeout := time.NewTimer(r.o.ClaimsWithin / 2)
	defer timeout.Stop()
	for ; busy > 0; busy-- {
		select {
		case <-over:
		case <-timeout.C:
			return
		}
	}
}

// Consumers are those that this node has of a channel, by ID.
func (r *Relay) Consumers(topic, channelName string) []channel.ConsumerStats {
	r.mu.Lock()
	var list []*Consumer
	for k := range r.shardOf(r.o.Shard(topic)).consumers {
		if k.topic == topic && k.channel == channelName {
			list = append(list, k)
		}
	}
	r.mu.Unlock()
	return statsOf(list)
}

// Channels are the names of those channels of a topic that this node has consumers of,
// in no order and each once.
func (r *Relay) Channels(topic string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make(map[string]bool)
	for k := range r.shardOf(r.o.Shard(topic)).consumers {
		if k.topic == topic {
			found[k.channel] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}
