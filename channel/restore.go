package channel

import (
	"slices"

	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// restoreCore builds a core from what the journal remembers. delayed are the
// delayed messages of the log, ascending; shift is what added to a stored time
// (ms) makes it steady. State at or above fanOut is dropped: those messages
// were lost, and their numbers are not used again.
func restoreCore(l limits, now int64, st *state.Channel, fanOut uint64, voids []seqset.Range, delayed []message.Mark, shift int64) *core {
	c := newCore(l, 0)
	c.fanOut = fanOut
	c.cursor = min(st.Cursor, fanOut)
	c.acked = cutSet(st.Acked, fanOut)
	c.endAt(st.Until)
	for _, v := range voids {
		c.acked.AddRange(v.From, v.To)
	}
	c.cursor = min(max(c.cursor, c.acked.Floor()), fanOut)
	opens := openList(st, fanOut)
	c.restoreOpen(now, opens, delayed, shift)
	c.skip.Add(seqset.Range{From: c.cursor, To: c.acked.Floor()}) // a void beyond fanOut
	for r := range c.acked.Ranges() {
		c.skip.Add(seqset.Range{From: max(r.From, c.cursor), To: r.To})
	}
	c.waiting = fanOut - c.cursor - c.skip.Overlap(c.cursor, fanOut)
	c.skipOver()
	return c
}

// cutSet is s without what is at or above end.
func cutSet(s *seqset.Set, end uint64) *seqset.Set {
	if s == nil {
		return seqset.New(0)
	}
	if s.Max() <= end {
		return s.Clone()
	}
	cut := seqset.New(min(s.Floor(), end))
	for r := range s.Ranges() {
		cut.AddRange(r.From, min(r.To, end))
	}
	return cut
}

// openList is the journal's list of open messages below fanOut, ascending.
func openList(st *state.Channel, fanOut uint64) []state.OpenMessage {
	opens := make([]state.OpenMessage, 0, st.Open.Len())
	for o := range st.Open.All() {
		if o.Seq >= fanOut {
			break
		}
		opens = append(opens, o)
	}
	return opens
}

// restoreOpen puts every message that was given to the channel and is not done
// where it belongs, in log order: those below the cursor, those that are listed
// as open and the delayed ones.
func (c *core) restoreOpen(now int64, opens []state.OpenMessage, delayed []message.Mark, shift int64) {
	put := func(seq uint64) {
		m := redelivery{seq: seq, attempts: 1}
		due := int64(0)
		for len(delayed) > 0 && delayed[0].Seq < seq {
			delayed = delayed[1:]
		}
		if len(delayed) > 0 && delayed[0].Seq == seq {
			m = redelivery{seq: seq, delayed: true}
			due = delayed[0].DeliverAt + shift
		}
		for len(opens) > 0 && opens[0].Seq < seq {
			opens = opens[1:]
		}
		if len(opens) > 0 && opens[0].Seq == seq {
			m.attempts = opens[0].Attempts
			if due = opens[0].Due; due != 0 {
				due += shift
			}
		}
		if seq >= c.cursor {
			c.skip.Add(seqset.Range{From: seq, To: seq + 1})
		}
		if len(opens) > 0 && opens[0].Seq == seq && c.restoreSpent(&opens[0], m, shift) {
			return
		}
		if due == 0 {
			c.returned.PushBack(m)
			return
		}
		c.postpone(now, m, due)
	}
	for seq := range c.acked.Open(0, c.cursor) {
		put(seq)
	}
	for _, seq := range c.listedFrom(c.cursor, opens, delayed) {
		put(seq)
	}
}

// listedFrom is the numbers from start on in either list that are not done,
// ascending.
func (c *core) listedFrom(start uint64, opens []state.OpenMessage, delayed []message.Mark) []uint64 {
	var seqs []uint64
	for _, o := range opens {
		seqs = append(seqs, o.Seq)
	}
	for _, d := range delayed {
		seqs = append(seqs, d.Seq)
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	return slices.DeleteFunc(seqs, func(seq uint64) bool {
		return seq < start || seq >= c.fanOut || c.acked.Contains(seq)
	})
}
