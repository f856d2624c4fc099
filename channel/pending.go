package channel

import (
	"cmp"
	"slices"

	"qmq/internal/dueheap"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// maxPending bounds the runs and the exceptions that wait for the journal.
// With more of either, the whole state is written instead.
const maxPending = 64 << 10

// pending is what changed since the journal asked last.
type pending struct {
	on    bool // the channel is journalled
	dirty bool // something changed
	full  bool // more changed than is listed
	runs  []seqset.Range
	opens []openChange
}

// openChange says what holds for an open message from now on.
type openChange struct {
	seq      uint64
	due      int64 // steady ms, 0 = now; of a spent one: when its last delivery ended
	attempts uint16
	reason   message.Reason // of a spent one, else 0
}

// acked notes that the numbers of r are done.
func (p *pending) acked(r seqset.Range) {
	if !p.on || r.From >= r.To {
		return
	}
	p.dirty = true
	if n := len(p.runs); n > 0 && p.runs[n-1].To == r.From {
		p.runs[n-1].To = r.To
		return
	}
	if p.full || len(p.runs) == maxPending {
		p.overflow()
		return
	}
	p.runs = append(p.runs, r)
}

// open notes the attempts and the due time of a message where they may differ
// from the rule, see state.OpenMessage.
func (p *pending) open(seq uint64, attempts uint16, due int64) {
	if !p.on {
		return
	}
	p.dirty = true
	if p.full || len(p.opens) == maxPending {
		p.overflow()
		return
	}
	p.opens = append(p.opens, openChange{seq: seq, due: due, attempts: attempts})
}

func (p *pending) overflow() { *p = pending{on: p.on, dirty: true, full: true} }

// reset forgets what was listed, and its memory when that is much.
func (p *pending) reset() {
	p.dirty, p.full = false, false
	p.runs, p.opens = p.runs[:0], p.opens[:0]
	if cap(p.runs)+cap(p.opens) > 4096 {
		p.runs, p.opens = nil, nil
	}
}

// draft is state copied from the core, which can be finished without it.
type draft struct {
	state.ChannelChanges
	acked *seqset.Set // the source of Acked when all state was copied, else nil
}

// takeChanges returns what changed since the last call, shift being what added
// to a steady time (ms) makes it one to store.
func (c *core) takeChanges(full bool, shift int64) draft {
	p := &c.pending
	if full || p.full {
		d := c.snapshot(shift)
		p.reset()
		return d
	}
	ch := state.ChannelChanges{Floor: c.floor(), Cursor: c.cursor}
	for _, r := range p.runs {
		if r.From = max(r.From, ch.Floor); r.From < r.To {
			ch.Acked = append(ch.Acked, r)
		}
	}
	for _, o := range p.opens {
		switch {
		case c.acked.Contains(o.seq):
		case o.reason != 0:
			ch.Open = append(ch.Open, spentAt(o.seq, o.attempts, o.reason, o.due, shift))
		default:
			ch.Open = append(ch.Open, openAt(o.seq, o.attempts, o.due, shift))
		}
	}
	p.reset()
	return draft{ChannelChanges: ch}
}

// openAt is the journal's form of an open message, due being steady ms or 0.
func openAt(seq uint64, attempts uint16, due, shift int64) state.OpenMessage {
	if due != 0 {
		due += shift
	}
	return state.OpenMessage{Seq: seq, Attempts: attempts, Due: due}
}

// finish sorts the lists, unites the runs and keeps of several entries for a
// message the last one.
func (d draft) finish() state.ChannelChanges {
	ch := d.ChannelChanges
	if d.acked != nil {
		ch.Acked = slices.AppendSeq(ch.Acked, d.acked.Ranges())
	}
	ch.Acked = seqset.Union(ch.Acked)
	slices.SortStableFunc(ch.Open, func(a, b state.OpenMessage) int { return cmp.Compare(a.Seq, b.Seq) })
	opens := ch.Open[:0]
	for i, o := range ch.Open {
		if i+1 == len(ch.Open) || ch.Open[i+1].Seq != o.Seq {
			opens = append(opens, o)
		}
	}
	ch.Open = opens
	return ch
}

// snapshot returns all of the state as takeChanges does, and forgets nothing.
func (c *core) snapshot(shift int64) draft {
	ch := state.ChannelChanges{Full: true, Floor: c.floor(), Cursor: c.cursor}
	list := func(m redelivery, due int64) {
		if c.exception(m, due) {
			ch.Open = append(ch.Open, openAt(m.seq, m.attempts, due, shift))
		}
	}
	c.flight.each(func(_ uint32, seq uint64, e *entry) {
		list(redelivery{seq, e.attempts, e.delayed}, 0)
	})
	listReturned := func(m redelivery) {
		if m.delayed { // also one that never reached a client waits no more
			ch.Open = append(ch.Open, openAt(m.seq, m.attempts, 0, shift))
		} else {
			list(m, 0)
		}
	}
	for i := range c.returned.Len() {
		listReturned(*c.returned.At(i))
	}
	c.eachKnownOld(listReturned)
	for s := c.barred; s != nil; s = s.next {
		for _, m := range s.redeliveries {
			list(m, 0)
		}
	}
	for _, x := range c.conf.spent.waiting {
		ch.Open = append(ch.Open, spentAt(x.seq, x.attempts, x.reason, x.ended, shift))
	}
	listDue := func(i dueheap.Item) { list(deferred(i), i.Due) }
	c.due.Each(listDue)
	c.deferred.Each(listDue)
	return draft{ch, c.acked.Clone()}
}

// exception says whether an open message has to be listed: because the rule
// would give it other attempts, or another due time.
func (c *core) exception(m redelivery, due int64) bool {
	if m.delayed {
		return m.attempts > 0
	}
	return m.attempts != 1 || due != 0 || m.seq >= c.cursor
}
