package state

import (
	"maps"
	"slices"

	"qmq/internal/seqset"
)

// Clone is an independent copy. It costs time for what is done above the floors,
// and next to nothing for open messages.
func (t *Topic) Clone() *Topic {
	c := t.CloneApart()
	for id, ch := range c.Channels {
		c.Channels[id] = ch.Clone()
	}
	return c
}

// CloneApart is a copy that has the channels themselves: one that is to be changed
// is to be put in its place as a clone.
func (t *Topic) CloneApart() *Topic {
	c := *t
	c.Voids, c.GivenUp = slices.Clone(t.Voids), slices.Clone(t.GivenUp)
	c.Channels = maps.Clone(t.Channels)
	return &c
}

// Clone is an independent copy.
func (c *Channel) Clone() *Channel {
	n := *c
	n.Open = c.Open.Clone()
	n.kept, n.Never = slices.Clone(c.kept), slices.Clone(c.Never)
	if c.Acked != nil {
		n.Acked = c.Acked.Clone()
	}
	return &n
}

// Pieces passes on all of the channel's state in pieces of at most so many ranges
// and open messages, until put fails. They are changes of a new channel, whose
// versions count them: once all are applied, Resume. What a piece lists is valid
// until put returns.
func (c *Channel) Pieces(topic uint64, most int, put func(ChannelChanges) error) error {
	ch := ChannelChanges{
		Topic: topic, Channel: c.Incarnation, Version: 1, Full: true,
		Floor: c.Acked.Floor(), Cursor: c.Cursor,
	}
	next := func() error {
		err := put(ch)
		ch.Version, ch.Full = ch.Version+1, false
		ch.Acked, ch.Open = ch.Acked[:0], ch.Open[:0]
		return err
	}
	for r := range c.Acked.Ranges() {
		if len(ch.Acked) == most {
			if err := next(); err != nil {
				return err
			}
		}
		ch.Acked = append(ch.Acked, r)
	}
	for o := range c.Open.All() {
		if len(ch.Acked)+len(ch.Open) >= most {
			if err := next(); err != nil {
				return err
			}
		}
		ch.Open = append(ch.Open, o)
	}
	return next()
}

// Emptied is up to where the channel was done with all when that was last said of
// it: its floor then, or where it was emptied.
func (c *Channel) Emptied() uint64 { return c.done }

// Resume makes a channel that the Pieces of another were applied to the same as
// that one, whose version and Emptied are given.
func (c *Channel) Resume(version, emptied uint64) {
	c.Materialise()
	c.Version, c.done = version, emptied
}

// Floor is the lowest number that anybody may need of the topic's messages: the
// lowest floor of its channels, and where its fan-out position stands.
func (t *Topic) Floor() uint64 {
	floor := ^uint64(0)
	if t.Paused || len(t.Channels) == 0 {
		floor = t.FanOut
	}
	for _, c := range t.Channels {
		floor = min(floor, c.Floor())
	}
	return floor
}

// Kept is the lowest number that replicas of the topic keep: that somebody may need, or
// that is retained.
func (t *Topic) Kept() uint64 {
	if t.Retained != 0 {
		return min(t.Retained, t.Floor())
	}
	return t.Floor()
}

// Floor is the lowest number that is not done.
func (c *Channel) Floor() uint64 {
	if c.Acked == nil {
		return c.done
	}
	return c.Acked.Floor()
}

// Owed appends to dst what of r the topic or a channel of it owes, most ranges at
// most of each of them; a list that is not full is all of it.
func (t *Topic) Owed(dst []seqset.Range, r seqset.Range, most int) []seqset.Range {
	if t.Paused || len(t.Channels) == 0 {
		if from := max(r.From, t.FanOut); from < r.To {
			dst = append(dst, seqset.Range{From: from, To: r.To})
		}
	}
	for _, c := range t.Channels {
		c.Materialise()
		for at, left := r.From, most; at < r.To && left > 0; {
			before := len(dst)
			dst, at = c.Acked.Gaps(dst, at, r.To, left)
			left -= len(dst) - before
		}
	}
	return seqset.Union(dst)
}
