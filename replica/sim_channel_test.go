package replica

import (
	"fmt"
	"maps"
	"slices"

	"qmq/replica/machine"
)

// simChannel is what must hold of a channel of the served topic: what it owes, and in
// which order.
type simChannel struct {
	d           *served
	name        string
	incarnation uint64
	ordered     string // "key", "channel", or empty
	buries      bool   // what is delivered too often becomes a dead letter
	start       uint64
	until       uint64 // 0: it has no end
	over        bool   // it is deleted

	keys    map[string]*keyOwed
	names   []string // of keys
	all     map[uint64]*owed
	back    map[string]*owed // by key: what was delivered last and came back, or will
	rewinds []*rewinding     // that whoever serves the channel may not have applied
	agreed  int              // rewinds
}

// owed is a message of a channel.
type owed struct {
	*stored
	done, buried  bool
	letters       int
	excused       bool // it may come, and need not: it lies before where the channel was rewound to
	attempts      uint16
	deferredUntil int64 // steady ns
}

func (o *owed) over() bool { return o.done || o.buried || o.excused }

// keyOwed is the messages of a key, as they were published, but for the deferred ones.
type keyOwed struct {
	list []*owed
	over int // of the first ones
}

// rewinding is a rewind that is agreed on in an entry.
type rewinding struct {
	index, start uint64
	gone         func(seq uint64) bool
}

// keyOf is what a message is kept in order by; empty: nothing.
func (ch *simChannel) keyOf(m *stored) string {
	switch ch.ordered {
	case "channel":
		return "*"
	case "key":
		return m.Key
	}
	return ""
}

// create takes up a channel that was made.
func (d *served) create(o *machine.TopologyOutcome) {
	e := &o.Entry
	ch := &simChannel{
		d: d, name: e.Name, incarnation: e.Channel, start: e.Start, until: e.Void.From,
		keys: make(map[string]*keyOwed), all: make(map[uint64]*owed), back: make(map[string]*owed),
	}
	switch e.Name {
	case "key", "channel":
		ch.ordered, ch.buries = e.Name, true
	}
	d.channels = append(d.channels, ch)
	gone := goneOf(o)
	for _, m := range d.log {
		ch.stored(m)
	}
	for seq, x := range ch.all {
		d.excuse(x, gone(seq))
	}
	d.w.log("channel %s begins at %d, until %d", ch.name, d.place(ch.start), d.place(ch.until))
}

// excuse notes that a message may be gone. Where everything is kept none is.
func (d *served) excuse(x *owed, gone bool) {
	if gone && d.hour {
		d.w.fail("message %d is gone, though all is kept", d.place(x.seq))
	}
	x.excused = x.excused || gone
}

func goneOf(o *machine.TopologyOutcome) func(uint64) bool {
	gone := slices.Clone(o.Gone)
	return func(seq uint64) bool {
		for _, r := range gone {
			if r.From <= seq && seq < r.To {
				return true
			}
		}
		return false
	}
}

// stored takes a message in that is published.
func (ch *simChannel) stored(m *stored) {
	if m.seq < ch.start || ch.until > 0 && m.seq >= ch.until || ch.over {
		return
	}
	x := &owed{stored: m}
	ch.all[m.seq] = x
	if key := ch.keyOf(m); key != "" && m.due == 0 {
		if ch.keys[key] == nil {
			ch.keys[key] = new(keyOwed)
			ch.names = append(ch.names, key)
		}
		ch.keys[key].list = append(ch.keys[key].list, x)
	}
}

// head is the first message of a key that is not over; nil: all are.
func (ch *simChannel) head(key string) *owed {
	k := ch.keys[key]
	for k.over < len(k.list) && k.list[k.over].over() {
		k.over++
	}
	if k.over == len(k.list) {
		return nil
	}
	return k.list[k.over]
}

// comesBack notes that a message waits again from a time on (steady ns): others of its key
// wait for it, whether it is owed or comes once more, until one of them is delivered.
func (ch *simChannel) comesBack(x *owed, at int64) {
	x.deferredUntil = at
	ch.back[ch.keyOf(x.stored)] = x
}

