package serve

import (
	"sync"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/replica/entry"
)

const (
	// maxPending is how many bytes of a topic may wait on a node before publishers are
	// held back.
	maxPending = 8 << 20
	// window is how many of them are sent to the leader before it is known what became
	// of them; one batch may be larger.
	window = 2 << 20
	// resendAfter is how long after the last news of a topic all is sent again: news may
	// be lost.
	resendAfter = 2 * time.Second
	// maxFrame is about how many bytes go in one frame.
	maxFrame = 1 << 20
)

// Producer is what is published to a topic on this node. It numbers the batches, and
// keeps each until its own node has applied it, or until it is given up: whenever the
// leader may not have got them, it sends all of them again, in order, and what was
// applied already counts once. A number is never left out: what is given up is
// replaced by nothing, of the same number. All methods may be called concurrently.
type Producer struct {
	shard *Shard
	name  string
	topic uint64 // incarnation
	stamp stampCache

	// mu guards what follows: the batches whose fate is not known. Under it they are
	// sent, so that they arrive in their order; it is taken before the locks of shards
	// and Servings.
	mu       sync.Mutex
	room     sync.Cond // signalled when bytes shrinks, and at the end
	waiting  int       // publishers that wait for room
	pending  []pending // ascending and gapless
	bytes    int       // of pending, and of batches that are being copied
	next     uint64    // number of the next batch
	sent     int       // of pending, those that the leader has been sent
	sentSize int       // their bytes
	highest  uint64    // number that was ever sent
	sentTerm uint64    // of the last leader that was sent anything
	stalled  bool      // the leader refused something: it is sent again later
	old      bool      // pending was stamped by settings that the leader has no more
	applied  uint64    // how far this node has to apply the shard to have the leader's
	news     int64     // steady ns: of the last fate, or when all was sent again
	ended    error     // why nothing is published any more
}

// pending is a batch whose fate is not known.
type pending struct {
	part  entry.Part
	size  int
	since int64      // steady ns: when its publisher came
	done  chan error // of capacity 1; nil once it is given up
	told  *told      // what is to be noted; nil: nothing

	stamped diskqueue.Stamped
	repeat  *repeat // nil, but of what is sent as nothing
}

// told is which number the first message of a batch got, and which messages got none, for
// they are doubles.
type told struct {
	first   uint64
	doubles []int
}

func newProducer(s *Shard, name string, topic uint64) *Producer {
	p := &Producer{shard: s, name: name, topic: topic, next: 1}
	if epoch, number := s.machine.Row(topic, s.n.o.Member); epoch == s.n.o.Epoch {
		p.next = number + 1
	}
	p.room.L = &p.mu
	return p
}

// Name is the topic's name.
func (p *Producer) Name() string { return p.name }

// Publish stores the batch, all or nothing of it, and returns when it is applied on
// this node, and so agreed on by a majority; the batch may be used again then. The
// error is ErrNoLeader, ErrNoAnswer, channel.ErrExiting when the topic is gone, and
// another one of its name may be there, ErrClosed, a *topic.FullError, or what
// Node.Refuse says.
func (p *Producer) Publish(b *diskqueue.Batch) error {
	x, err := p.Start(b)
	if err != nil {
		return err
	}
	err = x.Wait()
	if x.told != nil {
		b.Drop(x.told.doubles)
		b.SetFirst(x.told.first)
	}
	return err
}

// Publication is a batch that was sent, or will be.
type Publication struct {
	signals *sync.Pool
	done    chan error
	records []byte // of the batch
	stamped diskqueue.Stamped
	told    *told // nil: it is not asked for
	asking  *atomic.Int32
}

// Wait returns what became of it, as Publish does. It is called once.
func (x Publication) Wait() error {
	if x.done == nil {
		return nil // it was empty
	}
	defer x.signals.Put(x.done)
	if x.told != nil {
		defer x.asking.Add(-1)
	}
	return <-x.done
}

// Start is Publish without the wait: the batch may be used again when it returns, and
// those that are started one after the other are stored in that order. It waits only
// while too much is under way.
func (p *Producer) Start(b *diskqueue.Batch) (Publication, error) {
	if b.Len() == 0 {
		return Publication{}, nil
	}
	var again *repeat
	if why := p.shard.n.refusal.Load(); why != nil {
		if again = p.repeats(b, *why); again == nil {
			return Publication{}, *why
		}
	}
	signals := &p.shard.n.signals
	x := Publication{signals: signals, done: signals.Get().(chan error)}
	if b.FirstAsked() {
		x.told, x.asking = new(told), &p.shard.n.asking
		x.asking.Add(1)
	}
	var err error
	if x.records, err = p.enqueue(b, &x, again); err != nil {
		signals.Put(x.done)
		if x.told != nil {
			x.asking.Add(-1)
		}
		return Publication{}, err
	}
	return x, nil
}

