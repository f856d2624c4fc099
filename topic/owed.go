package topic

import (
	"slices"

	"qmq/channel"
	"qmq/internal/seqset"
)

// needed is the lowest number that anybody may still need.
func (f *fanout) needed() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lowest()
}

// unfinished is how many records there are from the lowest on that anybody may
// still need.
func (f *fanout) unfinished() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(f.end - f.lowest())
}

// lowest is needed for a caller that holds f.mu.
func (f *fanout) lowest() uint64 {
	floor := f.fanOut
	for _, m := range f.members {
		floor = min(floor, m.channel.Floor())
	}
	if f.detached != nil {
		floor = min(floor, f.detached.Floor())
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
	voids    []seqset.Range
}

func (f *fanout) debtors() debtors {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := debtors{fanOut: f.fanOut, fresh: f.fanOut, voids: f.voids}
	for _, m := range f.members {
		d.channels = append(d.channels, m.channel)
	}
	if f.detached != nil {
		d.channels = append(d.channels, f.detached)
	}
	for _, c := range d.channels {
		d.fresh = min(d.fresh, c.Cursor())
	}
	return d
}

// oweAny says whether anything of r is owed.
func (d *debtors) oweAny(r seqset.Range) bool {
	if len(d.waiting(r)) > 0 {
		return true
	}
	var first [1]seqset.Range
	return slices.ContainsFunc(d.channels, func(c *channel.Channel) bool {
		for at := r.From; at < r.To; {
			var owed []seqset.Range
			if owed, at = c.Owed(first[:0], at, r.To, 1); len(owed) > 0 {
				return true
			}
		}
		return false
	})
}

// waiting is what of r the topic owes.
func (d *debtors) waiting(r seqset.Range) []seqset.Range {
	if r.From = max(r.From, d.fanOut); r.From >= r.To {
		return nil
	}
	return seqset.Difference([]seqset.Range{r}, seqset.Between(d.voids, r))
}

// owedAtOnce bounds what a channel is asked for at a time.
const owedAtOnce = 1024

// owed lists what of r is owed.
func (d *debtors) owed(r seqset.Range) (list []seqset.Range) {
	list = d.waiting(r)
	for _, c := range d.channels {
		for at := r.From; at < r.To; {
			list, at = c.Owed(list, at, r.To, owedAtOnce)
		}
	}
	return seqset.Union(list)
}
