package relay

import (
	"sync"
	"time"

	"qmq/channel"
	"qmq/internal/clock"
	"qmq/topic"
)

// Options configure a Relay.
type Options struct {
	Self   uint64                    // this node
	Shard  func(topic string) uint32 // that a topic is in
	Topics Topics
	Lane   Lane
	Clock  *clock.Clock
	// ClaimsWithin is how long a new leader waits for what the other nodes' clients
	// hold before it delivers; 0: 250 ms.
	ClaimsWithin time.Duration
	// AwayWithin is how long what clients of another node hold stays theirs when the link to
	// that has broken, and again when there is the next one, until it has claimed that; 0: 2 s.
	AwayWithin time.Duration
	// MaxMsgTimeout is the longest message timeout that a channel can be set to.
	MaxMsgTimeout time.Duration
}

// Topics are those that this node serves, as their leader.
type Topics interface {
	// Topic finds a topic, which is made if need be when create says so. It waits
	// until the topic can be served. With ErrNotLeader it is asked again, for as long as
	// a consumer waits for a leader; any other error is the end of the consumer.
	Topic(name string, create bool) (*topic.Topic, error)
}

// Lane carries frames to other nodes, in order as long as a connection lasts.
type Lane interface {
	// Send waits while too much is queued for that node, and the connection lasts. False:
	// there is none any more, and Down says so, which waits for Send. The frame is the
	// caller's again.
	Send(to uint64, frame []byte) bool
}

// Relay is a node's part in the relaying of replicated topics: it attaches the
// consumers of this node to leaders, and serves those of other nodes where this one
// leads. All methods may be called concurrently, but those that tell what happened
// to a shard in its order, and what happened to a link, frames included, in its.
type Relay struct {
	o    Options
	work sync.WaitGroup // goroutines; grows under mu and only while closed is false

	// mu guards what follows and the fields of shard, leadership and admission. No
	// other part is called under it.
	mu       sync.Mutex
	closed   bool
	shards   map[uint32]*shard
	peers    map[uint64]*peer
	attached map[uint64]attached // consumers at leaders on other nodes, by number
	last     uint64              // number given to a consumer last
	served   map[place]*served   // of other nodes
	joining  map[place]*joining  // of other nodes, that are to be served
}

// attached is a consumer and the node that it is attached to.
type attached struct {
	*Consumer
	member uint64
}

// place names a consumer of another node.
type place struct{ member, consumer uint64 }

// New makes a Relay. It does nothing by itself.
func New(o Options) *Relay {
	if o.ClaimsWithin == 0 {
		o.ClaimsWithin = claimsWithin
	}
	if o.AwayWithin == 0 {
		o.AwayWithin = awayWithin
	}
	return &Relay{
		o: o, shards: make(map[uint32]*shard), peers: make(map[uint64]*peer),
		attached: make(map[uint64]attached), served: make(map[place]*served), joining: make(map[place]*joining),
	}
}

// Close closes all consumers, of this node and of others, and waits until all
// goroutines have ended. No topic is to be served any more, and no frame to come.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	var consumers []*Consumer
	var served []*served
	for _, s := range r.shards {
		s.stopTimers()
		if s.leading != nil {
			served = append(served, s.leading.takeAway()...)
		}
		for k := range s.consumers {
			consumers = append(consumers, k)
		}
	}
	for at, v := range r.served {
		served = append(served, v)
		delete(r.served, at)
	}
	r.mu.Unlock()
	for _, k := range consumers {
		k.lose(channel.ErrExiting)
	}
	for _, v := range served {
		v.close()
	}
	r.work.Wait()
}

// SendAway closes the consumers of this node, which may be told of nothing for long:
// their clients find another node.
func (r *Relay) SendAway() { r.sendAway(func(*Consumer) bool { return true }) }

// SendAwayFrom closes the consumers of this node that a topic has.
func (r *Relay) SendAwayFrom(topic string) {
	r.sendAway(func(k *Consumer) bool { return k.topic == topic })
}

