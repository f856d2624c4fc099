package journal

import (
	"maps"
	"slices"

	"qmq/internal/seqset"
)

// The rules by which entries and changes become a State. They serve the replay
// and the writer's own topology alike; in the latter no channel has an Acked
// set, because its Source has it.

func newState() *State {
	return &State{
		Topics: make(map[uint64]*TopicState), Acknowledged: make(map[string]bool),
		Deleted: make(map[uint64]bool), DeletedChannels: make(map[uint64]bool),
	}
}

// seen raises MaxIncarnation.
func (st *State) seen(incarnations ...uint64) {
	for _, n := range incarnations {
		st.MaxIncarnation = max(st.MaxIncarnation, n)
	}
}

// apply makes an entry's change. Applying it twice is applying it once; one
// about an unknown topic or channel does nothing, since that was deleted.
func (st *State) apply(e Entry) {
	st.seen(e.Topic, e.Channel)
	switch e.Op {
	case CreateTopic:
		st.createTopic(e)
		return
	case DeleteTopic:
		delete(st.Topics, e.Topic)
		st.Deleted[e.Topic] = true
		return
	case DeleteChannel:
		st.DeletedChannels[e.Channel] = true
	case AckDamage:
		st.Acknowledged[e.Name] = true
		return
	case ForgetDamage:
		delete(st.Acknowledged, e.Name)
		return
	}
	t := st.Topics[e.Topic]
	if t == nil {
		return
	}
	t.FanOut = max(t.FanOut, e.FanOut)
	t.apply(e)
}

func (t *TopicState) apply(e Entry) {
	switch e.Op {
	case PauseTopic:
		t.Paused = true
	case UnpauseTopic:
		t.Paused = false
	case EmptyTopic:
		t.Voids = addVoid(t.Voids, e.Void)
	case StandTopic: // its FanOut says it all
	case GiveUp:
		t.GivenUp = addVoid(t.GivenUp, e.Void)
	case LearnTopic:
		t.Unlearnt = false
	case CreateChannel:
		t.createChannel(e)
	case DeleteChannel:
		delete(t.Channels, e.Channel)
	default:
		if c := t.Channels[e.Channel]; c != nil {
			c.apply(e)
		}
	}
}

// ends notes how far topics' logs are known to reach.
func (st *State) ends(ends []topicEnd) {
	for _, e := range ends {
		if t := st.Topics[e.Topic]; t != nil {
			t.SyncedEnd = max(t.SyncedEnd, e.Synced)
			t.WrittenEnd = max(t.WrittenEnd, e.Written, t.SyncedEnd)
		}
	}
}

// rebooted forgets what was only written: the machine may have ended before it
// reached the disk.
func (st *State) rebooted() {
	for _, t := range st.Topics {
		t.WrittenEnd = t.SyncedEnd
	}
}

// channel is nil when there is none of these incarnations.
func (st *State) channel(topic, channel uint64) *ChannelState {
	if t := st.Topics[topic]; t != nil {
		return t.Channels[channel]
	}
	return nil
}

func (st *State) createTopic(e Entry) {
	if st.Topics[e.Topic] != nil {
		return
	}
	st.Topics[e.Topic] = &TopicState{
		Incarnation: e.Topic,
		Name:        e.Name,
		FanOut:      e.FanOut,
		Channels:    make(map[uint64]*ChannelState),
		Unlearnt:    e.Unlearnt,
		Start:       e.FanOut,
	}
}

func (t *TopicState) createChannel(e Entry) {
	if t.Channels[e.Channel] != nil {
		return
	}
	t.Channels[e.Channel] = &ChannelState{
		Incarnation: e.Channel,
		Name:        e.Name,
		Start:       e.Start,
		done:        e.Start,
	}
}

func (c *ChannelState) apply(e Entry) {
	switch e.Op {
	case PauseChannel:
		c.Paused = true
	case UnpauseChannel:
		c.Paused = false
	case EmptyChannel:
		c.raise(e.FanOut)
	}
}

// changes makes the changes of a channel's state, unless they are older than
// what is known or the channel is deleted.
func (st *State) changes(ch ChannelChanges) {
	st.seen(ch.Topic, ch.Channel)
	c := st.channel(ch.Topic, ch.Channel)
	if c == nil || ch.Version <= c.Version {
		return
	}
	c.Version = ch.Version
	c.Cursor = ch.Cursor
	c.materialise()
	if ch.Full {
		c.Acked = seqset.New(max(ch.Floor, c.done))
		clear(c.Open)
	}
	c.raise(ch.Floor)
	for _, r := range ch.Acked {
		c.Acked.AddRange(r.From, r.To)
		c.closeOpen(r)
	}
	for _, o := range ch.Open {
		if !c.Acked.Contains(o.Seq) {
			c.Open[o.Seq] = o
		}
	}
	c.Cursor = max(c.Cursor, c.Acked.Floor())
}

