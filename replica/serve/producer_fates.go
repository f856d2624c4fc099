package serve

import (
	"math"
	"slices"
	"time"

	"qmq/channel"
	"qmq/replica/entry"
	"qmq/replica/machine"
)

// What becomes of what was published: it is refused, applied, given up, or sent again.

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
		if p.outdated(no); p.renews() {
			p.send()
		} else {
			p.stall()
		}
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
		switch {
		case x.done == nil:
		case x.repeat != nil && err == nil:
			x.done <- p.judge(&x)
		default:
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
