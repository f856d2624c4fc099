package machine

import (
	"errors"
	"time"

	"qmq/diskqueue"
	"qmq/internal/dedup"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// Which messages are doubles is decided when an entry is applied, by the ids that were
// applied before and by what the message itself says: its time and within what its id
// counts. So every replica decides the same, also when it applies the entry again. The
// ids are in checkpoints and snapshots as the rest of the state.

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

// dropDoubles leaves out of a part's batch what is there already, or is before it in the
// entry.
func (p *plan) dropDoubles(t *topic, b *diskqueue.Batch) (drop []int) {
	for _, id := range b.Identified() {
		key := idOfTopic{t.st.Incarnation, id.ID}
		if p.known[key] || t.ids != nil && t.ids.Seen(id.ID, id.At, id.Bounds.Window) {
			drop = append(drop, id.Index)
			continue
		}
		if p.known == nil {
			p.known = make(map[idOfTopic]bool)
		}
		p.known[key] = true
		p.ids = append(p.ids, plannedID{t, id.Dedup})
	}
	b.Drop(drop)
	return drop
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

// forgetIDs forgets those of a topic of which it was set that doubles are not known.
func (t *topic) forgetIDs(e state.Entry) {
	if e.Op != state.ConfigureTopic {
		return
	}
	set, _ := settings.ParseTopic(e.Name) // of what is not known here nothing is of interest
	if w := set.DedupWindow; w != nil && *w == time.Duration(0) {
		t.ids = nil
	}
}

// Doubles is what is known of a topic's doubles; its counters began with the process.
type Doubles struct {
	Found, Evicted uint64
	IDs            int
	Oldest         int64 // when the oldest came, ns since 1970; 0: none is known
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
		d.IDs, d.Evicted, d.Bytes = t.ids.Len(), t.ids.Evicted(), t.ids.Bytes()
	}
	return d
}

// ids writes a topic's ids, oldest first.
func (w *frameWriter) ids(s dedup.Span) bool {
	for i := 0; i < s.Len(); i += idsPerFrame {
		w.begin(frameIDs)
		w.buf = s.Append(w.buf, i, min(idsPerFrame, s.Len()-i))
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
