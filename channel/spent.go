package channel

import (
	"slices"

	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// Spent messages have been delivered as often as the channel's settings allow: they wait
// for nothing but to be published to the dead-letter topic, and are finished then. Until
// that has come about they stay, over a restart too.
type spent struct {
	waiting []spentMessage // those that come first are published first
	// sending says that somebody publishes the first ones of waiting; due that somebody
	// should begin.
	sending, due bool
	retryAt      int64 // steady ns, when due is set again; 0: not, nothing has failed
	backoff      int64 // until then, ns; each time twice as long
}

// spentMessage is a message that is spent.
type spentMessage struct {
	redelivery
	reason message.Reason
	ended  int64 // when its last delivery ended, steady ms
}

const (
	maxLetters       = 64   // that are published together
	minLetterBackoff = 1e9  // ns, after the first failure
	maxLetterBackoff = 60e9 // ns
)

// isSpent says whether a message was delivered as often as it may be.
func (c *core) isSpent(m redelivery) bool {
	return c.conf.maxAttempts > 0 && m.attempts >= c.conf.maxAttempts
}

// spend keeps a message, which waits nowhere, for the dead-letter topic.
func (c *core) spend(m redelivery, reason message.Reason, now int64) {
	x := spentMessage{m, reason, now / 1e6}
	c.underWay(m.seq)
	c.addSpent(x)
	c.pending.spent(x)
}

func (c *core) addSpent(x spentMessage) {
	s := &c.ownConf().spent
	s.waiting = append(s.waiting, x)
	s.due = s.due || s.retryAt == 0
}

// beginSending says, once, that somebody has to publish what is spent.
func (c *core) beginSending() bool {
	s := &c.conf.spent
	if !s.due || s.sending || c.closed || c.conf.deadLetterTopic == "" || c.conf.stops {
		return false
	}
	s.sending, s.due = true, false
	return true
}

// nextSpent is the messages that are to be published next, maxLetters at most. With
// none, the sending has ended.
func (c *core) nextSpent() []spentMessage {
	s := &c.conf.spent
	s.due = false
	if c.closed || c.conf.deadLetterTopic == "" || c.conf.stops || s.retryAt != 0 || len(s.waiting) == 0 {
		s.sending = false
		return nil
	}
	return slices.Clone(s.waiting[:min(maxLetters, len(s.waiting))])
}

// sent finishes messages that were published, unless they were done meanwhile.
func (c *core) sent(list []spentMessage) {
	s := &c.conf.spent
	for _, x := range s.take(list) {
		c.done(x.seq)
		c.conf.deadLettered++
	}
	s.backoff, s.retryAt = 0, 0
}

// notSent has what is spent tried again later.
func (c *core) notSent(now int64) {
	s := &c.conf.spent
	s.backoff = min(max(2*s.backoff, minLetterBackoff), maxLetterBackoff)
	s.retryAt = now + s.backoff
}

// putLast has messages that cannot be read now let the others pass.
func (s *spent) putLast(list []spentMessage) { s.waiting = append(s.waiting, s.take(list)...) }

// take takes out those of a list from nextSpent that still wait.
func (s *spent) take(list []spentMessage) (taken []spentMessage) {
	n := min(maxLetters, len(s.waiting)) // they have only moved forward since
	kept := make([]spentMessage, 0, n)
	for _, x := range s.waiting[:n] {
		if slices.ContainsFunc(list, func(y spentMessage) bool { return x.seq == y.seq }) {
			taken = append(taken, x)
		} else {
			kept = append(kept, x)
		}
	}
	s.waiting = s.waiting[n-len(kept):]
	copy(s.waiting, kept)
	if len(s.waiting) == 0 {
		s.waiting = nil
	}
	return taken
}

// resumeSpent has what could not be sent tried again when its time has come.
func (c *core) resumeSpent(now int64) {
	if s := &c.conf.spent; s.retryAt != 0 && now >= s.retryAt {
		s.retryAt, s.due = 0, true
	}
}

// removeSpent takes out those that are done.
func (c *core) removeSpent(done func(seq uint64) bool) {
	if s := &c.conf.spent; len(s.waiting) > 0 {
		s.waiting = slices.DeleteFunc(s.waiting, func(x spentMessage) bool { return done(x.seq) })
	}
}

// configureSpent says when messages are spent, and what becomes of those that are.
func (c *core) configureSpent(s settings.EffectiveChannel) {
	f := c.conf
	f.maxAttempts, f.deadLetterTopic = s.MaxAttempts, s.DeadLetterTopic
	if f.maxAttempts == 0 || f.deadLetterTopic == "" && !f.stops {
		f.maxAttempts, f.deadLetterTopic = 0, ""
	}
	waiting := f.spent.waiting
	f.spent.due, f.spent.retryAt, f.spent.backoff = len(waiting) > 0, 0, 0
	if f.maxAttempts > 0 {
		return
	}
	f.spent.waiting, f.letterError = nil, nil
	for _, x := range waiting {
		c.comeBack(x.redelivery)
		c.pending.open(x.seq, x.attempts, 0)
	}
}

// resumeStopped has a message be delivered once more after which its successors stopped.
func (c *core) resumeStopped(seq uint64) (was bool) {
	s := &c.conf.spent
	i := slices.IndexFunc(s.waiting, func(x spentMessage) bool { return x.seq == seq })
	if !c.conf.stops || i < 0 {
		return false
	}
	m := s.waiting[i].redelivery
	s.waiting = slices.Delete(s.waiting, i, i+1)
	c.comeBack(m)
	c.pending.open(m.seq, m.attempts, 0)
	return true
}

// spent notes that a message is spent.
func (p *pending) spent(x spentMessage) {
	p.open(x.seq, x.attempts, x.ended)
	if n := len(p.opens); n > 0 && p.on && !p.full {
		p.opens[n-1].reason = x.reason
	}
}

// spentAt is the journal's form of a message that is spent, ended being steady ms.
func spentAt(seq uint64, attempts uint16, reason message.Reason, ended, shift int64) state.OpenMessage {
	return state.OpenMessage{Seq: seq, Attempts: attempts, Due: state.SpentDue(max(1, ended+shift), reason == message.Requeued)}
}

// restoreSpent takes up what the journal says of a message that is spent; shift is what
// added to a stored time (ms) makes it steady.
func (c *core) restoreSpent(o *state.OpenMessage, m redelivery, shift int64) (ok bool) {
	ended, requeued, ok := o.Spent()
	if !ok {
		return false
	}
	x := spentMessage{m, message.TimedOut, ended + shift}
	if requeued {
		x.reason = message.Requeued
	}
	c.addSpent(x)
	return true
}
