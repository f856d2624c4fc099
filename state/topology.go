package state

import (
	"maps"
	"slices"

	"qmq/internal/seqset"
)

// Topology is what checkpoints are made of while the state of most channels is
// where it is used: the topics, the names of their channels, and the state of
// those channels that no source speaks for, each as a record. A record that a
// method returns or passes on is valid until the Encoder's next call.
type Topology struct {
	enc *Encoder
	st  *State // no channel of it has an Acked set
}

// NewTopology copies what st says. Until its source speaks, a channel's state is
// what it is there.
func NewTopology(st *State, enc *Encoder) *Topology {
	own := New()
	own.MaxIncarnation = st.MaxIncarnation
	maps.Copy(own.Acknowledged, st.Acknowledged)
	for id, t := range st.Topics {
		copied := *t
		copied.Voids, copied.GivenUp = slices.Clone(t.Voids), slices.Clone(t.GivenUp)
		copied.Channels = make(map[uint64]*Channel, len(t.Channels))
		for cid, c := range t.Channels {
			copied.Channels[cid] = &Channel{
				Incarnation: c.Incarnation,
				Name:        c.Name,
				Paused:      c.Paused,
				Start:       c.Start,
				Settings:    c.Settings,
				Never:       slices.Clone(c.Never),
				Rewound:     c.Rewound,
				Until:       c.Until,
				Leaves:      c.Leaves,
				done:        c.done,
				kept:        [][]byte{slices.Clone(enc.Changes(c.Snapshot(id)))},
			}
		}
		own.Topics[id] = &copied
	}
	return &Topology{enc: enc, st: own}
}

// Apply makes an entry's change.
func (t *Topology) Apply(e Entry) {
	if c := t.st.Channel(e.Topic, e.Channel); c != nil && e.Op == RewindChannel {
		c.begin(e)
		c.rewinding = &rewinding{entry: e}
		return
	}
	t.st.Apply(e)
}

// rewinding is a rewind of a channel whose state is where it is used. That of a moment ago
// may still be on its way, and the topics of a checkpoint may have been told before: the
// state that a checkpoint gets has the rewind with it, on the right side.
type rewinding struct {
	entry Entry
	told  bool // the channel has told of its state since
}

// passed says whether changes are of after the rewind, if there is one.
func (r *rewinding) passed(ch *ChannelChanges) bool {
	if r == nil {
		return true
	}
	r.told = r.told || ch.Version >= r.entry.Void.From
	return ch.Version >= r.entry.Void.From
}

// NoteEnds notes how far topics' logs are known to reach.
func (t *Topology) NoteEnds(ends []TopicEnd) { t.st.NoteEnds(ends) }

// MaxIncarnation is the highest one ever seen.
func (t *Topology) MaxIncarnation() uint64 { return t.st.MaxIncarnation }

// Changes is the record of what a source answered; nil when there is no such
// channel: it was deleted, or its creation is still to come, and then all of its
// state has to follow; or when it does not know that it was rewound.
func (t *Topology) Changes(ch ChannelChanges) []byte {
	c := t.st.Channel(ch.Topic, ch.Channel)
	if c == nil || !c.rewinding.passed(&ch) {
		return nil
	}
	c.done = max(c.done, ch.Floor)
	return t.enc.Changes(ch)
}

// Begin passes on the first records of a checkpoint: acknowledged damage, and
// the topics with the names of their channels. It says of how many.
func (t *Topology) Begin(put func(record []byte)) (topics, channels uint64) {
	if names := slices.Sorted(maps.Keys(t.st.Acknowledged)); len(names) > 0 {
		put(t.enc.Acknowledged(names))
	}
	for _, topic := range t.st.Topics {
		topic.PruneVoids(0)
		for _, c := range topic.Channels {
			c.Never = seqset.Difference(c.Never, topic.GivenUp)
			if c.rewinding != nil && c.rewinding.told {
				c.rewinding = nil
			}
		}
		put(t.enc.Topic(topic))
		topics++
		channels += uint64(len(topic.Channels))
	}
	return topics, channels
}

// Snapshot passes on the records of all that a source said of its channel; none when
// there is no such channel. When the source is to be let go the state is kept,
// for Kept of this checkpoint and later ones, and nothing is passed on.
func (t *Topology) Snapshot(ch ChannelChanges, attached bool, put func(record []byte)) {
	c := t.st.Channel(ch.Topic, ch.Channel)
	if c == nil {
		return
	}
	c.kept = nil
	if !attached {
		put = func(record []byte) { c.kept = append(c.kept, slices.Clone(record)) }
	}
	r, passed := c.rewinding, c.rewinding.passed(&ch)
	if r != nil && passed {
		put(t.enc.Entries([]Entry{r.entry}))
	}
	put(t.enc.Changes(ch))
	if !passed {
		put(t.enc.Entries([]Entry{r.entry}))
	}
}

// Kept passes on the states of channels that no source speaks for.
func (t *Topology) Kept(put func(record []byte)) {
	for _, topic := range t.st.Topics {
		for _, c := range topic.Channels {
			for _, record := range c.kept {
				put(record)
			}
		}
	}
}

// End says that a checkpoint is whole: later files need not name what was
// deleted before.
func (t *Topology) End() {
	clear(t.st.Deleted)
	clear(t.st.DeletedChannels)
}
