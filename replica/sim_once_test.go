package replica

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"qmq/message"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/settings"
	"qmq/state"
)

// onceModel is which ids a topic knows, as plainly as can be.
type onceModel struct {
	time  int64     // the shard's
	known []knownID // in the order in which they came
	came  map[string]bool
}

type knownID struct {
	id message.DedupID
	at int64
}

func newOnceModel() onceModel { return onceModel{came: make(map[string]bool)} }

// isDouble tells whether an id came within the window before a message.
func (o *onceModel) isDouble(x message.Dedup, inEntry []message.Dedup) bool {
	within := func(at int64) bool { return x.At-at < int64(x.Bounds.Window) }
	for _, k := range slices.Backward(o.known) {
		if k.id == x.ID && within(k.at) {
			return true
		}
	}
	return slices.ContainsFunc(inEntry, func(y message.Dedup) bool { return y.ID == x.ID && within(y.At) })
}

func (o *onceModel) add(x message.Dedup) {
	o.limit(x.At, x.Bounds.Window, int(x.Bounds.Most)-1)
	o.known = append(o.known, knownID{x.ID, x.At})
}

// limit forgets what is too old, and the oldest of what is too much.
func (o *onceModel) limit(at int64, window time.Duration, most int) {
	for len(o.known) > 0 && at-o.known[0].at >= int64(window) {
		o.known = o.known[1:]
	}
	o.known = o.known[max(0, len(o.known)-most):]
}

// configure takes up what was set of the topic.
func (o *onceModel) configure(text string) {
	set, err := settings.ParseTopic(text)
	if err != nil || set.DedupWindow == nil {
		return
	}
	most := math.MaxInt
	if set.DedupMaxIDs != nil {
		most = int(*set.DedupMaxIDs)
	}
	o.limit(o.time, *set.DedupWindow, most)
}

// stored is a message in the topic's log.
type stored struct {
	seq uint64
	at  int64 // wall clock
	due int64 // not before, ms of the wall clock; 0: at once
	simBody
}

// agreedParts takes up what became of the parts of an entry.
func (d *served) agreedParts(index uint64, data []byte, outcomes []machine.PartOutcome) {
	e, err := entry.Decode(data)
	if err != nil {
		d.w.fail("entry %d: %v", index, err)
		return
	}
	d.once.time = max(d.once.time, e.Time)
	var ids []message.Dedup
	for i := range e.Parts {
		d.agreedPart(index, &e.Parts[i], &outcomes[i], &ids)
	}
	for _, x := range ids {
		d.once.add(x)
	}
}

func (d *served) agreedPart(index uint64, p *entry.Part, o *machine.PartOutcome, ids *[]message.Dedup) {
	at := [2]uint64{p.Topic, p.Origin.Member}
	row, now := d.rows[at], origin{p.Origin.Member, p.Origin.Epoch, p.Origin.Number}
	follows := now.epoch == row.epoch && now.number == row.number+1 || now.epoch > row.epoch && now.number == 1
	switch o.Status {
	case machine.Applied:
		if !follows {
			d.w.fail("entry %d applies %v after %v", index, now, row)
		}
		d.rows[at] = now
	case machine.Duplicate:
		d.w.truth.repeats++
		if now.epoch != row.epoch || now.number > row.number {
			d.w.fail("entry %d calls %v a duplicate after %v", index, now, row)
		}
		return
	default:
		return
	}
	next, rest := o.Added.First, p.Records
	for i := range p.Count {
		n, ok := message.Size(rest)
		if !ok {
			d.w.fail("entry %d has a record that is none", index)
			return
		}
		v := message.Decode(rest[:n])
		rest = rest[n:]
		if dropped := slices.Contains(o.Doubles, i); d.agreedMessage(index, p.Topic, &v, next, dropped, ids) {
			next++
		}
	}
	if next != o.Added.End {
		d.w.fail("entry %d stores up to %d, want %d", index, o.Added.End, next)
	}
}

// agreedMessage takes up what became of a message, and tells whether it is stored.
func (d *served) agreedMessage(index, topic uint64, v *message.View, seq uint64, dropped bool, ids *[]message.Dedup) bool {
	if topic == d.dead {
		d.buried(v)
		return true
	}
	m := &stored{seq: seq, at: v.Timestamp}
	m.due, _ = v.DeliverAt()
	if err := json.Unmarshal(v.Body, &m.simBody); err != nil {
		d.w.fail("message %d: %v", seq, err)
		return false
	}
	if string(v.Key()) != m.Key {
		d.w.fail("message %d has the key %q, want %q", seq, v.Key(), m.Key)
	}
	x, counts := v.Dedup()
	if counts != (m.ID != "") {
		d.w.fail("message %d of the id %q: it counts %v", seq, m.ID, counts)
	}
	x.At = d.once.time
	double := counts && d.once.isDouble(x, *ids)
	if double != dropped {
		d.w.fail("entry %d, id %s of %v: left out %v, want %v", index, m.ID, time.Duration(m.at-d.begun.UnixNano()), dropped, double)
	}
	if dropped {
		d.counts.doubles++
		d.pubs[m.Pub].left[m.Place] = true
		return false
	}
	if counts {
		if d.once.came[m.ID] {
			d.counts.again++
		}
		*ids = append(*ids, x)
		d.once.came[m.ID] = true
	}
	d.store(m)
	return true
}

// store takes a message into the log of what is there.
func (d *served) store(m *stored) {
	p := d.pubs[m.Pub]
	switch {
	case p.refused:
		d.w.fail("message %d is of a publication that was refused", m.seq)
	case p.stored[m.Place]:
		d.w.fail("message %d of publication %d is stored twice", m.Place, m.Pub)
	}
	p.stored[m.Place] = true
	d.log = append(d.log, m)
	for _, ch := range d.channels {
		ch.stored(m)
	}
}

// agreedChange takes up a change of the topology.
func (d *served) agreedChange(index uint64, o *machine.TopologyOutcome) {
	if o.Result != machine.Done {
		return
	}
	e := &o.Entry
	switch e.Op {
	case state.CreateTopic:
		if e.Name == "t" {
			d.t = e.Topic
		} else {
			d.dead = e.Topic
		}
	case state.ConfigureTopic:
		if e.Topic == d.t {
			d.once.configure(e.Name)
		}
	case state.CreateChannel:
		if e.Topic == d.t {
			d.create(o)
		}
	case state.DeleteChannel:
		d.deleted(e.Channel)
	case state.RewindChannel:
		d.rewind(index, o)
	}
}

// buried takes up a dead letter.
func (d *served) buried(v *message.View) {
	letter, ok := v.DeadLetter()
	if !ok {
		d.w.fail("%q is in the dead-letter topic and no dead letter", v.Body)
		return
	}
	_, seq, _ := letter.ID.Split()
	d.counts.letters++
	for _, ch := range d.channels {
		if ch.name == letter.Channel {
			ch.buried(seq)
		}
	}
}
