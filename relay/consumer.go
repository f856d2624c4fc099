package relay

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/internal/names"
	"qmq/message"
)

var (
	// errNoLeader means that nobody serves the topic for too long.
	errNoLeader = errors.New("no leader")
	// errNoAnswer means that the leader, which is there, does not take the consumer.
	errNoAnswer = errors.New("the topic's leader does not answer")
)

// subscribeWithin is how long a leader that can be reached may take for a new
// consumer: it may have to restore the topic, and to create it.
const subscribeWithin = 8 * time.Second

// Consumer is a client's subscription to a channel of a replicated topic, whoever
// leads it. It is a broker.Consumer.
type Consumer struct {
	r              *Relay
	shard          *shard
	topic, channel string
	create         bool
	o              broker.SubscribeOptions
	subscribed     chan error     // of capacity 1: how the first attachment ended
	wakes          sync.WaitGroup // calls of o.Wake and o.AnswerFailed; begun with mu held, before Close

	// taking is held during a Take, and while the consumer goes from one leader to
	// another: what the client got of the one is claimed from the other.
	taking sync.Mutex

	mu     sync.Mutex // guards what follows; a channel's and Relay.mu are taken under it
	closed bool
	known  bool      // a leader has taken it once
	lost   bool      // o.Closed was called
	astray time.Time // since when leaders say that they are none; zero: the last one took it
	attachment
	ready        int64
	generation   uint32 // grows whenever ready gets lower
	client       clientMessages
	pending      []channel.Answer // that no leader has answered, in order
	sent         int              // of pending, those that were sent
	telling      int              // answers of which o.AnswerFailed is about to be told
	confirmation confirmation
	settling     settling
	buffer       buffer
	stats        channel.ConsumerStats
}

// attachment is where a consumer is attached. The zero value is nowhere.
type attachment struct {
	at          uint64 // generation of the shard
	member      uint64
	term        uint64 // in which it leads
	number      uint64 // 0: nowhere
	open        []byte // the frame that asks for it, to be sent
	joined      bool   // the leader has taken it
	incarnation uint64 // of what the client's messages are of, see identity
	seat        *seat  // of a leader on this node
	readySent   bool
	queued      bool     // the peer is going to ask what the consumer has to say
	taken       uint32   // bytes of messages that the leader has not been told of
	last        [][]byte // of a place that is given up: what is to be sent before that
}

// Subscribe adds a consumer. With create, topic and channel are made if need be. It
// waits until the leader has taken it, for 5 s without a leader. The error is that of
// the leader's channel, or "no leader".
func (r *Relay) Subscribe(topic, channelName string, create bool, o broker.SubscribeOptions) (*Consumer, error) {
	k := &Consumer{r: r, topic: topic, channel: channelName, create: create, o: o, subscribed: make(chan error, 1)}
	k.stats.ID = o.ID
	if k.o.Wake == nil {
		k.o.Wake = func() {}
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, channel.ErrExiting
	}
	k.shard = r.shardOf(r.o.Shard(topic))
	k.shard.consumers[k] = struct{}{}
	k.shard.todo[k] = struct{}{}
	r.attachSoon(k.shard)
	r.mu.Unlock()
	timeout := time.NewTimer(subscribeWithin)
	defer timeout.Stop()
	err := errNoAnswer
	select {
	case err = <-k.subscribed:
	case <-timeout.C:
	}
	if err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// Incarnation is that of the channel or, of an ephemeral one, of the topic.
func (k *Consumer) Incarnation() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.incarnation
}

// SetReady sets how many messages the client accepts in flight.
func (k *Consumer) SetReady(n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n = max(n, 0)
	lower := n < k.ready
	k.ready, k.stats.Ready = n, n
	if k.seat != nil {
		k.seat.setReady(n)
		return
	}
	if lower {
		k.generation++
		k.trim()
	}
	k.readySent = false
	k.queueFrames()
}

// Take hands out messages, see channel.Consumer.
func (k *Consumer) Take(s channel.Sink, limit int) (n int) {
	return k.take(s, limit, (*channel.Consumer).Take)
}

// TakeCached is Take for who must not wait for a disk.
func (k *Consumer) TakeCached(s channel.Sink, limit int) (n int) {
	return k.take(s, limit, (*channel.Consumer).TakeCached)
}

