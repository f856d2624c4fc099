package topic

import (
	"sync"
	"time"

	"qmq/diskqueue"
	"qmq/internal/dedup"
	"qmq/message"
	"qmq/settings"
)

// Doubles are known by the ids of what is in the log: who publishes takes the ids first,
// so that a double waits for the fate of the first, and they count from the moment at which
// the first is stored. After a start they are read from the log again, and from the files
// that have what was in segments that were given back.

// When an id came is by the steady clock, which begins with the process as the wall clock is:
// steps of that make no window longer or shorter. What is in files and in the log is by the
// wall clock of when it was written; what that says of the future came now.

// doubles knows what was published to a topic lately.
type doubles struct {
	ids   *idFiles // nil of a topic in memory
	clock timeline

	mu        sync.Mutex // guards what follows: what is known, and what is on its way; taken after pipeline.mu
	bounds    dedup.Bounds
	table     *dedup.Table
	end       uint64 // the ids of all stored messages below are in table
	kept      uint64 // place in table behind what is in files
	claims    map[message.DedupID]*claim
	found     uint64 // doubles that were OK'd
	unwritten uint64 // see DedupStats
}

// timeline is a clock.Clock.
type timeline interface {
	Now() int64
	ToWall(ns int64) int64
}

// claim is ids whose fate is not known yet.
type claim struct {
	d       *doubles
	ids     []diskqueue.Identified
	doubles uint64        // that came with them, and count when they do
	done    chan struct{} // closed when their fate is known
}

// DedupStats is what is known of doubles.
type DedupStats struct {
	Found   uint64 // doubles that were OK'd, since the start
	IDs     int    // that are known
	Max     int    // that may be
	Window  time.Duration
	Oldest  int64  // when the oldest known id came, ns since 1970; 0: none is known
	Evicted uint64 // ids that went before their time, since the start
	Bytes   int64  // of memory
	// Unwritten is how often segments stayed since the start, for the ids in them could not
	// be written down.
	Unwritten uint64
}

// publishOnce stores what of a batch is no double, and returns when also of the doubles the
// first is stored.
func (t *Topic) publishOnce(d *doubles, b *diskqueue.Batch) error {
	c := d.take(b)
	if b.Len() == 0 {
		c.settle(true)
		return nil
	}
	err := t.publish(b, c)
	c.settle(err == nil)
	return err
}

// Repeats says whether all messages of a batch are doubles of what is stored, and drops them
// if so: it may be OK'd though nothing may be published.
func (t *Topic) Repeats(b *diskqueue.Batch) bool {
	d := t.doubles.Load()
	return d != nil && d.repeats(b)
}

func (d *doubles) repeats(b *diskqueue.Batch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock.Now()
	drop := make([]int, 0, b.Len())
	for _, id := range b.Identified() {
		if !d.table.Seen(id.ID, now, d.bounds.Window) {
			return false
		}
		drop = append(drop, id.Index)
	}
	if len(drop) != b.Len() {
		return false
	}
	d.found += uint64(len(drop))
	b.Drop(drop)
	return true
}

// take takes the ids of a batch, once nobody else has one of them, and drops the doubles
// from it. All are taken together: who waits has none.
func (d *doubles) take(b *diskqueue.Batch) *claim {
	for {
		c, other := d.tryTake(b)
		if other == nil {
			return c
		}
		<-other.done
	}
}

// tryTake is take, or returns a claim that has to end first.
func (d *doubles) tryTake(b *diskqueue.Batch) (c, other *claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range b.Identified() {
		if other = d.claims[id.ID]; other != nil {
			return nil, other
		}
	}
	c = &claim{d: d, done: make(chan struct{})}
	now := d.clock.Now()
	var drop []int
	for _, id := range b.Identified() {
		if d.claims[id.ID] == c || d.table.Seen(id.ID, now, d.bounds.Window) {
			drop = append(drop, id.Index)
			continue
		}
		id.At = now
		d.claims[id.ID] = c
		c.ids = append(c.ids, id)
	}
	c.doubles = uint64(len(drop))
	b.Drop(drop)
	return c, nil
}

// storeClaims has the ids of a group count, whose messages are stored below end. Only when
// all of them do are those below end known: a file of ids may be written meanwhile.
func storeClaims(claims []*claim, end uint64) {
	for _, c := range claims {
		c.settle(true)
	}
	for _, c := range claims {
		c.d.reach(end)
	}
}

// reach notes that the ids of all stored messages below end are in the table.
func (d *doubles) reach(end uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = max(d.end, end)
}

// settle ends a claim, unless it has ended; the ids count if their messages are stored, and the
// doubles with them: who is refused says all of it again.
func (c *claim) settle(count bool) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.end(count)
}

// end ends a claim, once. The caller holds d.mu.
func (c *claim) end(count bool) {
	d := c.d
	select {
	case <-c.done:
		return
	default:
	}
	for _, id := range c.ids {
		delete(d.claims, id.ID)
		if count {
			d.table.Add(id.ID, id.At, d.bounds)
		}
	}
	if count {
		d.found += c.doubles
	}
	close(c.done)
}

// setAside has room on the disk for all ids that are stored, or about to be, and in no file
// yet.
func (d *doubles) setAside() error {
	if d.ids == nil {
		return nil
	}
	n := d.unwrittenIDs()
	if n == 0 {
		return nil
	}
	return d.ids.room.reserve(roomFor(n))
}

// unwrittenIDs is how many ids are in no file, those on their way included.
func (d *doubles) unwrittenIDs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.table.End()-max(d.kept, d.table.First())) + len(d.claims)
}

