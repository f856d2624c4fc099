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

// doubles knows what was published to a topic lately.
type doubles struct {
	ids *idFiles // nil of a topic in memory

	mu     sync.Mutex // guards what follows: what is known, and what is on its way; taken after pipeline.mu
	bounds dedup.Bounds
	table  *dedup.Table
	end    uint64 // the ids of all stored messages below are in table
	claims map[message.DedupID]*claim
	found  uint64 // doubles
}

// claim is ids whose fate is not known yet.
type claim struct {
	d    *doubles
	ids  []diskqueue.Identified
	done chan struct{} // closed when their fate is known
}

// DedupStats is what is known of doubles.
type DedupStats struct {
	Found   uint64 // doubles, since the start
	IDs     int    // that are known
	Max     int    // that may be
	Window  time.Duration
	Oldest  int64  // when the oldest known id came, ns since 1970; 0: none is known
	Evicted uint64 // ids that went before their time, since the start
	Bytes   int64  // of memory
}

// publishOnce stores what of a batch is no double, and returns when also of the doubles the
// first is stored.
func (t *Topic) publishOnce(d *doubles, b *diskqueue.Batch) error {
	c := d.take(b)
	if b.Len() == 0 {
		return nil
	}
	err := t.publish(b, c)
	c.settle(err == nil)
	return err
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
	var drop []int
	for _, id := range b.Identified() {
		if d.claims[id.ID] == c || d.table.Seen(id.ID, id.At, d.bounds.Window) {
			drop = append(drop, id.Index)
			continue
		}
		d.claims[id.ID] = c
		c.ids = append(c.ids, id)
	}
	d.found += uint64(len(drop))
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

// settle ends a claim, unless it has ended; the ids count if their messages are stored.
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
	close(c.done)
}

// know has doubles be known as the settings say. The caller holds t.changing, or nobody else
// knows t.
func (t *Topic) know(s *configured) {
	d := t.doubles.Load()
	switch {
	case t.o.Replicated:
	case s.DedupWindow == 0:
		t.doubles.Store(nil)
	case d != nil:
		d.configure(s)
	default:
		t.doubles.Store(t.newDoubles(s))
	}
}

func boundsOf(s *settings.EffectiveTopic) dedup.Bounds {
	return dedup.Bounds{Window: s.DedupWindow, Max: s.DedupMaxIDs}
}

func (d *doubles) configure(s *configured) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bounds = boundsOf(&s.EffectiveTopic)
}

// newDoubles finds what is known already.
func (t *Topic) newDoubles(s *configured) *doubles {
	d := &doubles{bounds: boundsOf(&s.EffectiveTopic), table: dedup.New(), claims: make(map[message.DedupID]*claim)}
	if t.o.Ephemeral {
		return d
	}
	fs, dir := t.o.Log.Dir()
	d.ids = newIDFiles(fs, dir, t.o.Incarnation)
	now := t.o.Common.Channels.Clock.Wall()
	known, err := d.ids.load(d.table, d.bounds)
	if err != nil {
		t.o.Common.Logger.Error("some ids of messages that are not in the log any more are not known: doubles of them will be taken", "topic", t.o.Name, "error", err)
	}
	log := t.o.Log
	d.end = log.End()
	err = d.read(log, max(known, log.FirstSince(now-int64(s.DedupWindow))), d.end)
	if err != nil {
		t.o.Common.Logger.Error("ids of some messages cannot be read: doubles of them will be taken", "topic", t.o.Name, "error", err)
	}
	d.table.Expire(now, s.DedupWindow)
	return d
}

// read has the ids of the messages in [from, to) count.
func (d *doubles) read(log *diskqueue.Log, from, to uint64) error {
	r := log.NewReader()
	defer r.Release()
	return r.Scan(max(from, log.Start()), to, func(v message.View) {
		if id, ok := v.Dedup(); ok {
			d.table.Add(id.ID, id.At, d.bounds)
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
	span, end, first := d.unkept(t.o.Common.Channels.Clock.Wall())
	d.ids.forget(first)
	if span.Len() == 0 {
		return nil
	}
	if b := t.background.Load(); b != nil { // else what counts is synced
		if err := b.syncNow(); err != nil {
			return err
		}
	}
	return d.ids.keep(span, end)
}

// unkept is the entries that are in no file, those that are old at a time left out.
func (d *doubles) unkept(now int64) (s dedup.Span, end, first uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.Expire(now, d.bounds.Window)
	return d.table.Span(d.ids.kept()), d.end, d.table.First()
}

// DedupStats is what is known of doubles; ok is false where they are not.
func (t *Topic) DedupStats() (s DedupStats, ok bool) {
	c := t.config.Load()
	switch d := t.doubles.Load(); {
	case c.DedupWindow == 0:
		return s, false
	case d != nil:
		s = d.stats(t.o.Common.Channels.Clock.Wall())
	case t.o.Doubles != nil:
		s = t.o.Doubles()
	default:
		return s, false
	}
	s.Max, s.Window = c.DedupMaxIDs, c.DedupWindow
	return s, true
}

// stats is what is known at a time.
func (d *doubles) stats(now int64) DedupStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table.Expire(now, d.bounds.Window)
	oldest, _ := d.table.Oldest()
	return DedupStats{Found: d.found, IDs: d.table.Len(), Oldest: oldest, Evicted: d.table.Evicted(), Bytes: d.table.Bytes()}
}
