package topic

import (
	"slices"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/state"
)

// Messages that a topic has no room for, or that are too old, become void in all
// channels, but that one in flight stays there until its delivery ends. The journal is
// told a little later: no channel gets them again after a restart, nor after a rewind.

const (
	dropped = channel.Dropped
	expired = channel.Expired
)

// inFlight lists what is in flight in any channel.
func (f *fanout) inFlight() (list []seqset.Range) {
	f.mu.Lock()
	members, all := f.members, seqset.Range{From: f.lowest(), To: f.fanOut}
	f.mu.Unlock()
	for _, m := range members {
		list = m.channel.AppendInFlight(list, all)
	}
	return seqset.Union(list)
}

// unfinishedOf is what of a list is not finished.
func (f *fanout) unfinishedOf(list []seqset.Range) (open []seqset.Range) {
	d := f.debtors()
	for _, r := range list {
		open = append(open, partsIn(d.owed(r), r)...)
	}
	return open
}

// discard makes messages that were not finished void; the list is ascending and
// disjoint.
func (f *fanout) discard(list []seqset.Range, why channel.Why) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped {
		return
	}
	for _, r := range list {
		f.discarded[why] += r.Len()
	}
	f.voids = seqset.Union(f.neededVoids(), list)
	for _, m := range f.members {
		m.channel.Discard(list, why)
	}
	if f.detached != nil {
		f.detached.Discard(list, why)
	}
	f.untold = seqset.Union(f.untold, list)
	f.passVoids()
	f.reclaimer.noteThreshold()
}

// neededVoids are the voids without those before all that the log has: nobody asks for
// them any more. The caller holds f.mu.
func (f *fanout) neededVoids() []seqset.Range {
	start := min(f.o.Log.Start(), f.fanOut)
	i := slices.IndexFunc(f.voids, func(v seqset.Range) bool { return v.To > start })
	if i < 0 {
		return nil
	}
	return f.voids[i:]
}

// passVoids moves the fan-out position past what is void, where it stands because
// nobody takes the messages: their segments need not be kept. The caller holds f.mu.
func (f *fanout) passVoids() {
	if !f.noConsumers() || f.learning || f.catchingUp || f.asking {
		return
	}
	for _, v := range f.voids {
		if v.From <= f.fanOut && f.fanOut < v.To {
			f.advance(min(v.To, f.end), nil)
		}
	}
}

// untoldVoids takes what the journal has to be told of what was dropped or has expired.
func (f *fanout) untoldVoids() (list []seqset.Range, position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped {
		return nil, 0
	}
	list, f.untold = f.untold, nil
	return list, f.fanOut
}

func (f *fanout) tellAgain(list []seqset.Range) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.untold = seqset.Union(f.untold, list)
}

// tellVoids has it kept that messages are void that were dropped or had expired.
func (t *Topic) tellVoids() {
	list, position := t.fanout.untoldVoids()
	if len(list) == 0 || t.o.Ephemeral {
		return
	}
	spared := seqset.Difference(list, seqset.Difference(list, t.fanout.inFlight()))
	t.fanout.tellAgain(spared) // some may be finished yet
	if list = seqset.Difference(list, spared); len(list) == 0 {
		return
	}
	entries := make([]state.Entry, 0, len(list))
	for _, r := range list {
		entries = append(entries, state.Entry{Op: state.VoidRange, Topic: t.o.Incarnation, Void: r})
	}
	entries[0].FanOut = position
	if err := t.o.State.Commit(entries...); err != nil {
		t.fanout.tellAgain(list)
		t.o.Common.Logger.Warn("a restart would bring messages back that were dropped or had expired", "topic", t.o.Name, "error", err)
		return
	}
	t.fanout.journalled(position)
}