// enqueue numbers the batch and sends it, or nothing in its place if it is known already. x
// will be told its fate.
func (p *Producer) enqueue(b *diskqueue.Batch, x *Publication, again *repeat) (records []byte, err error) {
	now := p.shard.n.now()
	size, count := b.Bytes(), b.Len()
	if again != nil {
		size, count = 0, 0
	}
	if err := p.reserve(size, now); err != nil {
		return nil, err
	}
	if again == nil {
		records = b.Records() // a copy, made without the lock
	}
	x.stamped = stampedOf(b)
	part := entry.Part{Topic: p.topic, Count: count, Records: records}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, p.ended
	}
	part.Origin = entry.Origin{Member: p.shard.n.o.Member, Epoch: p.shard.n.o.Epoch, Number: p.next}
	p.next++
	p.pending = append(p.pending, pending{part: part, size: size, since: now, done: x.done, told: x.told, stamped: x.stamped, repeat: again})
	p.send()
	if len(p.pending) == 1 {
		p.news = now
	}
	at, _ := p.deadline(now)
	p.shard.timer.Arm(min(at, now+int64(resendAfter)))
	return records, nil
}

// reserve waits until there is room for a batch.
func (p *Producer) reserve(size int, now int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.ended == nil && p.bytes > maxPending {
		at, late := p.deadline(now)
		if p.shard.n.now() >= at {
			return late
		}
		p.waiting++
		p.shard.timer.Arm(at)
		p.room.Wait()
		p.waiting--
	}
	if p.ended == nil {
		p.bytes += size
	}
	return p.ended
}

// deadline is when it is given up what has waited since then, and with which error.
func (p *Producer) deadline(since int64) (at int64, late error) {
	if leaderless, none := p.shard.leaderless(); none {
		return max(since, leaderless) + int64(leaderWithin), ErrNoLeader
	}
	return since + int64(answerWithin), ErrNoAnswer
}

// send sends what the leader was not sent, as far as the window allows. The caller
// holds p.mu.
func (p *Producer) send() {
	for p.sent < len(p.pending) {
		if p.old && !p.restamp() {
			p.stall()
			return
		}
		n, size := p.frame()
		if n == 0 {
			return
		}
		to, ok := p.shard.target()
		if !ok || !p.sendTo(to, n, size) {
			p.stall()
			return
		}
	}
}

// frame is how many batches go next, and how large they are.
func (p *Producer) frame() (n, size int) {
	for _, next := range p.pending[p.sent:] {
		if n > 0 && next.stamped.By != p.pending[p.sent].stamped.By { // a frame says it once
			break
		}
		if size > 0 && size+next.size > maxFrame || p.sentSize+size > 0 && p.sentSize+size+next.size > window {
			break
		}
		n++
		size += next.size
	}
	return n, size
}

// sendTo sends the next n batches. False: they, or some of them, have to be sent again.
func (p *Producer) sendTo(to target, n, size int) (ok bool) {
	parts := make([]entry.Part, 0, n)
	for _, next := range p.pending[p.sent : p.sent+n] {
		parts = append(parts, next.part)
	}
	p.highest, p.sentTerm = max(p.highest, parts[n-1].Origin.Number), max(p.sentTerm, to.term)
	by := p.pending[p.sent].stamped.By
	if to.serving == nil {
		if stampable := p.shard.n.o.Stampable; stampable != nil && !stampable() {
			by = 0
		}
		frame := encodeParts(p.shard.id, to.term, p.name, by, parts)
		if ok = p.shard.n.o.Remote.SendParts(to.member, frame); ok {
			p.sent, p.sentSize = p.sent+n, p.sentSize+size
		} else {
			p.shard.isNotReady(to.member, to.term, unsentAfter) // others need not try either, for now
		}
		return ok
	}
	switch no := to.serving.offer(p.name, by, parts); no.why {
	case accepted:
		p.sent, p.sentSize = p.sent+n, p.sentSize+size
		return true
	case noTopic:
		p.finish(channel.ErrExiting)
		return true
	case full:
		p.leaveEmpty(no)
		return true
	case outdated:
		p.outdated(no)
		return true
	default:
		p.rewind(p.place(no.number))
		return false
	}
}

// stall has what was not sent sent later. The caller holds p.mu.
func (p *Producer) stall() {
	p.stalled = true
	p.shard.retry()
}

// restart sends all that is pending, from the first on.
func (p *Producer) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rewind(0)
	p.send()
}

// rewind has what follows the first n batches sent again. The caller holds p.mu.
func (p *Producer) rewind(n int) {
	p.sent, p.sentSize, p.stalled = n, 0, false
	for _, x := range p.pending[:n] {
		p.sentSize += x.size
	}
}

// resume goes on after a stall.
func (p *Producer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled {
		p.stalled = false
		p.send()
	}
}
