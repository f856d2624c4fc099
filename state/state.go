// Package state is what a node knows of its topics and channels as a
// deterministic state machine: entries and changes go in, in order, and a State
// comes out, the same wherever they are applied; and the codec of the records
// that they travel and are kept in. It does no I/O, reads no clock and has no
// goroutine; nothing in it may be used concurrently.
package state

import (
	"maps"
	"slices"

	"qmq/internal/seqset"
)

// State is what is known of all topics and channels.
type State struct {
	Topics map[uint64]*Topic // by incarnation
	// Deleted and DeletedChannels are the incarnations whose deletion is
	// younger than the checkpoint that was read: their files may still be
	// there. They are listed also when nothing tells of their creation.
	Deleted         map[uint64]bool
	DeletedChannels map[uint64]bool
	// Acknowledged are the names of the AckDamage entries.
	Acknowledged map[string]bool
	// MaxIncarnation is the highest one ever seen, deleted ones included.
	MaxIncarnation uint64
	// Checkpoint is the number of the checkpoint that was read, 0: there was
	// none. CheckpointIncarnation is the highest incarnation that it knew, deleted
	// ones included: what is not above it and not in Topics was deleted.
	Checkpoint, CheckpointIncarnation uint64
	// LostBytes is how much of the files could not be read because it was
	// damaged. The tail that a crash tears is not counted.
	LostBytes int64
	// Incomplete says that a part of what the journal was told is unreadable or
	// missing, in a place that nothing else makes good, so that topics,
	// channels or deletions may be unknown. The tail that a crash tears, and a
	// damaged checkpoint whose predecessor and logs are whole, do not count.
	Incomplete bool
	// Empty says that there was neither a log nor a checkpoint.
	Empty bool
	// SameBoot says that the newest log was written since the machine was
	// started, so that all that was written, and not only what was synced, must
	// still be there.
	SameBoot bool
	// LastLog is the number of the newest log that could be read, 0: there was
	// none. All logs from BootLog on were written since the machine was started,
	// where SameBoot holds.
	LastLog, BootLog uint64
}

// Topic is a topic as the journal knows it.
type Topic struct {
	Incarnation uint64
	Name        string
	Paused      bool
	// FanOut is where the fan-out position stood when it last stood still: it
	// counts while the topic is paused or has no channel.
	FanOut   uint64
	Voids    []seqset.Range // sorted, disjoint
	Channels map[uint64]*Channel
	// Unlearnt says that channels that the topic has elsewhere are still to be
	// learnt.
	Unlearnt bool
	// Start is the first number that the topic's log could hold; 0: unknown, the
	// topic was made by a version that did not tell.
	Start uint64
	// GivenUp are the numbers that no segment has to hold any more, sorted and
	// disjoint.
	GivenUp []seqset.Range
	// SyncedEnd is one past the highest number that is known to have survived
	// the end of the machine, WrittenEnd one past the highest that was written
	// to segments in this boot of the machine, and at least SyncedEnd. They may
	// lag by what was written in the last moments; 0: nothing is known.
	SyncedEnd, WrittenEnd uint64
}

// Channel is a channel as the journal knows it.
type Channel struct {
	Incarnation uint64
	Name        string
	Paused      bool
	Start       uint64
	Version     uint64
	Cursor      uint64
	Acked       *seqset.Set // its floor is the channel's
	Open        map[uint64]OpenMessage

	// Done says that every number below it is done, whatever changes of the
	// channel say that were taken before it was emptied.
	Done uint64
	// Kept is the channel's whole state as a record, while no Source speaks
	// for it. Only the writer's own topology has it.
	Kept []byte
}

// New is a State of nothing.
func New() *State {
	return &State{
		Topics: make(map[uint64]*Topic), Acknowledged: make(map[string]bool),
		Deleted: make(map[uint64]bool), DeletedChannels: make(map[uint64]bool),
	}
}

// seen raises MaxIncarnation.
func (st *State) seen(incarnations ...uint64) {
	for _, n := range incarnations {
		st.MaxIncarnation = max(st.MaxIncarnation, n)
	}
}

