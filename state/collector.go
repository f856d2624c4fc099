package state

import (
	"maps"
	"slices"
	"time"
)

// Collector decides which sources are asked for their changes, and when: an
// interval after the first of them was marked, all that are marked by then. A
// source whose changes were not written is marked again and asked for all of
// its state. The Collector calls no source and reads no clock, and whoever has
// it lets one caller in at a time; a source is asked between two calls, by
// whoever got it from Next.
//
//	Mark ──> marked ──Due──> due ──Next──> asked ──Written──> at rest
//	           ^                              │
//	           └───────────Refused────────────┘
type Collector struct {
	interval time.Duration
	members  map[Source]*member
	marked   []*member
	ends     map[uint64]TopicEnd // noted, not due
	since    time.Time           // when the first of marked or ends came
	due      []*member           // those before next were asked
	next     int
	dueEnds  []TopicEnd
}

// member is a source that the next checkpoint asks: an attached one, and one
// that is not and has said something since the last checkpoint.
type member struct {
	source   Source
	attached bool
	marked   bool // it is in Collector.marked or due
	full     bool // what it said last was not written
}

// NewCollector makes a Collector whose sources are asked an interval after
// their mark.
func NewCollector(interval time.Duration) *Collector {
	return &Collector{interval: interval, members: make(map[Source]*member), ends: make(map[uint64]TopicEnd)}
}

// Attach makes s speak for its channel from now on.
func (c *Collector) Attach(s Source) { c.member(s).attached = true }

// Detach lets s speak a last time, for the next checkpoint.
func (c *Collector) Detach(s Source) { c.member(s).attached = false }

func (c *Collector) member(s Source) *member {
	m := c.members[s]
	if m == nil {
		m = &member{source: s}
		c.members[s] = m
	}
	return m
}

// Mark notes that s has changes. It reports whether DueAt was zero before.
func (c *Collector) Mark(s Source, now time.Time) (first bool) {
	m := c.member(s)
	if m.marked {
		return false
	}
	first = c.news(now)
	m.marked = true
	c.marked = append(c.marked, m)
	return first
}

// NoteEnd notes up to where a topic's log is known to reach; what is not given
// (0) stays. It reports whether DueAt was zero before.
func (c *Collector) NoteEnd(e TopicEnd, now time.Time) (first bool) {
	first = c.news(now)
	was := c.ends[e.Topic]
	c.ends[e.Topic] = TopicEnd{Topic: e.Topic, Synced: max(was.Synced, e.Synced), Written: max(was.Written, e.Written)}
	return first
}

// news keeps the time if nothing was marked or noted before.
func (c *Collector) news(now time.Time) (first bool) {
	if len(c.marked) > 0 || len(c.ends) > 0 {
		return false
	}
	c.since = now
	return true
}

// DueAt is when what is marked and noted becomes due; zero: nothing is.
func (c *Collector) DueAt() time.Time {
	if len(c.marked) == 0 && len(c.ends) == 0 {
		return time.Time{}
	}
	return c.since.Add(c.interval)
}

// Due makes what is marked and noted due if its time has come, and says whether
// anything is due.
func (c *Collector) Due(now time.Time) bool {
	if at := c.DueAt(); !at.IsZero() && !now.Before(at) {
		c.DueNow()
	}
	return c.next < len(c.due) || len(c.dueEnds) > 0
}

// DueNow makes all that is marked and noted due before its time.
func (c *Collector) DueNow() {
	c.due = append(c.due, c.marked...)
	clear(c.marked)
	c.marked = c.marked[:0]
	c.dueEnds = slices.AppendSeq(c.dueEnds, maps.Values(c.ends))
	clear(c.ends)
}

// Ends is what was noted and is due, once: should it not be written, what is
// noted later will be. It is valid until the next DueNow or Due.
func (c *Collector) Ends() []TopicEnd {
	ends := c.dueEnds
	c.dueEnds = c.dueEnds[:0]
	return ends
}

// Next is the next source to be asked, with Source.Changes(full); nil when none
// is due. What changes from now on marks it again. It will be asked for
// everything unless Written says that its answer was written.
func (c *Collector) Next() (s Source, full bool) {
	if c.next == len(c.due) {
		return nil, false
	}
	m := c.due[c.next]
	c.due[c.next] = nil
	if c.next++; c.next == len(c.due) {
		c.due, c.next = c.due[:0], 0
	}
	m.marked = false
	full = m.full
	m.full = true
	return m.source, full
}

// Written says that what sources from Next answered is written.
func (c *Collector) Written(sources []Source) {
	for _, s := range sources {
		c.member(s).full = false
	}
}

// Refused says that what sources from Next answered could not be written: they
// are marked again.
func (c *Collector) Refused(sources []Source, now time.Time) {
	for _, s := range sources {
		c.Mark(s, now)
	}
}

// Sources are those that a checkpoint has to ask.
func (c *Collector) Sources() []Source { return slices.Collect(maps.Keys(c.members)) }

// Spoke says that s told all of its state for a checkpoint. It reports whether s
// goes on speaking for its channel; if not, it is forgotten, unless it has
// changes that are still to be asked for.
func (c *Collector) Spoke(s Source) (attached bool) {
	m := c.member(s)
	if !m.attached && !m.marked {
		delete(c.members, s)
	}
	return m.attached
}

// Forget lets go of s, which is not asked any more: nobody needs what it would say.
func (c *Collector) Forget(s Source) {
	m := c.members[s]
	if m == nil {
		return
	}
	delete(c.members, s)
	gone := func(x *member) bool { return x == m }
	c.marked = slices.DeleteFunc(c.marked, gone)
	if i := slices.IndexFunc(c.due[c.next:], gone); i >= 0 {
		c.due = slices.Delete(c.due, c.next+i, c.next+i+1)
	}
	if c.next == len(c.due) {
		c.due, c.next = c.due[:0], 0
	}
}
