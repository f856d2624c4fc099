package state

import (
	"maps"
	"slices"
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
				done:        c.done,
				kept:        slices.Clone(enc.Changes(c.Snapshot(id))),
			}
		}
		own.Topics[id] = &copied
	}
	return &Topology{enc: enc, st: own}
}

// Apply makes an entry's change.
func (t *Topology) Apply(e Entry) { t.st.Apply(e) }

// NoteEnds notes how far topics' logs are known to reach.
func (t *Topology) NoteEnds(ends []TopicEnd) { t.st.NoteEnds(ends) }

// MaxIncarnation is the highest one ever seen.
func (t *Topology) MaxIncarnation() uint64 { return t.st.MaxIncarnation }

// Changes is the record of what a source answered; nil when there is no such
// channel: it was deleted, or its creation is still to come, and then all of its
// state has to follow.
func (t *Topology) Changes(ch ChannelChanges) []byte {
	c := t.st.Channel(ch.Topic, ch.Channel)
	if c == nil {
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
		topic.PruneVoids()
		put(t.enc.Topic(topic))
		topics++
		channels += uint64(len(topic.Channels))
	}
	return topics, channels
}

// Snapshot is the record of all that a source said of its channel; nil when
// there is no such channel. When the source is to be let go the state is kept,
// for Kept of this checkpoint and later ones, and there is no record either.
func (t *Topology) Snapshot(ch ChannelChanges, attached bool) []byte {
	c := t.st.Channel(ch.Topic, ch.Channel)
	if c == nil {
		return nil
	}
	record := t.enc.Changes(ch)
	if !attached {
		c.kept = slices.Clone(record)
		return nil
	}
	c.kept = nil
	return record
}

// Kept passes on the states of channels that no source speaks for.
func (t *Topology) Kept(put func(record []byte)) {
	for _, topic := range t.st.Topics {
		for _, c := range topic.Channels {
			if c.kept != nil {
				put(c.kept)
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