// know has doubles be known as the settings say. The caller holds t.changing, or nobody else
// knows t.
func (t *Topic) know(s *configured) {
	d := t.doubles.Load()
	switch {
	case t.o.Replicated:
	case s.DedupWindow == 0:
		t.doubles.Store(nil)
		if d != nil && d.ids != nil {
			d.ids.drop()
		}
	case d != nil:
		d.configure(s)
	default:
		t.doubles.Store(t.newDoubles(s))
	}
}

func boundsOf(s *settings.EffectiveTopic) dedup.Bounds {
	return dedup.Bounds{Window: s.DedupWindow, Max: s.DedupMaxIDs}
}

// configure has what is beyond new bounds go at once.
func (d *doubles) configure(s *configured) {
	first := d.bound(boundsOf(&s.EffectiveTopic))
	if d.ids != nil {
		d.ids.forgetBefore(first)
	}
}

// bound sets the bounds, and returns the first place that is left in the table.
func (d *doubles) bound(b dedup.Bounds) (first uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bounds = b
	d.table.Limit(d.clock.Now(), b)
	return d.table.First()
}

// newDoubles finds what is known already.
func (t *Topic) newDoubles(s *configured) *doubles {
	clock := t.o.Common.Channels.Clock
	d := &doubles{clock: clock, bounds: boundsOf(&s.EffectiveTopic), table: dedup.New(), claims: make(map[message.DedupID]*claim)}
	if t.o.Ephemeral {
		return d
	}
	fs, dir := t.o.Log.Dir()
	d.ids = newIDFiles(fs, dir, t.o.Incarnation)
	now, ahead := clock.Now(), clock.ToWall(0)
	add := func(id message.DedupID, wall int64) { d.table.Add(id, min(wall-ahead, now), d.bounds) }
	known, err := d.ids.load(d.table, func(e dedup.Entry) { add(e.ID, e.At) })
	d.kept = d.table.End()
	if err != nil {
		t.o.Common.Logger.Error("some ids of messages that are not in the log any more are not known: doubles of them will be taken", "topic", t.o.Name, "error", err)
	}
	log := t.o.Log
	d.end = log.End()
	from := max(known, log.FirstSince(now+ahead-int64(s.DedupWindow)))
	if err = readIDs(log, from, d.end, add); err != nil {
		t.o.Common.Logger.Error("ids of some messages cannot be read: doubles of them will be taken", "topic", t.o.Name, "error", err)
	}
	d.table.Expire(now, s.DedupWindow)
	t.tellFewer(s, d)
	if err := d.setAside(); err != nil {
		t.o.Common.Logger.Warn("there is no room for the ids by which doubles are known: nothing is stored with one before there is", "topic", t.o.Name, "error", err)
	}
	return d
}

// tellFewer says that ids are lost since fewer can be known than were to be.
func (t *Topic) tellFewer(s *configured, d *doubles) {
	asked := t.o.Common.Settings.Topic(t.o.Name, s.set, settings.Place{}).Effective().DedupMaxIDs
	if gone := d.table.Evicted(); gone > 0 && asked > s.DedupMaxIDs {
		t.o.Common.Logger.Error("ids went before their time, for the node has no memory for as many as dedup_max_ids says: doubles of them will be taken",
			"topic", t.o.Name, "dedup_max_ids", asked, "known", d.table.Len(), "gone", gone)
	}
}

// readIDs calls add with the ids of the messages in [from, to) that count.
func readIDs(log *diskqueue.Log, from, to uint64, add func(id message.DedupID, wall int64)) error {
	r := log.NewReader()
	defer r.Release()
	return r.Scan(max(from, log.Start()), to, func(v message.View) {
		if id, ok := v.Dedup(); ok {
			add(id.ID, id.At)
		}
	})
}

// keepIDs has all ids that count now survive what is about to be given back of the log.
// Those of messages that a loss of power could take are of messages on the disk then.
func (t *Topic) keepIDs() error {
	d := t.doubles.Load()
	if d == nil || d.ids == nil {
		return nil
	}
	err := d.ids.keep(d.unkept, func() error {
		if b := t.background.Load(); b != nil { // else what counts is synced
			return b.syncNow()
		}
		return nil
	}, d.clock.ToWall(0))
	d.noteKept(err)
	if err == nil {
		d.ids.room.shrink(roomFor(d.unwrittenIDs()))
	}
	return err
}

// unkept is the entries from a place on, those that are old by now left out.
func (d *doubles) unkept(place uint64) (s dedup.Span, end, first uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.Expire(d.clock.Now(), d.bounds.Window)
	return d.table.Span(place), d.end, d.table.First()
}

// noteKept notes how it ended to write ids down.
func (d *doubles) noteKept(err error) {
	place := d.ids.keptUpTo()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = place
	if err != nil {
		d.unwritten++
	}
}

// DedupStats is what is known of doubles; ok is false where they are not.
func (t *Topic) DedupStats() (s DedupStats, ok bool) {
	c := t.config.Load()
	switch d := t.doubles.Load(); {
	case c.DedupWindow == 0:
		return s, false
	case d != nil:
		s = d.stats()
	case t.o.Doubles != nil:
		s = t.o.Doubles()
	default:
		return s, false
	}
	s.Max, s.Window = c.DedupMaxIDs, c.DedupWindow
	return s, true
}

// stats is what is known now.
func (d *doubles) stats() (s DedupStats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.Expire(d.clock.Now(), d.bounds.Window)
	if oldest, ok := d.table.Oldest(); ok {
		s.Oldest = d.clock.ToWall(oldest)
	}
	s.Found, s.IDs, s.Evicted, s.Bytes, s.Unwritten = d.found, d.table.Len(), d.table.Evicted(), d.table.Bytes(), d.unwritten
	return s
}
