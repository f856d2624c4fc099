package serve

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/state"
	"qmq/topic"
)

// Node is the replicated topics of a node. All methods may be called concurrently.
type Node struct {
	o         Options
	clock     *clock.Clock
	deadlines *deadline.Queue
	shards    []*Shard
	ending    sync.WaitGroup  // Servings that end
	stopping  context.Context // done when Close begins
	asking    atomic.Int32    // publishes under way that want to know their numbers
	signals   sync.Pool       // chan error of capacity 1: those on which no publisher waits
	stop      context.CancelFunc
	refusal   atomic.Pointer[error] // why nothing may be published; nil: it may
}

// NewNode makes a node that knows no leader of any shard.
func NewNode(o Options) *Node {
	n := &Node{o: o, clock: o.Common.Channels.Clock, deadlines: o.Common.Channels.Deadlines}
	n.signals.New = func() any { return make(chan error, 1) }
	n.stopping, n.stop = context.WithCancel(context.Background())
	for id, shard := range o.Shards {
		n.shards = append(n.shards, newShard(n, uint32(id), shard))
	}
	return n
}

func (n *Node) now() int64 { return n.clock.Now() }

// Shard is the shard of a number, to be told what happens in it.
func (n *Node) Shard(id uint32) *Shard { return n.shards[id] }

// ShardOf is the number of the shard that a topic belongs to, of so many.
func ShardOf(topic string, shards int) uint32 {
	h := fnv.New32a()
	h.Write([]byte(topic))
	return h.Sum32() % uint32(shards)
}

func (n *Node) shardOf(topic string) *Shard { return n.shards[ShardOf(topic, len(n.shards))] }

// Close answers whoever waits with ErrClosed, and ends what is served here. Nothing is
// told to the shards any more.
func (n *Node) Close() {
	n.stop()
	for _, s := range n.shards {
		s.close()
	}
	n.ending.Wait()
}

// Publisher finds what takes publishes to a topic; with create the topic is made if
// need be. The error is topic.ErrNoAutoCreate where there is none and it is not to be
// made, ErrNoLeader, or that of Options.Making or Do.
func (n *Node) Publisher(name string, create bool) (*Producer, error) {
	s := n.shardOf(name)
	incarnation, there := s.machine.Incarnation(name)
	if there {
		return s.producer(name, incarnation), nil
	}
	if !create {
		return nil, topic.ErrNoAutoCreate
	}
	if err := n.make(name); err != nil {
		return nil, err
	}
	if incarnation, there = s.machine.Incarnation(name); !there {
		return nil, channel.ErrExiting // it is deleted already
	}
	return s.producer(name, incarnation), nil
}

// make makes a topic for a publish.
func (n *Node) make(name string) error {
	if n.o.Making != nil {
		if err := n.o.Making(name); err != nil {
			return err
		}
		if _, there := n.shardOf(name).machine.Incarnation(name); there {
			return nil
		}
	}
	return n.Do(context.Background(), Request{Op: state.CreateTopic, Topic: name})
}

// Publish stores a batch in the topic of a name, which is made if need be; see
// Producer.Publish.
func (n *Node) Publish(name string, b *diskqueue.Batch) error {
	err := n.publishOnce(name, b)
	if errors.Is(err, channel.ErrExiting) { // it was deleted: into the next one of that name
		err = n.publishOnce(name, b)
	}
	return err
}

// Start is Publish without the wait, for a topic that is there; see Producer.Start. ok is
// false, and nothing has begun, where there is none. wait is called once.
func (n *Node) Start(name string, b *diskqueue.Batch) (wait func() error, ok bool) {
	s := n.shardOf(name)
	incarnation, there := s.machine.Incarnation(name)
	if !there {
		return nil, false
	}
	x, err := s.producer(name, incarnation).Start(b)
	switch {
	case errors.Is(err, channel.ErrExiting):
		return nil, false
	case err != nil:
		return func() error { return err }, true
	}
	return func() error {
		err := x.Wait()
		if errors.Is(err, channel.ErrExiting) {
			return n.publishAgain(name, x.records, x.stamped)
		}
		return err
	}, true
}

// publishAgain stores a batch in the topic that has the name now.
func (n *Node) publishAgain(name string, records []byte, stamped diskqueue.Stamped) error {
	b := batches.Get().(*diskqueue.Batch)
	defer batches.Put(b)
	defer b.Reset()
	if err := b.ParseRecords(records); err != nil {
		return err
	}
	b.Restamped(stamped)
	return n.publishOnce(name, b)
}

func (n *Node) publishOnce(name string, b *diskqueue.Batch) error {
	p, err := n.Publisher(name, true)
	if err != nil {
		return err
	}
	return p.Publish(b)
}

// Refuse has all publishes through this node refused with an error from now on; nil: none
// any more. What is on its way goes on.
func (n *Node) Refuse(why error) {
	if why == nil {
		n.refusal.Store(nil)
		return
	}
	n.refusal.Store(&why)
}

// Topic is a topic that this node serves; with create it is made if need be. It is
// restored when somebody asks for it first. Where this node is about to serve it, or
// cannot for a moment, Topic waits. The error is ErrNoTopic, one that NotLeader is true
// for, or that of a creation.
func (n *Node) Topic(name string, create bool) (t *topic.Topic, err error) {
	err = n.leading(name, func(v *Serving) (err error) {
		if create {
			if err = v.create(name); err != nil {
				return err
			}
		}
		t, err = v.Topic(name)
		return err
	})
	return t, err
}

