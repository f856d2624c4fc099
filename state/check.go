package state

import (
	"fmt"
	"slices"

	"qmq/internal/seqset"
)

// Flaw is something that entries and changes never lead to.
type Flaw struct {
	Topic, Channel uint64 // incarnations; Channel is 0 where it is about the topic
	Text           string
}

func (f Flaw) String() string {
	if f.Channel == 0 {
		return fmt.Sprintf("topic %016x: %s", f.Topic, f.Text)
	}
	return fmt.Sprintf("topic %016x, channel %016x: %s", f.Topic, f.Channel, f.Text)
}

// Check holds a State after Finish to its invariants:
//
//   - an incarnation is given out once, is at most MaxIncarnation, and is not
//     among the deleted ones;
//   - a name is that of one topic, or of one channel of a topic;
//   - lists of ranges are sorted, disjoint, apart and hold no empty range;
//   - what survived the end of the machine was written: SyncedEnd ≤ WrittenEnd;
//   - of a channel Start ≤ floor ≤ Cursor, and every open message is at or above
//     the floor and not done.
//
// It returns what breaks them, in no order; nil when all is well.
func (st *State) Check() []Flaw {
	c := check{st: st, topics: make(map[string]uint64), given: make(map[uint64]bool)}
	for id, t := range st.Topics {
		c.topic(id, t)
	}
	return c.flaws
}

// check is what is found on the way through a State.
type check struct {
	st     *State
	topics map[string]uint64 // by name
	given  map[uint64]bool   // incarnations
	flaws  []Flaw
}

func (c *check) found(topic, channel uint64, format string, args ...any) {
	c.flaws = append(c.flaws, Flaw{topic, channel, fmt.Sprintf(format, args...)})
}

func (c *check) topic(id uint64, t *Topic) {
	found := func(format string, args ...any) { c.found(id, 0, format, args...) }
	c.incarnation(id, t.Incarnation, c.st.Deleted, found)
	if other, taken := c.topics[t.Name]; taken {
		found("has the name %q, as %016x has", t.Name, other)
	}
	c.topics[t.Name] = id
	if !united(t.Voids) {
		found("voids are out of order: %v", t.Voids)
	}
	if !united(t.GivenUp) {
		found("numbers given up are out of order: %v", t.GivenUp)
	}
	if t.SyncedEnd > t.WrittenEnd {
		found("synced up to %d, and written up to %d only", t.SyncedEnd, t.WrittenEnd)
	}
	names := make(map[string]uint64)
	for cid, ch := range t.Channels {
		found := func(format string, args ...any) { c.found(id, cid, format, args...) }
		c.incarnation(cid, ch.Incarnation, c.st.DeletedChannels, found)
		if other, taken := names[ch.Name]; taken {
			found("has the name %q, as %016x has", ch.Name, other)
		}
		names[ch.Name] = cid
		ch.check(found)
	}
}

func (c *check) incarnation(key, own uint64, deleted map[uint64]bool, found func(string, ...any)) {
	switch {
	case key != own || key == 0:
		found("is called %016x", own)
	case c.given[key]:
		found("is there twice")
	case deleted[key]:
		found("is deleted")
	case key > c.st.MaxIncarnation:
		found("is above the highest, %016x", c.st.MaxIncarnation)
	}
	c.given[key] = true
}

func (c *Channel) check(found func(string, ...any)) {
	if c.Acked == nil {
		found("has no state")
		return
	}
	if floor := c.Acked.Floor(); c.Start > floor || floor > c.Cursor {
		found("start %d, floor %d, cursor %d are out of order", c.Start, floor, c.Cursor)
	}
	for o := range c.Open.All() {
		if c.Acked.Contains(o.Seq) {
			found("message %d is open, and done", o.Seq)
		}
	}
}

// united says that a list is as seqset.Union would make it.
func united(list []seqset.Range) bool {
	return slices.Equal(seqset.Union(list), list)
}