// Apply makes an entry's change. Applying it twice is applying it once; one
// about an unknown topic or channel does nothing, since that was deleted.
func (st *State) Apply(e Entry) {
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

func (t *Topic) apply(e Entry) {
	switch e.Op {
	case PauseTopic:
		t.Paused = true
	case UnpauseTopic:
		t.Paused = false
	case EmptyTopic:
		t.Voids = seqset.Insert(t.Voids, e.Void)
	case SetFanOut: // its FanOut says it all
	case GiveUp:
		t.GivenUp = seqset.Insert(t.GivenUp, e.Void)
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

// NoteEnds notes how far topics' logs are known to reach.
func (st *State) NoteEnds(ends []TopicEnd) {
	for _, e := range ends {
		if t := st.Topics[e.Topic]; t != nil {
			t.SyncedEnd = max(t.SyncedEnd, e.Synced)
			t.WrittenEnd = max(t.WrittenEnd, e.Written, t.SyncedEnd)
		}
	}
}

// Reboot forgets what was only written: the machine may have ended before it
// reached the disk.
func (st *State) Reboot() {
	for _, t := range st.Topics {
		t.WrittenEnd = t.SyncedEnd
	}
}

// Channel is nil when there is none of these incarnations.
func (st *State) Channel(topic, channel uint64) *Channel {
	if t := st.Topics[topic]; t != nil {
		return t.Channels[channel]
	}
	return nil
}

func (st *State) createTopic(e Entry) {
	if st.Topics[e.Topic] != nil {
		return
	}
	st.Topics[e.Topic] = &Topic{
		Incarnation: e.Topic,
		Name:        e.Name,
		FanOut:      e.FanOut,
		Channels:    make(map[uint64]*Channel),
		Unlearnt:    e.Unlearnt,
		Start:       e.FanOut,
	}
}

func (t *Topic) createChannel(e Entry) {
	if t.Channels[e.Channel] != nil {
		return
	}
	t.Channels[e.Channel] = &Channel{
		Incarnation: e.Channel,
		Name:        e.Name,
		Start:       e.Start,
		Done:        e.Start,
	}
}

func (c *Channel) apply(e Entry) {
	switch e.Op {
	case PauseChannel:
		c.Paused = true
	case UnpauseChannel:
		c.Paused = false
	case EmptyChannel:
		c.raise(e.FanOut)
	}
}

// ApplyChanges makes the changes of a channel's state, unless they are older than
// what is known or the channel is deleted.
func (st *State) ApplyChanges(ch ChannelChanges) {
	st.seen(ch.Topic, ch.Channel)
	c := st.Channel(ch.Topic, ch.Channel)
	if c == nil || ch.Version <= c.Version {
		return
	}
	c.Version = ch.Version
	c.Cursor = ch.Cursor
	c.materialise()
	if ch.Full {
		c.Acked = seqset.New(max(ch.Floor, c.Done))
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

// PutTopic takes a checkpoint's word for a topic and its channels. What is
// known of the state of those that stay is kept: it comes in records of its own.
func (st *State) PutTopic(t *Topic) {
	st.seen(t.Incarnation)
	old := st.Topics[t.Incarnation]
	st.Topics[t.Incarnation] = t
	for id, c := range t.Channels {
		st.seen(id)
		if old == nil || old.Channels[id] == nil {
			continue
		}
		was := old.Channels[id]
		was.Name, was.Paused, was.Start = c.Name, c.Paused, c.Start
		was.raise(c.Done)
		t.Channels[id] = was
	}
}

// materialise gives a channel that no changes were read for yet what a new
// channel has.
func (c *Channel) materialise() {
	if c.Acked != nil {
		return
	}
	c.Acked = seqset.New(c.Done)
	c.Cursor = max(c.Cursor, c.Done)
	c.Open = make(map[uint64]OpenMessage)
}

// raise takes every number below floor as done.
func (c *Channel) raise(floor uint64) {
	c.Done = max(c.Done, floor)
	if c.Acked == nil || floor <= c.Acked.Floor() {
		return
	}
	old := c.Acked.Floor()
	c.Acked.AddRange(old, floor)
	c.closeOpen(seqset.Range{From: old, To: floor})
	c.Cursor = max(c.Cursor, floor)
}

// closeOpen forgets the open messages in r, by the shorter way of the two.
func (c *Channel) closeOpen(r seqset.Range) {
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

// PruneVoids drops the voids that every channel has behind it. A channel that
// comes later starts at the fan-out position, which no floor is above. Without
// a channel nobody can tell how far the first one will look back.
func (t *Topic) PruneVoids() {
	if len(t.Voids) == 0 || len(t.Channels) == 0 {
		return
	}
	floor := ^uint64(0)
	for _, c := range t.Channels {
		floor = min(floor, c.Done)
	}
	t.Voids = slices.DeleteFunc(t.Voids, func(v seqset.Range) bool { return v.To <= floor })
}

// Finish ends a replay. It gives channels of which no changes were read what a
// new channel has, and keeps the newest of several topics or channels of one
// name: they can only be there when the deletion of the older ones was lost to
// damage. It reports how many it dropped.
func (st *State) Finish() (dropped int) {
	topics := make(map[string]uint64, len(st.Topics))
	for id, t := range st.Topics {
		dropped += dropOlder(topics, t.Name, id, func(old uint64) { delete(st.Topics, old) })
		channels := make(map[string]uint64, len(t.Channels))
		for id, c := range t.Channels {
			c.materialise()
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

// Topology copies what the writer needs to write checkpoints: names, positions
// and, for each channel, its state as a record.
func (st *State) Topology(e *Encoder) *State {
	m := New()
	m.MaxIncarnation = st.MaxIncarnation
	maps.Copy(m.Acknowledged, st.Acknowledged)
	for id, t := range st.Topics {
		mt := *t
		mt.Voids, mt.GivenUp = slices.Clone(t.Voids), slices.Clone(t.GivenUp)
		mt.Channels = make(map[uint64]*Channel, len(t.Channels))
		for cid, c := range t.Channels {
			mt.Channels[cid] = &Channel{
				Incarnation: c.Incarnation,
				Name:        c.Name,
				Paused:      c.Paused,
				Start:       c.Start,
				Done:        c.Done,
				Kept:        slices.Clone(e.Changes(c.Snapshot(id))),
			}
		}
		m.Topics[id] = &mt
	}
	return m
}

// Snapshot is all of the channel's state.
func (c *Channel) Snapshot(topic uint64) ChannelChanges {
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
