package relay

import "sync"

// peer is another node. What this node's consumers have to say to leaders there is
// sent by one goroutine, which lives while there is something to send; consumers say
// all that has come together since.
type peer struct {
	r         *Relay
	member    uint64
	connected bool // as Relay.mu knows it, which guards it

	// turn is held while a frame is taken out of the queue and given to the connection:
	// none of before goes out over the next one.
	turn sync.Mutex

	mu      sync.Mutex // guards what follows; Relay.mu is taken under it
	up      bool       // there is a connection
	queue   []saying
	sending bool // there is a goroutine that sends
}

// saying is a frame, or what a consumer has to say when its turn comes.
type saying struct {
	frame    []byte
	consumer *Consumer
}

// peer finds another node, or makes it.
func (r *Relay) peer(member uint64) *peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peerLocked(member)
}

func (r *Relay) peerLocked(member uint64) *peer {
	p := r.peers[member]
	if p == nil {
		p = &peer{r: r, member: member}
		r.peers[member] = p
	}
	return p
}

// reachable says whether there is a connection to a node. The caller holds r.mu.
func (r *Relay) reachable(member uint64) bool {
	if member == 0 {
		return false
	}
	return r.peerLocked(member).connected
}

// Up says that there is a connection to a node, before its first frame.
func (r *Relay) Up(member uint64) { r.linkChanged(member, true) }

// Down says that there is none any more, after the last frame. The consumers of that node
// that this one serves are away from now on.
func (r *Relay) Down(member uint64) {
	r.linkChanged(member, false)
	r.linkBroke(member)
	r.mu.Lock()
	var leaderships []*leadership
	for _, s := range r.shards {
		delete(s.claims, member)
		if s.leading != nil {
			leaderships = append(leaderships, s.leading)
		}
	}
	r.mu.Unlock()
	for _, l := range leaderships {
		r.admit(l, func() { delete(l.waiting, member) })
	}
}

func (r *Relay) linkChanged(member uint64, up bool) {
	p := r.peer(member)
	p.turn.Lock()
	p.mu.Lock()
	p.up, p.queue = up, nil
	p.mu.Unlock()
	p.turn.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	p.connected = up
	for _, s := range r.shards {
		if s.leader == member {
			r.changed(s)
		}
		if l := s.leading; l != nil && l.away[member] != nil {
			r.beginAbsence(l, member)
		}
	}
}

// push has something sent. It does not wait.
func (p *peer) push(s saying) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pushLocked(s)
}

// pushClaimed has the leader of a shard told that all is claimed, unless consumers are to be
// attached anew since: it may be over another connection.
func (p *peer) pushClaimed(s *shard, t target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.generation.Load() == t.generation {
		p.pushLocked(saying{frame: appendClaimed(nil, s.id, t.term)})
	}
}

func (p *peer) pushLocked(s saying) {
	if !p.up {
		return // when there is a connection, all consumers are attached anew
	}
	p.queue = append(p.queue, s)
	if !p.sending {
		p.sending = p.r.start(p.send)
	}
}

// send sends until there is nothing left.
func (p *peer) send() {
	var memory []byte
	for p.sendNext(&memory) {
	}
}

// sendNext sends what is next in the queue, and says whether there was anything. A frame that
// does not go out is no loss: the connection is gone.
func (p *peer) sendNext(memory *[]byte) bool {
	p.turn.Lock()
	defer p.turn.Unlock()
	s, ok := p.pop()
	switch {
	case !ok:
		return false
	case s.frame != nil:
		p.r.o.Lane.Send(p.member, s.frame)
		return true
	}
	for frame := range s.consumer.say(p.member, (*memory)[:0]) {
		p.r.o.Lane.Send(p.member, frame)
		*memory = frame
	}
	return true
}

func (p *peer) pop() (s saying, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.queue, p.sending = nil, false
		return s, false
	}
	s = p.queue[0]
	p.queue[0] = saying{}
	p.queue = p.queue[1:]
	return s, true
}
