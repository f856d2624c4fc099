package topic

import "qmq/internal/seqset"

// noteLost is called by a channel that could not read messages for good.
func (t *Topic) noteLost(from, to uint64) {
	lost, ok := t.fanout.lose(seqset.Range{From: from, To: to})
	if !ok {
		return
	}
	t.reclaimer.reclaim()
	if lost > 0 {
		t.o.Common.Logger.Error("messages cannot be read and are lost", "topic", t.o.Name, "first", from, "messages", lost)
		t.o.Common.Damaged(t, from, to, lost)
	}
}

// lose makes messages void that are lost, and says how many were not before. ok
// is false when nobody needs them: they were done while they were being read, or
// the topic's files are gone.
func (f *fanout) lose(r seqset.Range) (lost uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.To <= f.lowest() || f.dropped {
		return 0, false
	}
	before := f.voidsWithin(0, f.end)
	f.addVoids([]seqset.Range{r})
	return f.voidsWithin(0, f.end) - before, true
}

// addVoids makes ranges, ascending and disjoint, void in every channel. The caller holds
// f.mu.
func (f *fanout) addVoids(list []seqset.Range) {
	f.voids = seqset.Union(f.voids, list)
	for _, m := range f.members {
		m.channel.VoidAll(list)
	}
	if f.detached != nil {
		f.detached.VoidAll(list)
	}
}

// voidsWithin counts the void numbers of a range. The caller holds f.mu.
func (f *fanout) voidsWithin(from, to uint64) (n uint64) {
	for _, v := range f.voids {
		if lo, hi := max(v.From, from), min(v.To, to); lo < hi {
			n += hi - lo
		}
	}
	return n
}

// readFailed is called by a channel whose messages cannot be read, or can be
// again.
func (t *Topic) readFailed(channel string, err error) {
	if err != nil {
		if t.fanout.isDropped() { // its files are gone, and so are its consumers
			return
		}
		t.o.Common.Logger.Error("messages cannot be read now", "topic", t.o.Name, "channel", channel, "error", err)
	}
	t.o.Common.ReadFailed(t, channel, err)
}

func (f *fanout) isDropped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}