// Channel is a channel of a topic that this node serves, as Topic. The error is also
// topic.ErrNoChannel.
func (n *Node) Channel(name, channelName string) (c *channel.Channel, err error) {
	err = n.leading(name, func(v *Serving) error {
		t, err := v.Topic(name)
		if err != nil {
			return err
		}
		var there bool
		if c, there = t.FindChannel(channelName); !there {
			return v.standing(topic.ErrNoChannel)
		}
		return nil
	})
	return c, err
}

// leading does something with what serves a topic here. Where this node is about to serve it,
// or cannot for a moment, it waits.
func (n *Node) leading(name string, do func(*Serving) error) error {
	ctx, cancel := n.within(context.Background())
	defer cancel()
	s := n.shardOf(name)
	for {
		changed := s.whenChanged()
		err := errNotLeader
		if serving := s.servingNow(); serving != nil {
			err = do(serving)
		}
		if err == nil || !NotLeader(err) || !s.leadsItself() || pause(ctx, changed) != nil {
			return err
		}
	}
}

// within bounds how long something waits for a leader.
func (n *Node) within(ctx context.Context) (bounded context.Context, cancel func()) {
	ctx, timeout := context.WithTimeoutCause(ctx, leaderWithin, ErrNoLeader)
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(n.stopping, func() { end(ErrClosed) })
	return ctx, func() {
		stop()
		end(nil)
		timeout()
	}
}

// NotLeader says of an error that another node has to be asked, or this one later: it
// does not lead the shard, or not any more.
func NotLeader(err error) bool {
	return errors.Is(err, errNotLeader) || errors.Is(err, errBusy) || errors.Is(err, channel.ErrExiting)
}

// Leader is who leads a topic's shard, as far as this node knows, in which term; 0 while
// that is not known.
func (n *Node) Leader(name string) (member, term uint64) {
	s := n.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.term
}

// Flush returns when all is applied that the channels of a shard that is led here
// have told so far: before leadership is given away.
func (n *Node) Flush(ctx context.Context, shard uint32) error {
	serving := n.shards[shard].servingNow()
	if serving == nil {
		return nil
	}
	return serving.log.flush(ctx)
}

// ReceiveParts takes a frame of Remote.SendParts. It may wait for a moment.
func (n *Node) ReceiveParts(from uint64, frame []byte) error {
	f, err := decodeParts(bytes.Clone(frame)) // the parts stay
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return err
	}
	if int(f.shard) >= len(n.shards) || f.parts[0].Origin.Member != from {
		return errFrame
	}
	s := n.shards[f.shard]
	no := refused{why: notLeader}
	if serving := s.servingNow(); serving != nil && serving.term == f.term {
		no = serving.offer(f.name, f.by, f.parts)
	}
	if no.why != accepted {
		tell := notice{kind: noticeRefused, shard: f.shard, term: f.term, topic: f.parts[0].Topic, refused: no}
		switch no.why {
		case full:
			tell.kind = noticeFull
		case outdated:
			tell.kind = noticeOutdated
		}
		n.o.Remote.SendNotice(from, tell.encode()) // should it be lost, all comes again soon
	}
	return nil
}

// ReceiveNotice takes a frame of Remote.SendNotice. It does not wait.
func (n *Node) ReceiveNotice(from uint64, frame []byte) error {
	no, err := decodeNotice(frame)
	if err != nil || int(no.shard) >= len(n.shards) {
		return errFrame
	}
	s := n.shards[no.shard]
	switch no.kind {
	case noticeReady:
		s.isReady(from, no.term)
		return nil
	case noticeRepeats:
		s.machine.NoteDoubles(no.topic, no.number)
		return nil
	}
	if no.why == notLeader {
		s.isNotReady(from, no.term, retryAfter)
	}
	if p := s.producerOf(no.topic); p != nil && s.leads(from, no.term) {
		p.refusedIn(no.term, no.refused)
	}
	return nil
}

// Answer answers a Remote.Call. It may wait for the shard to agree.
func (n *Node) Answer(request []byte) []byte {
	r, err := decodeRequest(request)
	if err == nil {
		err = n.shardOf(r.Topic).doHere(r)
	}
	a := answerOf(err)
	if err == nil {
		a.number, _ = n.shardOf(r.Topic).machine.Applied()
		a.tell(r.Replay)
	}
	return a.encode()
}

// LinkChanged says that a connection to a member came up, or is gone: frames that were
// sent before may not have arrived.
func (n *Node) LinkChanged(member uint64) {
	for _, s := range n.shards {
		s.linkChanged(member)
	}
}

// Do makes a change of which topics and channels there are, or of what is paused or
// empty, wherever the topic is led. It returns when the change is applied at the leader
// and, as far as it is not cut off from it, here. Without a leader it waits for a
// while, and the error is ErrNoLeader then; it may be made all the same. Other errors
// are ErrNoTopic, ErrOthersKeep, topic.ErrNoChannel, a *topic.LimitError, a *topic.TailError, and
// ctx's.
func (n *Node) Do(ctx context.Context, r Request) error {
	ctx, cancel := n.within(ctx)
	defer cancel()
	s := n.shardOf(r.Topic)
	r.member, r.number = n.o.Member, rand.Uint64()
	for again := false; ; again = true {
		changed := s.whenChanged()
		err := s.ask(ctx, r)
		switch {
		case err == nil:
			return nil
		case again && r.ends() && (errors.Is(err, ErrNoTopic) || errors.Is(err, topic.ErrNoChannel)):
			return nil // it went when it was asked for first
		case !NotLeader(err):
			return err
		}
		if err := pause(ctx, changed); err != nil {
			return err
		}
	}
}

// pause waits a while before a request is tried again.
func pause(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(retryAfter)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
