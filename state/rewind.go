package state

import (
	"slices"

	"qmq/internal/seqset"
)

// RewindOf is the entry that has a channel begin anew at the number start. Kept is what
// was given out below it and is not done: it stays as it is. Version is above that of
// any changes that the channel may have told when the entry is applied: those that were
// taken before do not count. It is the time of the rewind too, ms since 1970, or
// somewhat more.
func RewindOf(topic, channel, start, version uint64, kept []seqset.Range) Entry {
	return Entry{
		Op: RewindChannel, Topic: topic, Channel: channel, Start: start,
		Void: seqset.Range{From: version}, Name: string(appendRanges(nil, 0, kept)),
	}
}

// NeverOf is the entry that keeps numbers from a channel for good.
func NeverOf(topic, channel uint64, list []seqset.Range) Entry {
	return Entry{Op: NeverAgain, Topic: topic, Channel: channel, Name: string(appendRanges(nil, 0, list))}
}

// ranges are those that an entry lists; what is malformed of them is left out.
func (e *Entry) ranges() []seqset.Range {
	list, _ := parseRanges(nil, 0, []byte(e.Name))
	return seqset.Union(list)
}

// maxNever bounds the runs of numbers that a channel, or a topic, remembers below its
// floor to be void: with more of them the lowest are forgotten.
const maxNever = 16 << 10

// highest is a list without its lowest ranges where it is too long.
func highest(list []seqset.Range) []seqset.Range {
	return list[max(0, len(list)-maxNever):]
}

// neverAgain notes numbers that the channel does not get even after a rewind.
func (c *Channel) neverAgain(list []seqset.Range) {
	c.Never = highest(seqset.Union(c.Never, list))
}

// rewind begins the channel anew, unless what is known of it is younger: below the entry's
// number only what it keeps is not done, from there on only what is void is.
func (t *Topic) rewind(c *Channel, e Entry) {
	if e.Void.From <= c.Version {
		return
	}
	kept := c.begin(e)
	below := seqset.Difference([]seqset.Range{{To: e.Start}}, kept)
	c.Version, c.Acked = e.Void.From, seqset.New(c.done)
	for _, r := range seqset.Union(below, t.Voids, t.GivenUp, c.Never, Beyond(c.Until)) {
		c.Acked.AddRange(r.From, r.To)
	}
	for _, o := range slices.Collect(c.Open.All()) {
		if o.Seq >= e.Start || c.Acked.Contains(o.Seq) {
			c.Open.Remove(seqset.Range{From: o.Seq, To: o.Seq + 1})
		}
	}
	c.done = c.Acked.Floor()
	c.Cursor = max(c.Cursor, c.done)
}

// begin moves the channel's positions to where it begins anew, and returns what is kept
// below.
func (c *Channel) begin(e Entry) (kept []seqset.Range) {
	kept = within(e.ranges(), seqset.Range{To: e.Start})
	c.Rewound, c.Cursor, c.done = e.Void.From, e.Start, e.Start
	if len(kept) > 0 {
		c.done = kept[0].From
	}
	c.Start = min(c.Start, c.done)
	return kept
}

// within is what of a list lies in r.
func within(list []seqset.Range, r seqset.Range) (found []seqset.Range) {
	for _, x := range list {
		if x = x.Overlap(r); x.From < x.To {
			found = append(found, x)
		}
	}
	return found
}

// Reached is one past the highest number that the channel was given, as far as it is
// known. That a bounded channel has everything from its end on done says nothing of it.
func (c *Channel) Reached() (end uint64) {
	end = max(c.Cursor, c.Acked.Max())
	if c.Until > 0 {
		end = min(end, c.Until)
	}
	for o := range c.Open.All() {
		end = max(end, o.Seq+1)
	}
	return max(end, c.Start)
}

// lastNumber is the largest number that a message may have.
const lastNumber = 1<<54 - 1

// Beyond is what a channel does not get whose first such number is until; 0: it gets all.
func Beyond(until uint64) []seqset.Range {
	if until == 0 {
		return nil
	}
	return []seqset.Range{{From: until, To: lastNumber}}
}
