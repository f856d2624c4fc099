package raftlog

import (
	"fmt"
	"maps"
	"slices"
)

// draft is a shard as it will be when the updates before are written.
type draft struct {
	base, last, allowed uint64
	hard                hardState
}

// compose makes a group of the first pending updates, as many as fit.
func (l *Log) compose() *group {
	w := &l.writer
	g := &group{seg: w.active, begins: w.active.end == firstRecord}
	g.enc = encoder{buf: w.buf, salt: g.seg.salt, start: g.seg.end, synced: g.seg.synced, sum: l.o.Sum}
	if g.begins {
		l.encodeBegin(g)
	}
	drafts := make(map[uint32]*draft)
	for _, u := range w.pending {
		size := sizeOfUpdate(u)
		first := len(g.updates) == 0
		if !first && (u.note != 0 || g.enc.offset()+size+recordHeader > g.seg.room || int64(g.enc.bytes())+size > groupBytes) {
			break
		}
		c := &composed{Update: u}
		g.updates = append(g.updates, c)
		if u.note != 0 {
			g.encodeNote(u)
			continue
		}
		d := drafts[u.Shard]
		if d == nil {
			d = l.draft(u.Shard)
			drafts[u.Shard] = d
		}
		if c.refused = d.check(u, size); c.refused == nil {
			g.encode(c, d)
		}
	}
	// That a process uses the log, or no longer does, is on the disk in any case.
	g.sync = (g.sync || g.begins) && !l.o.NoSync || g.updates[0].note != 0
	return g
}

// encodeBegin makes a segment begin with what those before it have come to.
func (l *Log) encodeBegin(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := begin{session: l.session}
	if n := len(l.segments); n > 0 {
		last := l.segments[n-1]
		b.previous, b.end = last.number, last.synced
		if l.o.NoSync {
			b.end = last.end
		}
	}
	g.enc.begun(b)
	for _, id := range l.ids() {
		s := l.shards[id]
		g.enc.state(id, state{hard: s.hard, last: s.end(), members: s.members})
	}
	g.enc.endUpdate()
}

func (g *group) encodeNote(u *Update) {
	g.sync = true
	if u.note == kindOpened {
		g.enc.opened(u.session)
	} else {
		g.enc.closed()
	}
	g.enc.endUpdate()
}

// encode appends the records of an update.
func (g *group) encode(c *composed, d *draft) {
	before := len(g.enc.buf)
	if c.Snapshot != nil {
		g.enc.snapshot(c.Shard, c.Snapshot)
		g.sync = true
	}
	for _, e := range c.Entries {
		g.enc.entry(c.Shard, e)
		c.places = append(c.places, place{
			offset: uint32(g.enc.at), size: uint32(entryHead + len(e.GetData())),
		})
		g.sync = true
	}
	if h := hardStateOf(c.HardState); h != (hardState{}) && h != d.hard {
		g.enc.hardState(c.Shard, h)
		g.sync = g.sync || h.term != d.hard.term || h.vote != d.hard.vote
		d.hard = h
	}
	if len(g.enc.buf) > before {
		g.enc.endUpdate()
	}
}

// ids are those of all shards, ascending. mu
func (l *Log) ids() []uint32 { return slices.Sorted(maps.Keys(l.shards)) }

// draft is a shard as it is.
func (l *Log) draft(shard uint32) *draft {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shard(shard)
	return &draft{base: s.base.index, last: s.last(), allowed: s.allowed, hard: s.hard}
}

// check refuses an update that cannot follow, and else takes it up, but for its
// hard state.
func (d *draft) check(u *Update, size int64) error {
	after := *d
	if size > maxUpdate {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrContract, size, maxUpdate)
	}
	if h := hardStateOf(u.HardState); h != (hardState{}) {
		switch was := d.hard; {
		case h.term < was.term:
			return fmt.Errorf("%w: term %d after %d", ErrContract, h.term, was.term)
		case h.term == was.term && was.vote != 0 && h.vote != was.vote:
			return fmt.Errorf("%w: a vote for %x after one for %x in term %d", ErrContract, h.vote, was.vote, h.term)
		}
	}
	if u.Snapshot != nil {
		index := u.Snapshot.GetIndex()
		after.base, after.last, after.allowed = index, index, index
	}
	for i, e := range u.Entries {
		index := e.GetIndex()
		switch {
		case index > after.last+1 || i > 0 && index != after.last+1:
			return fmt.Errorf("%w: entry %d behind %d", ErrContract, index, after.last)
		case index <= max(after.allowed, after.base):
			return fmt.Errorf("%w: entry %d, compacted are those up to %d", ErrContract, index, max(after.allowed, after.base))
		}
		after.last = index
	}
	*d = after
	return nil
}