func (k *Consumer) take(s channel.Sink, limit int, take func(*channel.Consumer, channel.Sink, int) int) (n int) {
	k.taking.Lock()
	defer k.taking.Unlock()
	k.mu.Lock()
	seat := k.seat
	if seat == nil {
		defer k.mu.Unlock()
		return k.takeBuffered(s, limit)
	}
	k.mu.Unlock()
	noted := notes.Get().(*noting)
	noted.sink, noted.n = s, 0
	n = take(seat.consumer, noted, limit)
	k.mu.Lock()
	k.buffer.parked = seat.consumer.Parked()
	k.handedOut(noted)
	k.mu.Unlock()
	noted.sink = nil
	notes.Put(noted)
	return n
}

// Parked tells, after a Take, whether Wake will be called before the next can find
// anything.
func (k *Consumer) Parked() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buffer.parked
}

// noting is a Sink that notes what passes through it. It is pooled: goroutines that
// deliver have small stacks.
type noting struct {
	sink  channel.Sink
	n     int
	last  message.ID // of taken
	taken [channel.MaxTake]handed
}

// handed is a message that a client gets.
type handed struct {
	seq      uint64
	attempts uint16
}

var notes = sync.Pool{New: func() any { return new(noting) }}

// Put passes a message on.
func (n *noting) Put(m *channel.Message) bool {
	if !n.sink.Put(m) {
		return false
	}
	n.last = m.ID
	n.taken[n.n] = handed{m.Seq, m.Attempts}
	n.n++
	return true
}

// timeout is how long the client may have a message, at most, in ns: of one that did not
// say, the settings of the channel do, at the leader.
func (k *Consumer) timeout() int64 {
	if k.o.DefaultTimeout {
		return int64(max(k.o.MsgTimeout, k.r.o.MaxMsgTimeout))
	}
	return int64(k.o.MsgTimeout)
}

// handedOut notes what the client got. The caller holds k.mu.
func (k *Consumer) handedOut(noted *noting) {
	if noted.n == 0 {
		return
	}
	until := k.r.o.Clock.Now() + k.timeout()
	prefix, _, _ := noted.last.Split() // all of a topic begin with the same
	for _, m := range noted.taken[:noted.n] {
		k.client.got(prefix, m.seq, m.attempts, until)
	}
	k.stats.MessageCount += uint64(noted.n)
	k.client.forget(k.r.o.Clock.Now())
}

// Stats are the consumer's figures, as this node knows them.
func (k *Consumer) Stats() channel.ConsumerStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.stats
	s.InFlight = int64(k.client.inFlight(k.r.o.Clock.Now()))
	return s
}

// statsOf are the figures of consumers, by ID.
func statsOf(consumers []*Consumer) []channel.ConsumerStats {
	stats := make([]channel.ConsumerStats, 0, len(consumers))
	for _, k := range consumers {
		stats = append(stats, k.Stats())
	}
	slices.SortFunc(stats, func(a, b channel.ConsumerStats) int { return cmp.Compare(a.ID, b.ID) })
	return stats
}

// Close ends the subscription: what the client holds becomes available to others.
func (k *Consumer) Close() {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return
	}
	k.closed = true
	told := k.joined && k.at == k.shard.generation.Load()
	left := k.part()
	remembers := k.client.remembers(k.r.o.Clock.Now()) && !names.IsEphemeral(k.channel)
	k.r.departed(k, remembers, told)
	k.mu.Unlock()
	k.leave(left)
	k.wakes.Wait()
}

// lose tells the client's session that the consumer is closed, or Subscribe that there
// will be none.
func (k *Consumer) lose(why error) {
	k.mu.Lock()
	known, over := k.known, k.closed || k.lost
	k.lost = k.lost || known
	k.mu.Unlock()
	switch {
	case over:
	case !known:
		k.end(why)
	case k.o.Closed != nil:
		k.o.Closed()
	}
}

// end says how the first attachment ended, once.
func (k *Consumer) end(err error) {
	select {
	case k.subscribed <- err:
	default:
	}
}

// call calls back with no lock held, so that Close waits for it. The caller holds
// k.mu, which is released.
func (k *Consumer) callUnlock(back func()) {
	if k.closed || back == nil {
		k.mu.Unlock()
		return
	}
	k.wakes.Add(1)
	k.mu.Unlock()
	back()
	k.wakes.Done()
}