// buried takes up that a message is in the dead-letter topic.
func (ch *simChannel) buried(seq uint64) {
	x := ch.all[seq]
	switch {
	case x == nil:
		ch.d.w.fail("channel %s buries message %d, which it does not have", ch.name, ch.d.place(seq))
	case !ch.buries:
		ch.d.w.fail("channel %s buries message %d", ch.name, ch.d.place(seq))
	default:
		x.buried = true
		x.letters++
	}
}

// rewind takes up a rewind: it holds when whoever serves the channel has applied it.
func (d *served) rewind(index uint64, o *machine.TopologyOutcome) {
	d.counts.rewinds++
	for _, ch := range d.channels {
		if ch.incarnation == o.Entry.Channel && !ch.over {
			ch.agreed++
			ch.rewinds = append(ch.rewinds, &rewinding{index, o.Entry.Start, goneOf(o)})
			d.w.log("entry %d rewinds %s to %d", index, ch.name, d.place(o.Entry.Start))
		}
	}
}

// rewoundBy says that whoever serves has applied so much.
func (d *served) rewoundBy(index uint64) {
	for _, ch := range d.channels {
		for len(ch.rewinds) > 0 && ch.rewinds[0].index <= index {
			ch.rewound(ch.rewinds[0])
			ch.rewinds = ch.rewinds[1:]
		}
	}
}

// rewound has everything from a number on be owed anew.
func (ch *simChannel) rewound(r *rewinding) {
	for _, k := range ch.keys {
		k.over = 0
	}
	maps.DeleteFunc(ch.back, func(_ string, x *owed) bool { return x.seq >= r.start })
	for seq, x := range ch.all {
		if seq < r.start {
			x.excused = x.excused || !x.over()
			continue
		}
		x.done, x.buried, x.excused, x.attempts, x.deferredUntil = false, false, false, 0, 0
		ch.d.excuse(x, r.gone(seq))
	}
	for _, n := range ch.d.w.nodes {
		if n.server == nil {
			continue
		}
		for _, c := range n.server.consumers {
			if c.ch == ch {
				c.rewound(r.start)
			}
		}
		for k := range n.server.flying {
			if k.ch == ch {
				delete(n.server.flying, k)
			}
		}
	}
}

// deleted takes up the end of a channel: a bounded one has had everything.
func (d *served) deleted(incarnation uint64) {
	for _, ch := range d.channels {
		if ch.incarnation != incarnation {
			continue
		}
		ch.over = true
		d.counts.bounded++
		if x := ch.owes(); x != nil {
			d.w.fail("channel %s ended and owes message %d", ch.name, d.place(x.seq))
		}
	}
}

// owes is a message that is not over; nil: none is.
func (ch *simChannel) owes() *owed {
	for _, x := range ch.all {
		if !x.over() {
			return x
		}
	}
	return nil
}

// place makes numbers short.
func (d *served) place(seq uint64) int64 {
	if len(d.log) == 0 {
		return int64(seq)
	}
	return int64(seq - d.log[0].seq)
}

// open is what is not settled; empty: everything is.
func (d *served) open() string {
	s := d.leader()
	switch {
	case !d.ready:
		return "no channels yet"
	case d.waiting > 0:
		return fmt.Sprint(d.waiting, " publications")
	case s == nil:
		return "nobody serves"
	}
	for _, ch := range d.channels {
		if ch.over {
			continue
		}
		if ch.until > 0 {
			return "channel " + ch.name + " has not ended"
		}
		if x := ch.owes(); x != nil {
			return fmt.Sprintf("channel %s owes message %d, attempts %d, of key %q", ch.name, d.place(x.seq), x.attempts, x.Key)
		}
		if left := s.left(ch); left != "" {
			return left
		}
	}
	return ""
}

// unburied is poison that never became a dead letter.
func (d *served) unburied() (list []int64) {
	for _, ch := range d.channels {
		for seq, x := range ch.all {
			if ch.buries && x.Poison && x.letters == 0 && !x.excused {
				list = append(list, d.place(seq))
			}
		}
	}
	return list
}
