package replica

import (
	"bytes"
	"context"
	"errors"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/replica/serve"
	"qmq/topic"
)

// simServer is what a member's process has beside its shard: package serve, and its
// clients.
type simServer struct {
	n    *simNode
	d    *served
	life int

	node      *serve.Node
	clock     *clock.Clock
	deadlines *deadline.Queue
	letters   *topic.DeadLetters

	term      uint64 // that it serves in; 0: it does not
	since     time.Duration
	consumers []*simConsumer
	flying    map[flyingKey]flying
	refuses   bool
}

// start begins a process's topics.
func (d *served) start(n *simNode, epoch uint64) *simServer {
	s := &simServer{n: n, d: d, life: n.life, clock: clock.New(), flying: make(map[flyingKey]flying)}
	s.deadlines = deadline.New(s.clock)
	s.letters = topic.NewDeadLetters(s.clock.Wall, s.publishLetters, quiet)
	s.node = serve.NewNode(serve.Options{
		Member: n.id, Epoch: epoch, Remote: s, IDPrefix: 7, Logger: quiet,
		Deduplicable: n.knows.Load, Stampable: n.knows.Load,
		Shards: []serve.ShardOptions{{Raft: s, Machine: n.machine.(*simShard).m}},
		Common: topic.Common{
			Channels:          &channel.Common{Clock: s.clock, Deadlines: s.deadlines, MsgTimeout: time.Second, MaxMsgTimeout: time.Hour, MaxReqTimeout: time.Hour},
			MemQueueSize:      10000,
			DeadLetters:       s.letters,
			FailureChanged:    func(*topic.Topic) {},
			ReadFailed:        func(*topic.Topic, string, error) {},
			Damaged:           func(*topic.Topic, uint64, uint64, uint64) {},
			Abandoned:         func(*topic.Topic) {},
			Changed:           func() {},
			RegisterChannel:   func(*topic.Topic, string) {},
			UnregisterChannel: func(*topic.Topic, string) {},
			Logger:            quiet,
		},
	})
	s.letters.Begin()
	for slot := range d.w.slots {
		d.links[n.slot][slot].broken.Store(true)
		d.links[slot][n.slot].broken.Store(true)
	}
	d.slots.Store(n.id, n.slot)
	n.later(d.w.between(0, 50*time.Millisecond), s.publish)
	n.later(d.w.between(0, 50*time.Millisecond), s.consume)
	return s
}

// close is the end of the process.
func (s *simServer) close() {
	for _, c := range s.consumers {
		c.lost()
	}
	s.consumers = nil
	s.d.ending.Go(func() {
		s.node.Close()
		s.letters.Close()
		s.deadlines.Close()
	})
}

// put has something done in the world, if the process is still there then.
func (s *simServer) put(f func()) {
	s.d.inbox.put(func() {
		if s.n.life == s.life {
			s.n.do(f)
		}
	})
}

// beside runs a call of the product that may wait, and then does something.
func (s *simServer) beside(call func() error, then func(error)) {
	go func() {
		err := call()
		s.put(func() { then(err) })
	}()
}

// What becomes of the shard.

func (s *simServer) leader(member, term uint64) { s.node.Shard(0).Leader(member, term) }

func (s *simServer) led(term uint64) {
	s.loseConsumers()
	s.term, s.since = term, s.n.w.now
	s.d.leading = max(s.d.leading, term)
	index, _ := s.n.machine.Applied()
	s.d.rewoundBy(index)
	s.n.w.log("%d serves in term %d", s.n.id, term)
	s.node.Shard(0).Led(term)
}

func (s *simServer) deposed() {
	s.loseConsumers()
	s.term = 0
	s.node.Shard(0).Deposed()
}

func (s *simServer) loseConsumers() {
	for _, c := range s.consumers {
		c.lost()
	}
	s.consumers, s.flying = nil, make(map[flyingKey]flying)
}

func (s *simServer) applied(a Applied) {
	if s.term == s.d.leading {
		s.d.rewoundBy(a.Index)
	}
	s.node.Shard(0).Applied(a.Outcome)
}

func (s *simServer) installed(index, term uint64) { s.node.Shard(0).Installed(index, term) }

// Propose and ProposeOwn make it a serve.Raft. With every second seed it is as if nobody
// else ever waited.
func (s *simServer) Propose(data []byte, done func(any, error)) {
	data = bytes.Clone(data)
	s.put(func() { s.n.core.propose(&proposal{data: data, own: s.n.w.seed%2 == 0, done: done}) })
}

func (s *simServer) ProposeOwn(data []byte, done func(any, error)) { s.Propose(data, done) }

// What makes it a serve.Remote. The world stands still meanwhile.

func (s *simServer) SendParts(to uint64, frame []byte) bool {
	if !s.d.linked(s.n.slot, to) {
		return false
	}
	frame = bytes.Clone(frame)
	s.put(func() {
		s.d.frame(s.n, to, func(other *simServer) { s.received(other.node.ReceiveParts(s.n.id, frame)) })
	})
	return true
}

func (s *simServer) SendNotice(to uint64, frame []byte) bool {
	frame = bytes.Clone(frame)
	s.put(func() {
		s.d.frame(s.n, to, func(other *simServer) { s.received(other.node.ReceiveNotice(s.n.id, frame)) })
	})
	return true
}

func (s *simServer) received(err error) {
	if err != nil {
		s.n.w.fail("a frame of %d is refused: %v", s.n.id, err)
	}
}

func (s *simServer) Peers() (ids []uint64) {
	for _, n := range s.n.w.nodes {
		if n != s.n {
			ids = append(ids, n.id)
		}
	}
	return ids
}

var errUnlinked = errors.New("no connection")

// Call asks another member; what is lost on the way is not answered before ctx ends.
func (s *simServer) Call(ctx context.Context, to uint64, request []byte) ([]byte, error) {
	if !s.d.linked(s.n.slot, to) {
		return nil, errUnlinked
	}
	request = bytes.Clone(request)
	answer := make(chan []byte, 1)
	s.put(func() {
		s.d.frame(s.n, to, func(other *simServer) {
			var b []byte
			other.beside(func() error {
				b = other.node.Answer(request)
				return nil
			}, func(error) {
				other.d.frame(other.n, s.n.id, func(me *simServer) {
					if me == s {
						answer <- b
					}
				})
			})
		})
	})
	select {
	case b := <-answer:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// publishLetters publishes dead letters, as the node would.
func (s *simServer) publishLetters(_, _, to string, letters func(*topic.Stamp) *diskqueue.Batch) error {
	p, err := s.node.Publisher(to, true)
	if err != nil {
		return err
	}
	return p.Publish(letters(p.Stamp()))
}
