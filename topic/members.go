package topic

import (
	"slices"
	"sync/atomic"

	"qmq/channel"
	"qmq/internal/seqset"
)

// member is a channel of a topic. It counts once its creation is journalled.
type member struct {
	channel *channel.Channel
	ready   bool
	set     channelSettings // written with Topic.changing held
	// never is what the channel was emptied of; guarded by Topic.changing.
	never []seqset.Range
	// leaves says of a bounded channel that it goes when it has had everything.
	leaves atomic.Bool
}

// add makes a member of a new channel that starts at the fan-out position of this
// moment, which is returned. It is not ready: nobody finds it yet, but it gets
// what is fanned out from now on.
func (f *fanout) add(o channel.Options) (m *member, start uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuseChannel(); err != nil {
		return nil, 0, err
	}
	m = &member{channel: channel.New(o, f.fanOut)}
	f.o.configureNew(m.channel)
	for _, v := range f.voids { // it may have what waits in the topic before it
		m.channel.Void(v.From, v.To)
	}
	f.members = append(f.members, m)
	return m, f.fanOut, nil
}

// makeReady lets everybody find a channel, and gives it what waited for one. The
// caller holds Topic.changing.
func (f *fanout) makeReady(m *member) {
	f.update(func() {
		m.ready = true
		f.ready++
	})
}

// detach makes a channel that starts with the oldest message that is sure to stay: it is
// out of the fan-out until admit or forgetDetached, but what it has is kept.
// givingUp is what the log is about to lose.
func (f *fanout) detach(o channel.Options, givingUp []seqset.Range) (c *channel.Channel, start uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuseChannel(); err != nil {
		return nil, 0, err
	}
	start = f.fanOut
	if !f.o.Replicated { // whose segments others give up, who know nothing of the newcomer
		start = min(f.o.Log.Start(), f.fanOut)
	}
	c = channel.New(o, start)
	f.o.configureNew(c)
	gone := append(f.o.Log.Gaps(start, f.fanOut), givingUp...)
	for _, v := range seqset.Union(f.voids, gone) {
		c.Void(v.From, v.To)
	}
	f.detached = c
	return c, start, nil
}

func (f *fanout) forgetDetached() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.detached = nil
}

// admit lets a channel take part in the fan-out that was detached and has what
// lies below from, and gives it what was fanned out since. It returns the end of
// the log at that time. The caller holds Topic.changing.
func (f *fanout) admit(c *channel.Channel, from uint64) (end uint64) {
	f.mu.Lock()
	f.detached = nil
	f.members = append(slices.Clone(f.members), &member{channel: c, ready: true})
	f.ready++
	f.catchingUp = true
	end = f.end
	f.mu.Unlock()
	f.endCatchUp(f.delayed(from, end), c)
	return end
}

// refuseChannel says why there may be no other channel. The caller holds f.mu.
func (f *fanout) refuseChannel() error {
	if f.closed {
		return channel.ErrExiting
	}
	if limit := f.maxChannels; limit > 0 && len(f.members) >= limit {
		return &LimitError{What: "channels of topic " + f.o.Name, Max: limit, Option: f.limitedBy}
	}
	return nil
}

// remove takes a channel out of the fan-out, and undoes a hold because of its end.
func (f *fanout) remove(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking = false
	i := slices.Index(f.members, m)
	f.members = slices.Delete(slices.Clone(f.members), i, i+1)
	if m.ready {
		f.ready--
	}
}

// find finds the channel of that name whose creation is journalled; nil when
// there is none.
func (f *fanout) find(name string) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.channel.Name() == name && m.ready {
			return m
		}
	}
	return nil
}

// list lists the channels whose creation is journalled.
func (f *fanout) list() []*channel.Channel {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*channel.Channel, 0, len(f.members))
	for _, m := range f.members {
		if m.ready {
			list = append(list, m.channel)
		}
	}
	return list
}

// close has there be no new channels.
func (f *fanout) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// closeIfEmpty is close if there is no channel, and says whether.
func (f *fanout) closeIfEmpty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = f.closed || len(f.members) == 0
	return len(f.members) == 0
}

// closeChannels ends the channels. There are no new ones.
func (f *fanout) closeChannels() {
	f.mu.Lock()
	members := f.members // not changed in place
	f.mu.Unlock()
	for _, m := range members {
		m.channel.Close()
	}
}
