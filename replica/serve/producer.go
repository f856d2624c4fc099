package serve

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/replica/entry"
	"qmq/replica/machine"
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
	if why := p.shard.n.refusal.Load(); why != nil {
		return Publication{}, *why
	}
	signals := &p.shard.n.signals
	x := Publication{signals: signals, done: signals.Get().(chan error)}
	if b.FirstAsked() {
		x.told, x.asking = new(told), &p.shard.n.asking
		x.asking.Add(1)
	}
	var err error
	if x.records, err = p.enqueue(b, &x); err != nil {
		signals.Put(x.done)
		if x.told != nil {
			x.asking.Add(-1)
		}
		return Publication{}, err
	}
	return x, nil
}

// enqueue numbers the batch and sends it. x will be told its fate.
func (p *Producer) enqueue(b *diskqueue.Batch, x *Publication) (records []byte, err error) {
	now := p.shard.n.now()
	size := b.Bytes()
	if err := p.reserve(size, now); err != nil {
		return nil, err
	}
	records = b.Records() // a copy, made without the lock
	x.stamped = stampedOf(b)
	part := entry.Part{Topic: p.topic, Count: b.Len(), Records: records}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, p.ended
	}
	part.Origin = entry.Origin{Member: p.shard.n.o.Member, Epoch: p.shard.n.o.Epoch, Number: p.next}
	p.next++
	p.pending = append(p.pending, pending{part: part, size: size, since: now, done: x.done, told: x.told, stamped: x.stamped})
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

// refusedIn is heard from the leader of a term.
func (p *Producer) refusedIn(term uint64, no refused) {
	if no.why != full {
		p.refused(no)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if term < p.sentTerm { // a later leader was sent it, and may take it
		return
	}
	p.leaveEmpty(no)
	if !p.stalled {
		p.send()
	}
}

// leaveEmpty tells publishers that the topic is full, and has nothing but the numbers of
// their batches sent, and what is behind them. The caller holds p.mu.
func (p *Producer) leaveEmpty(no refused) {
	from := p.place(no.number)
	for i := from; i < p.place(no.limit.through+1); i++ {
		if x := &p.pending[i]; x.done != nil {
			p.empty(i)
			x.done <- no.limit.err(p.name)
			x.done = nil
		}
	}
	stalled := p.stalled
	p.rewind(min(from, p.sent))
	p.stalled, p.news = stalled, p.shard.n.now()
	if p.waiting > 0 {
		p.room.Broadcast()
	}
}

// refused is heard from the leader: it did not take the batch with this number, nor
// those behind it.
func (p *Producer) refused(no refused) {
	if no.why == noTopic {
		p.end(channel.ErrExiting)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if no.why == outdated {
		p.outdated(no)
		p.send()
		return
	}
	if n := p.place(no.number); n < p.sent {
		p.rewind(n)
	}
	p.stall()
}

// place is where a number is, or would be, in pending.
func (p *Producer) place(number uint64) int {
	if len(p.pending) == 0 || number <= p.pending[0].part.Origin.Number {
		return 0
	}
	return int(min(number-p.pending[0].part.Origin.Number, uint64(len(p.pending))))
}

// fate is told when a batch of this topic was applied on this node, or could not be.
func (p *Producer) fate(o *machine.PartOutcome) {
	switch {
	case o.Status == machine.NoTopic:
		p.end(channel.ErrExiting)
	case o.Origin.Epoch != p.shard.n.o.Epoch:
	case o.Status == machine.OldEpoch:
		p.end(ErrClosed) // another process is this member now
	case o.Status == machine.Gap:
		p.refused(refused{why: gap}) // what came before was lost: again, in a while
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer(p.place(o.Origin.Number+1), nil)
		p.send()
	}
}

// answer answers the first n publishers. The caller holds p.mu.
func (p *Producer) answer(n int, err error) {
	if n == 0 {
		return
	}
	for i, x := range p.pending[:n] {
		p.bytes -= x.size
		if i < p.sent {
			p.sentSize -= x.size
		}
		if x.done != nil {
			x.done <- err
		}
	}
	p.pending = slices.Delete(p.pending, 0, n)
	p.sent, p.news = max(0, p.sent-n), p.shard.n.now()
	if p.waiting > 0 {
		p.room.Broadcast()
	}
}

// numbered notes which numbers the messages of a batch got that was applied.
func (p *Producer) numbered(o *machine.PartOutcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.place(o.Origin.Number); at < len(p.pending) && p.pending[at].part.Origin == o.Origin && p.pending[at].told != nil {
		*p.pending[at].told = told{o.Added.First, o.Doubles}
	}
}

// giveUp refuses those that have waited for too long, and says when that will be so
// for the next.
func (p *Producer) giveUp(now int64) (next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = math.MaxInt64
	for i := range p.pending {
		x := &p.pending[i]
		if x.done == nil {
			continue
		}
		at, late := p.deadline(x.since)
		if now < at {
			next = min(next, at)
			continue
		}
		p.empty(i)
		x.done <- late
		x.done = nil
	}
	p.forgetUnsent()
	if len(p.pending) > 0 {
		next = min(next, p.resend(now))
	}
	if p.waiting > 0 {
		p.room.Broadcast()
		next = min(next, now+int64(time.Second)/4)
	}
	return next
}

// resend sends all again where nothing was heard for long, and says when it would.
// Without a leader it waits for one, who is sent all of it. The caller holds p.mu.
func (p *Producer) resend(now int64) (next int64) {
	if _, none := p.shard.leaderless(); none {
		return math.MaxInt64
	}
	if now-p.news >= int64(resendAfter) {
		p.news = now
		p.rewind(0)
		p.send()
	}
	return p.news + int64(resendAfter)
}

// empty leaves nothing of a batch but its number. The caller holds p.mu.
func (p *Producer) empty(i int) {
	x := &p.pending[i]
	p.bytes -= x.size
	if i < p.sent {
		p.sentSize -= x.size
	}
	x.part, x.size = entry.Part{Topic: p.topic, Origin: x.part.Origin}, 0
}

// forgetUnsent takes back the last numbers, of what was given up and never sent. The
// caller holds p.mu.
func (p *Producer) forgetUnsent() {
	for n := len(p.pending); n > 0; n-- {
		last := &p.pending[n-1]
		if last.done != nil || last.part.Origin.Number <= p.highest {
			return
		}
		p.next--
		p.pending = p.pending[:n-1]
	}
}

// end refuses all that is pending, and what comes.
func (p *Producer) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(err)
}

// finish is end for a caller that holds p.mu.
func (p *Producer) finish(err error) {
	if p.ended == nil {
		p.ended = err
		p.shard.forget(p)
	}
	p.answer(len(p.pending), err)
	p.room.Broadcast()
}
