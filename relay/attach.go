package relay

import (
	"errors"
	"time"

	"qmq/channel"
)

// attach has a consumer leave the leader that it is attached to, and asks the new one
// to take it, with what its client holds and has done of late. One that is closed is
// taken for what it has done alone. The caller holds k.taking.
func (k *Consumer) attach(t target) {
	k.mu.Lock()
	if k.at > t.generation || k.closed && !k.client.remembers(k.r.o.Clock.Now()) {
		k.mu.Unlock()
		return
	}
	left := k.detach()
	k.at = t.generation
	if left.term < t.term && left.member != k.r.o.Self {
		// Its former leader may not have heard yet that it is that no longer: what it would give
		// to others now the client goes on to hold. It closes its places when it hears.
		left.number = 0
	}
	if t.member == 0 {
		k.mu.Unlock()
		k.leave(left)
		return
	}
	f := k.openFrame(t)
	local := t.member == k.r.o.Self
	switch {
	case k.closed && !local:
		k.r.peer(t.member).push(saying{frame: f.appendTo(nil)})
	case !k.closed:
		k.member, k.term, k.number, k.readySent = t.member, t.term, f.consumer, true
		if !local {
			k.open = f.appendTo(nil)
			k.queueFrames()
		}
	}
	k.mu.Unlock()
	k.leave(left)
	if local {
		k.r.joinLocal(k, f)
	}
}

// openFrame asks a leader for a place. The caller holds k.mu.
func (k *Consumer) openFrame(t target) *openFrame {
	f := &openFrame{
		term: t.term, window: window, generation: k.generation, ready: k.ready,
		timeout: int64(k.o.MsgTimeout), sample: uint8(k.o.SampleRate), locality: k.o.Locality,
		topic: k.topic, channel: k.channel, incarnation: k.incarnation,
	}
	if k.create {
		f.flags |= flagCreate
	}
	if k.o.Tail {
		f.flags |= flagTail
	}
	if k.closed {
		f.flags |= flagGone
	}
	if k.o.DefaultTimeout {
		f.flags |= flagDefaultTimeout
	}
	if k.o.Headers {
		f.flags |= flagAttributes
	}
	if k.known {
		f.flags |= flagAgain
		f.claims = k.client.claims(k.r.o.Clock.Now())
	}
	r := k.r
	r.mu.Lock()
	r.last++
	f.consumer = r.last
	if t.member != r.o.Self && !k.closed {
		r.attached[f.consumer] = attached{k, t.member}
	}
	r.mu.Unlock()
	return f
}

// part is detach of a consumer that is closed: its leader is told what its client has
// answered, and has never got. The caller holds k.mu.
func (k *Consumer) part() (left attachment) {
	var last [][]byte
	if k.joined && k.seat == nil {
		if k.ready > 0 || !k.readySent { // or it would get anew what it gives back
			last = append(last, appendReady(nil, k.number, k.generation, 0))
		}
		k.ready = 0
		k.trim() // the client has not got what is in the buffer
		last = append(last, k.answerFrames(nil)...)
	}
	left = k.detach()
	left.last = last
	k.client.giveUp()
	return left
}

// detach takes what the client has answered as if its leader had agreed, drops what
// it has not got yet, and returns where the consumer was. The caller holds k.mu.
func (k *Consumer) detach() (left attachment) {
	now, wall := k.r.o.Clock.Now(), k.r.o.Clock.Wall()
	for i := range k.pending {
		k.client.answerDone(&k.pending[i], nil, now, wall)
	}
	known := len(k.pending)
	k.pending, k.sent = nil, 0
	k.buffer.drop()
	left = k.attachment
	k.attachment = attachment{at: left.at, incarnation: left.incarnation}
	k.settling.said = false
	k.settleAnew()
	k.confirm(known)
	if left.number != 0 {
		k.r.mu.Lock()
		delete(k.r.attached, left.number)
		k.r.mu.Unlock()
	}
	return left
}

// leave gives up a place at a leader.
func (k *Consumer) leave(left attachment) {
	switch {
	case left.seat != nil:
		left.seat.leave()
	case left.number != 0 && left.member != k.r.o.Self:
		p := k.r.peer(left.member)
		for _, frame := range left.last {
			p.push(saying{frame: frame})
		}
		p.push(saying{frame: appendHead(nil, kindClose, left.number)})
	}
}

// opened notes that the leader has taken the consumer, on this node with a seat, and
// which messages it refuses to take for the client's.
func (k *Consumer) opened(number, incarnation uint64, refused []uint64, seat *seat) {
	k.mu.Lock()
	if k.closed || k.number != number {
		k.mu.Unlock()
		if seat != nil {
			seat.leave()
		}
		return
	}
	for _, seq := range refused {
		k.client.lost(seq)
	}
	k.incarnation, k.joined, k.known, k.astray = incarnation, true, true, time.Time{}
	k.end(nil)
	var failed []channel.Answer
	waited := 0
	if seat != nil {
		k.seat = seat
		k.seat.setReady(k.ready)
		answers := k.pending
		k.pending, k.sent = nil, 0
		waited = len(answers)
		k.telling += waited
		failed = k.answerSeat(answers)
	} else {
		k.queueFrames()
	}
	k.settleAnew()
	k.callUnlock(func() {
		for _, a := range failed {
			k.failed(a)
		}
		k.o.Wake() // where it was parked at its former leader, nobody else would call it
	})
	k.told(waited)
}

// refused notes that the leader does not take the consumer, or serves it no longer.
func (k *Consumer) refused(number uint64, why error) {
	k.mu.Lock()
	if k.closed || k.number != number || k.at != k.shard.generation.Load() {
		k.mu.Unlock()
		return
	}
	now := time.Now()
	if !errors.Is(why, ErrNotLeader) || !k.astray.IsZero() && now.Sub(k.astray) >= withoutLeader {
		k.mu.Unlock()
		if errors.Is(why, ErrNotLeader) {
			why = errNoLeader
		}
		k.lose(why)
		return
	}
	if k.astray.IsZero() {
		k.astray = now
	}
	left := k.detach()
	k.mu.Unlock()
	k.leave(left)
	k.r.attachLater(k)
}

// failed tells the session of an answer that failed after it was taken.
func (k *Consumer) failed(a channel.Answer) {
	if k.o.AnswerFailed != nil {
		k.o.AnswerFailed(a)
	}
}
