package machine

import (
	"errors"

	"qmq/diskqueue"
	"qmq/internal/dedup"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// Which messages are doubles is decided when an entry is applied, by the ids that were
// applied before, by the shard's time, and by what the message itself says: within what its
// id counts. So every replica decides the same, also when it applies the entry again. The
// ids are in checkpoints and snapshots as the rest of the state.
//
// The shard's time goes on with the leaders' steady clocks: neither a clock that is wrong nor
// one that steps makes a window longer or shorter. Before entries say it, the times of the
// messages count, by the clocks of the nodes that they were published on.

// errIDs is a frame of ids that none was made of.
var errIDs = errors.New("ids of no topic, or cut short")

// idsPerFrame is how many ids are in a frame.
const idsPerFrame = 16 << 10

// plannedID is an id that counts once the entry is applied.
type plannedID struct {
	t *topic
	message.Dedup
}

type idOfTopic struct {
	topic uint64
	id    message.DedupID
}

// at is when an id came that an entry has.
func (p *plan) at(id *message.Dedup) int64 {
	if p.time != 0 {
		return p.time
	}
	return id.At
}

// dropDoubles leaves out of a part's batch what is there already, or is before it in the
// entry.
func (p *plan) dropDoubles(t *topic, b *diskqueue.Batch) (drop []int) {
	for _, id := range b.Identified() {
		key := idOfTopic{t.st.Incarnation, id.ID}
		id.At = p.at(&id.Dedup)
		if p.cameWithin(key, id) || t.ids != nil && t.ids.Seen(id.ID, id.At, id.Bounds.Window) {
			drop = append(drop, id.Index)
			continue
		}
		if p.known == nil {
			p.known = make(map[idOfTopic]int64)
		}
		p.known[key] = id.At
		p.ids = append(p.ids, plannedID{t, id.Dedup})
	}
	b.Drop(drop)
	return drop
}

// cameWithin says that an id is before a message in the entry, and came within the window:
// before entries say the shard's time, what waited for a leader may be much older than what
// is with it in an entry.
func (p *plan) cameWithin(key idOfTopic, id diskqueue.Identified) bool {
	at, known := p.known[key]
	return known && id.At-at < int64(id.Bounds.Window)
}

// commitIDs has the ids of what is applied count.
func (p *plan) commitIDs() {
	for _, id := range p.ids {
		if id.t.ids == nil {
			id.t.ids = dedup.New()
		}
		id.t.ids.Add(id.ID, id.At, dedup.Bounds{Window: id.Bounds.Window, Max: int(id.Bounds.Most)})
	}
}

// boundIDs forgets those of a topic that are beyond what is set of it from now on: all, where
// doubles are not to be known. Before the shard's time has begun some members do not know that
// the others go.
func (t *topic) boundIDs(e state.Entry, now int64) {
	if e.Op != state.ConfigureTopic || t.ids == nil {
		return
	}
	set, _ := settings.ParseTopic(e.Name) // of what is not known here nothing is of interest
	b := dedup.Unbounded
	if set.DedupWindow != nil {
		b.Window = *set.DedupWindow
	}
	if set.DedupMaxIDs != nil {
		b.Max = int(*set.DedupMaxIDs)
	}
	switch {
	case b.Window == 0:
		t.ids = nil
	case now != 0:
		t.ids.Limit(now, b)
	}
}

// IsDouble says whether a message that comes now, by the shard's time, is left out as a double
// of what is applied.
func (m *Machine) IsDouble(topic uint64, id *message.Dedup, now int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.time == 0 {
		now = id.At
	}
	t := m.s.topics[topic]
	return t != nil && t.ids != nil && t.ids.Seen(id.ID, now, id.Bounds.Window)
}

// Doubles is what is known of a topic's doubles; its counters began with the process.
type Doubles struct {
	Found, Evicted uint64
	IDs            int
	Oldest, Newest int64 // when these came, ns since 1970; 0: none is known
	Bytes          int64
}

// Doubles is what is known of the doubles of a topic.
func (m *Machine) Doubles(incarnation uint64) (d Doubles) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[incarnation]
	if t == nil {
		return d
	}
	d.Found = t.doubles
	if t.ids != nil {
		d.Oldest, _ = t.ids.Oldest()
		d.Newest, _ = t.ids.Newest()
		d.IDs, d.Evicted, d.Bytes = t.ids.Len(), t.ids.Evicted(), t.ids.Bytes()
	}
	return d
}

// NoteDoubles counts n more doubles of a topic: they were OK'd without being in an entry.
func (m *Machine) NoteDoubles(incarnation, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.s.topics[incarnation]; t != nil {
		t.doubles += n
	}
}

// ids writes a topic's ids, oldest first.
func (w *frameWriter) ids(s dedup.Span) bool {
	for i := 0; i < s.Len(); i += idsPerFrame {
		w.begin(frameIDs)
		w.buf = s.Append(w.buf, i, min(idsPerFrame, s.Len()-i), 0)
		if !w.end(nil) {
			return false
		}
	}
	return true
}

// takeIDs takes ids of the last topic.
func (l *loader) takeIDs(list []byte) error {
	if l.last == nil || len(list)%dedup.EntrySize != 0 {
		return errors.Join(errFrame, errIDs)
	}
	if l.last.ids == nil {
		l.last.ids = dedup.New()
	}
	for ; len(list) > 0; list = list[dedup.EntrySize:] {
		e := dedup.Decode(list)
		l.last.ids.Add(e.ID, e.At, dedup.Unbounded)
	}
	return nil
}