// materialise gives a channel that no changes were read for yet what a new
// channel has.
func (c *ChannelState) materialise() {
	if c.Acked != nil {
		return
	}
	c.Acked = seqset.New(c.done)
	c.Cursor = max(c.Cursor, c.done)
	c.Open = make(map[uint64]OpenMessage)
}

// raise takes every number below floor as done.
func (c *ChannelState) raise(floor uint64) {
	c.done = max(c.done, floor)
	if c.Acked == nil || floor <= c.Acked.Floor() {
		return
	}
	old := c.Acked.Floor()
	c.Acked.AddRange(old, floor)
	c.closeOpen(seqset.Range{From: old, To: floor})
	c.Cursor = max(c.Cursor, floor)
}

// closeOpen forgets the open messages in r, by the shorter way of the two.
func (c *ChannelState) closeOpen(r seqset.Range) {
	if r.Len() <= uint64(len(c.Open)) {
		for seq := r.From; seq < r.To; seq++ {
			delete(c.Open, seq)
		}
		return
	}
	for seq := range c.Open {
		if seq >= r.From && seq < r.To {
			delete(c.Open, seq)
		}
	}
}

// addVoid puts r among the sorted, disjoint ranges and merges what touches.
func addVoid(voids []seqset.Range, r seqset.Range) []seqset.Range {
	if r.From >= r.To {
		return voids
	}
	first, _ := slices.BinarySearchFunc(voids, r.From, func(v seqset.Range, from uint64) int {
		if v.To < from {
			return -1
		}
		return 1
	})
	last := first
	for last < len(voids) && voids[last].From <= r.To {
		r.From = min(r.From, voids[last].From)
		r.To = max(r.To, voids[last].To)
		last++
	}
	return slices.Replace(voids, first, last, r)
}

// pruneVoids drops the voids that every channel has behind it. A channel that
// comes later starts at the fan-out position, which no floor is above. Without
// a channel nobody can tell how far the first one will look back.
func (t *TopicState) pruneVoids() {
	if len(t.Voids) == 0 || len(t.Channels) == 0 {
		return
	}
	floor := ^uint64(0)
	for _, c := range t.Channels {
		floor = min(floor, c.done)
	}
	t.Voids = slices.DeleteFunc(t.Voids, func(v seqset.Range) bool { return v.To <= floor })
}

// unite keeps the newest of several topics or channels of one name. They can
// only be there when the deletion of the older ones was lost to damage. It
// reports how many it dropped.
func (st *State) unite() (dropped int) {
	topics := make(map[string]uint64, len(st.Topics))
	for id, t := range st.Topics {
		dropped += dropOlder(topics, t.Name, id, func(old uint64) { delete(st.Topics, old) })
		channels := make(map[string]uint64, len(t.Channels))
		for id, c := range t.Channels {
			dropped += dropOlder(channels, c.Name, id, func(old uint64) { delete(t.Channels, old) })
		}
	}
	return dropped
}

// dropOlder notes id under name in newest, or drops the lower of the two.
func dropOlder(newest map[string]uint64, name string, id uint64, drop func(uint64)) int {
	other, taken := newest[name]
	newest[name] = max(id, other)
	if !taken {
		return 0
	}
	drop(min(id, other))
	return 1
}

// topology copies what the writer needs to write checkpoints: names, positions
// and, for each channel, its state as a record.
func (st *State) topology(e *encoder) *State {
	m := newState()
	m.MaxIncarnation = st.MaxIncarnation
	maps.Copy(m.Acknowledged, st.Acknowledged)
	for id, t := range st.Topics {
		mt := *t
		mt.Voids, mt.GivenUp = slices.Clone(t.Voids), slices.Clone(t.GivenUp)
		mt.Channels = make(map[uint64]*ChannelState, len(t.Channels))
		for cid, c := range t.Channels {
			mt.Channels[cid] = &ChannelState{
				Incarnation: c.Incarnation,
				Name:        c.Name,
				Paused:      c.Paused,
				Start:       c.Start,
				done:        c.done,
				kept:        slices.Clone(e.changes(c.snapshot(id))),
			}
		}
		m.Topics[id] = &mt
	}
	return m
}

// snapshot is all of the channel's state.
func (c *ChannelState) snapshot(topic uint64) ChannelChanges {
	ch := ChannelChanges{
		Topic: topic, Channel: c.Incarnation, Version: c.Version, Full: true,
		Floor: c.Acked.Floor(), Cursor: c.Cursor,
		Acked: slices.Collect(c.Acked.Ranges()),
	}
	for _, o := range c.Open {
		ch.Open = append(ch.Open, o)
	}
	slices.SortFunc(ch.Open, func(a, b OpenMessage) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return ch
}
