package relay

import (
	"time"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/internal/seqtable"
	"qmq/message"
)

const (
	// remembered is for how long what a client has done is claimed from a new leader,
	// at least: the former one has had it replicated by then.
	remembered = 5 * time.Second
	// maxRemembered bounds the requeued messages, and the runs of finished ones, that
	// are claimed. Others may be delivered again.
	maxRemembered = 1 << 15
)

// clientMessages is what a consumer's client holds, and what it has done of late.
type clientMessages struct {
	prefix uint16 // what the ids of all messages begin with
	held   seqtable.Table[heldMessage]
	sweep  int // with how many held the next sweep is due

	// done are those that were finished since the time of the second, and for as
	// long before it; nil when there are none.
	done, doneBefore *seqset.Set
	since, last      int64 // steady ns; last is when a message was finished last
	requeued         []requeued
}

// heldMessage is a message that the client has.
type heldMessage struct {
	until    int64 // when it has timed out for certain, steady ns
	due      int64 // of a requeued one, ms since 1970, wall clock; 0: at once
	attempts uint16
	answered bool // finished or requeued, and the leader has not said anything yet
}

// requeued is a message that the client has given back.
type requeued struct {
	channel.Claim
	at int64 // steady ns
}

const minSweep = 64

// got notes a message that the client got, and has until then.
func (c *clientMessages) got(prefix uint16, seq uint64, attempts uint16, until int64) {
	c.prefix = prefix
	*c.held.Put(seq) = heldMessage{until: until, attempts: attempts}
}

// forget lets go of messages that have timed out and that the client says nothing of,
// when that may be many.
func (c *clientMessages) forget(now int64) {
	if c.held.Len() < max(c.sweep, minSweep) {
		return
	}
	var late []uint32
	c.held.Each(func(i uint32, _ uint64, m *heldMessage) {
		if m.until < now && !m.answered {
			late = append(late, i)
		}
	})
	for _, i := range late {
		c.held.Remove(i)
	}
	if c.held.Sparse() {
		c.held.Shrink(func(_, _ uint32) {})
	}
	c.sweep = 2 * c.held.Len()
}

// find is the index of a message that the client holds, 0 when it does not.
func (c *clientMessages) find(id *message.ID) (i uint32) {
	prefix, seq, ok := id.Split()
	if !ok || prefix != c.prefix {
		return 0
	}
	return c.held.Find(seq)
}

// answer notes an answer that the leader has yet to hear of. Until is when a touched
// message times out, wall the time.
func (c *clientMessages) answer(a *channel.Answer, until, wall int64) error {
	i := c.find(&a.ID)
	if i == 0 || c.held.At(i).answered {
		return channel.ErrNotInFlight
	}
	m := c.held.At(i)
	if a.Op == channel.Touch {
		m.until = until
		return nil
	}
	m.answered, m.due = true, message.DueAt(wall, a.Delay)
	return nil
}

// touch notes a message that was touched.
func (c *clientMessages) touch(a *channel.Answer, until int64) {
	if i := c.find(&a.ID); i != 0 {
		c.held.At(i).until = until
	}
}

// answerDone notes what became of an answer.
func (c *clientMessages) answerDone(a *channel.Answer, err error, now, wall int64) {
	prefix, seq, ok := a.ID.Split()
	if !ok || prefix != c.prefix || a.Op == channel.Touch && err == nil {
		return
	}
	m, ok := c.held.Take(seq)
	switch {
	case !ok:
	case err != nil, a.Op == channel.Return:
	case a.Op == channel.Finish:
		c.finished(seq, now)
	default:
		if !m.answered {
			m.due = message.DueAt(wall, a.Delay)
		}
		c.gaveBack(channel.Claim{Seq: seq, Attempts: m.attempts, Due: m.due}, now)
	}
}

// finished notes a message that is done.
func (c *clientMessages) finished(seq uint64, now int64) {
	if now-c.since > int64(remembered) {
		c.doneBefore = c.done
		if now-c.since > 2*int64(remembered) {
			c.doneBefore = nil
		}
		c.done, c.since = nil, now
	}
	if c.done == nil {
		c.done = seqset.New(0)
	}
	c.done.Add(seq)
	c.last = now
}

// gaveBack notes a message that is requeued.
func (c *clientMessages) gaveBack(m channel.Claim, now int64) {
	old := 0
	for old < len(c.requeued) && (now-c.requeued[old].at > int64(remembered) || len(c.requeued)-old >= maxRemembered) {
		old++
	}
	c.requeued = append(c.requeued[old:], requeued{m, now})
}

// lost notes that a message is not the client's any more.
func (c *clientMessages) lost(seq uint64) { c.held.Take(seq) }

// giveUp notes that the client has gone.
func (c *clientMessages) giveUp() { c.held = seqtable.Table[heldMessage]{} }

// remembers says whether there is anything done that a new leader may not know.
func (c *clientMessages) remembers(now int64) bool {
	if n := len(c.requeued); n > 0 && now-c.requeued[n-1].at <= int64(remembered) {
		return true
	}
	return c.done != nil && now-c.last <= int64(remembered)
}

// inFlight is how many messages the client may still answer.
func (c *clientMessages) inFlight(now int64) (n int) {
	c.held.Each(func(_ uint32, _ uint64, m *heldMessage) {
		if m.until >= now && !m.answered {
			n++
		}
	})
	return n
}

// claims is what a new leader is told.
func (c *clientMessages) claims(now int64) (claims channel.Claims) {
	for _, set := range [...]*seqset.Set{c.done, c.doneBefore} {
		if set == nil || now-c.last > int64(remembered) {
			continue
		}
		for r := range set.Ranges() {
			if len(claims.Done) < maxRemembered {
				claims.Done = append(claims.Done, r)
			}
		}
	}
	for _, m := range c.requeued {
		if now-m.at <= int64(remembered) {
			claims.Requeued = append(claims.Requeued, m.Claim)
		}
	}
	c.held.Each(func(_ uint32, seq uint64, m *heldMessage) {
		if m.until >= now && !m.answered {
			claims.Held = append(claims.Held, channel.Claim{Seq: seq, Attempts: m.attempts})
		}
	})
	return claims
}
