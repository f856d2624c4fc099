package topic

import (
	"slices"

	"qmq/channel"
	"qmq/internal/seqset"
)

// needed is the lowest number that anybody may still need.
func (t *Topic) needed() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lowest()
}

// lowest is needed for a caller that holds t.mu.
func (t *Topic) lowest() uint64 {
	floor := t.fanOut
	for _, s := range t.channels {
		floor = min(floor, s.channel.Floor())
	}
	if t.aside != nil {
		floor = min(floor, t.aside.Floor())
	}
	return floor
}

// debtors are those who may owe messages of a topic: its channels, and the
// topic itself what it has not given to them. What nobody owes at one time
// nobody owes later, but a channel that comes and starts at the log's start.
type debtors struct {
	channels []*channel.Channel
	fanOut   uint64 // the topic owes all from here on
	fresh    uint64 // some channel owes all from here on, or nearly
}

func (t *Topic) debtors() debtors {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := debtors{fanOut: t.fanOut, fresh: t.fanOut}
	for _, s := range t.channels {
		d.channels = append(d.channels, s.channel)
	}
	if t.aside != nil {
		d.channels = append(d.channels, t.aside)
	}
	for _, c := range d.channels {
		d.fresh = min(d.fresh, c.Cursor())
	}
	return d
}

// oweAny says whether anything of r is owed.
func (d *debtors) oweAny(r seqset.Range) bool {
	if r.To > d.fanOut {
		return true
	}
	var room [1]seqset.Range
	return slices.ContainsFunc(d.channels, func(c *channel.Channel) bool {
		for at := r.From; at < r.To; {
			var owed []seqset.Range
			if owed, at = c.Owed(room[:0], at, r.To, 1); len(owed) > 0 {
				return true
			}
		}
		return false
	})
}

// owedAtOnce bounds what a channel is asked for at a time.
const owedAtOnce = 1024

// owed lists what of r is owed.
func (d *debtors) owed(r seqset.Range) (list []seqset.Range) {
	if r.To > d.fanOut {
		list = append(list, seqset.Range{From: max(r.From, d.fanOut), To: r.To})
	}
	for _, c := range d.channels {
		for at := r.From; at < r.To; {
			list, at = c.Owed(list, at, r.To, owedAtOnce)
		}
	}
	return seqset.Union(list)
}
