// Package state is what a node knows of its topics and channels as a
// deterministic state machine: entries and changes go in, in order, and a State
// comes out, the same wherever they are applied; and the codec of the records
// that they travel and are kept in. It does no I/O, reads no clock and has no
// goroutine; nothing in it may be used concurrently.
package state

import (
	"slices"

	"qmq/internal/seqset"
)

// State is what is known of all topics and channels.
type State struct {
	Topics map[uint64]*Topic // by incarnation
	// Deleted and DeletedChannels are the incarnations whose deletion is
	// younger than the checkpoint that was replayed: their files may still be
	// there. They are listed also when nothing tells of their creation.
	Deleted         map[uint64]bool
	DeletedChannels map[uint64]bool
	// Acknowledged are the names of the AckDamage entries.
	Acknowledged map[string]bool
	// MaxIncarnation is the highest one ever seen, deleted ones included.
	MaxIncarnation uint64
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
	// Messages and Bytes count what was published to a replicated topic since it was
	// made, and the bytes of its bodies.
	Messages, Bytes uint64
	// Retained is the first number of a replicated topic that replicas keep though
	// everybody has finished it; 0: they keep nothing that is finished.
	Retained uint64
	// Settings are what was set of the topic, as text whose meaning is not this
	// package's; empty: nothing was.
	Settings string
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
	Open        Open
	// Missed is how many of a replicated topic's Messages never came to the channel.
	Missed uint64
	// Settings are what was set of the channel, see Topic.Settings.
	Settings string
	// Never are numbers that the channel does not get even after a rewind, sorted and
	// disjoint: it was emptied of them. Those far below its floor may be forgotten.
	Never []seqset.Range
	// Rewound is when it was rewound last, see RewindOf; 0: never.
	Rewound uint64
	// Until is the first number that a bounded channel never gets; 0: it gets all.
	// Leaves says that it goes when it has had all below.
	Until  uint64
	Leaves bool

	// done says that every number below it is done, whatever changes of the
	// channel say that were taken before it was emptied.
	done uint64
	// kept is the channel's whole state as records, while no source speaks for
	// it. Only a Topology has it.
	kept [][]byte
	// rewinding is the last rewind until a checkpoint begins behind it. Only a Topology
	// has it.
	rewinding *rewinding
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
	case VoidRange:
		t.void(e.Void)
	case GiveUp:
		t.GivenUp = seqset.Insert(t.GivenUp, e.Void)
	case LearnTopic:
		t.Unlearnt = false
	case ConfigureTopic:
		t.Settings = e.Name
	case RetainFrom:
		t.Retained = e.Start
	case CreateChannel:
		t.createChannel(e)
	case DeleteChannel:
		delete(t.Channels, e.Channel)
	default:
		if c := t.Channels[e.Channel]; c != nil {
			t.applyTo(c, e)
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
		Until:       e.Void.From,
		Leaves:      e.Unlearnt,
		done:        e.Start,
	}
}

// void makes numbers count no more, in the topic and in its channels.
func (t *Topic) void(r seqset.Range) {
	if r.From >= r.To {
		return
	}
	t.Voids = seqset.Insert(t.Voids, r)
	for _, c := range t.Channels {
		c.Materialise()
		c.Acked.AddRange(r.From, r.To)
		c.Open.Remove(r)
		c.done = max(c.done, c.Acked.Floor())
		c.Cursor = max(c.Cursor, c.done)
	}
}

func (t *Topic) applyTo(c *Channel, e Entry) {
	switch e.Op {
	case PauseChannel:
		c.Paused = true
	case UnpauseChannel:
		c.Paused = false
	case EmptyChannel:
		c.raise(e.FanOut)
	case ConfigureChannel:
		c.Settings = e.Name
	case RewindChannel:
		t.rewind(c, e)
	case NeverAgain:
		c.neverAgain(e.ranges())
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
	c.Materialise()
	if ch.Full {
		c.Acked = seqset.New(max(ch.Floor, c.done))
		c.Open.Clear()
	}
	c.raise(ch.Floor)
	for _, r := range ch.Acked {
		c.Acked.AddRange(r.From, r.To)
		c.Open.Remove(r)
	}
	for _, o := range ch.Open {
		if !c.Acked.Contains(o.Seq) {
			c.Open.Put(o)
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
		if was.Rewound < c.Rewound {
			continue // what is known is of before the rewind
		}
		was.Name, was.Paused, was.Start, was.Settings = c.Name, c.Paused, c.Start, c.Settings
		was.Never, was.Rewound, was.Until, was.Leaves = c.Never, c.Rewound, c.Until, c.Leaves
		was.raise(c.done)
		t.Channels[id] = was
	}
}

// Materialise gives a channel that no changes were applied to yet what a new
// channel has. Finish does it for all.
func (c *Channel) Materialise() {
	if c.Acked != nil {
		return
	}
	c.Acked = seqset.New(c.done)
	for _, r := range Beyond(c.Until) {
		c.Acked.AddRange(r.From, r.To)
	}
	c.Cursor = max(c.Cursor, c.Acked.Floor())
}

// raise takes every number below floor as done.
func (c *Channel) raise(floor uint64) {
	c.done = max(c.done, floor)
	if c.Acked == nil || floor <= c.Acked.Floor() {
		return
	}
	old := c.Acked.Floor()
	c.Acked.AddRange(old, floor)
	c.Open.Remove(seqset.Range{From: old, To: floor})
	c.Cursor = max(c.Cursor, floor)
}

// PruneVoids drops the voids that every channel has behind it, and the fan-out
// position where it stands, and that no rewind can reach: those of numbers that were given
// up, and below reach. A channel that comes later starts above them. Without a channel
// nobody can tell how far the first one will look back. Where very many are behind all
// channels the highest stay.
func (t *Topic) PruneVoids(reach uint64) {
	if len(t.Channels) == 0 {
		return
	}
	floor := ^uint64(0)
	if t.Paused {
		floor = t.FanOut
	}
	for _, c := range t.Channels {
		floor = min(floor, c.done)
	}
	n := slices.IndexFunc(t.Voids, func(v seqset.Range) bool { return v.To > floor })
	if n < 0 {
		n = len(t.Voids)
	}
	if n > 0 {
		gone := seqset.Union(t.GivenUp, []seqset.Range{{To: reach}})
		t.Voids = append(highest(seqset.Difference(t.Voids[:n], gone)), t.Voids[n:]...)
	}
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
			c.Materialise()
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

// Snapshot is all of the channel's state.
func (c *Channel) Snapshot(topic uint64) ChannelChanges {
	ch := ChannelChanges{
		Topic: topic, Channel: c.Incarnation, Version: c.Version, Full: true,
		Floor: c.Acked.Floor(), Cursor: c.Cursor,
		Acked: slices.Collect(c.Acked.Ranges()),
	}
	if c.Open.Len() > 0 {
		ch.Open = slices.AppendSeq(make([]OpenMessage, 0, c.Open.Len()), c.Open.All())
	}
	return ch
}