func (r *Relay) sendAway(whom func(*Consumer) bool) {
	r.mu.Lock()
	var consumers []*Consumer
	for _, s := range r.shards {
		for k := range s.consumers {
			if whom(k) {
				consumers = append(consumers, k)
			}
		}
	}
	r.mu.Unlock()
	for _, k := range consumers {
		k.lose(channel.ErrExiting)
	}
}

// start starts a goroutine that Close waits for, unless it has begun.
func (r *Relay) start(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.startLocked(f)
}

func (r *Relay) startLocked(f func()) bool {
	if r.closed {
		return false
	}
	r.work.Go(f)
	return true
}

// Receive takes a frame of another node, which is good during the call. It does not
// wait. The error is that it is none: the link had better begin anew.
func (r *Relay) Receive(from uint64, frame []byte) error {
	p := &parser{rest: frame}
	k := kind(p.uint8())
	if k == kindClaimed {
		shard, term := p.uint32(), p.uint64()
		if !p.done() {
			return errFrame
		}
		r.claimed(from, shard, term)
		return nil
	}
	consumer := p.uint64()
	if p.bad {
		return errFrame
	}
	if k >= kindOpened {
		return r.receiveForConsumer(k, place{from, consumer}, p)
	}
	return r.receiveForServed(k, place{from, consumer}, p)
}

// receiveForConsumer takes a frame for a consumer of this node, at the member that
// the place names; it may have gone.
func (r *Relay) receiveForConsumer(k kind, at place, p *parser) error {
	r.mu.Lock()
	c, number := r.attached[at.consumer].Consumer, at.consumer
	if r.attached[number].member != at.member {
		c = nil
	}
	r.mu.Unlock()
	switch k {
	case kindOpened:
		incarnation, refused, err := parseOpened(p)
		if err == nil && c != nil {
			c.opened(number, incarnation, refused, nil)
		}
		return err
	case kindMessages:
		generation := p.uint32()
		n, err := countMessages(p.rest)
		if err == nil && !p.bad && c != nil {
			c.arrived(number, generation, p.rest, n)
		}
		return err
	case kindResults:
		answers, failures, err := parseResults(p)
		if err == nil && c != nil {
			c.answered(number, answers, failures)
		}
		return err
	case kindClosed:
		why := code(p.uint8())
		if p.bad {
			return errFrame
		}
		if c != nil {
			c.refused(number, errorOf(why, string(p.rest)))
		}
		return nil
	}
	return errFrame
}

// answerLists are for the answers of a frame.
var answerLists = sync.Pool{New: func() any { return new([]channel.Answer) }}

// receiveForServed takes a frame for a consumer of another node.
func (r *Relay) receiveForServed(k kind, at place, p *parser) error {
	if k == kindOpen {
		f, err := parseOpen(at.consumer, p)
		if err == nil {
			r.receiveOpen(at, f)
		}
		return err
	}
	r.mu.Lock()
	v := r.served[at]
	if k == kindClose {
		delete(r.served, at)
		if j := r.joining[at]; j != nil {
			j.left = true
		}
	}
	r.mu.Unlock()
	switch k {
	case kindReady:
		generation, ready := p.uint32(), int64(p.uint64())
		if p.done() && v != nil {
			v.readyIs(ready, generation)
		}
	case kindAnswers:
		memory := answerLists.Get().(*[]channel.Answer)
		defer answerLists.Put(memory)
		answers, err := parseAnswers((*memory)[:0], p)
		if err == nil && v != nil {
			v.answer(answers)
		}
		if cap(answers) <= maxAnswers {
			*memory = answers
		}
		return err
	case kindTaken:
		bytes := p.uint32()
		if p.done() && v != nil {
			v.taken(int64(bytes))
		}
	case kindClose:
		if p.done() && v != nil {
			r.start(v.close)
		}
	default:
		return errFrame
	}
	if !p.done() {
		return errFrame
	}
	return nil
}
