package channel

import (
	"math"

	"qmq/internal/seqtable"
)

// entry is a message in flight.
type entry struct {
	deadline int64 // steady ns
	first    int64 // when this attempt was delivered, steady ns
	// next and prev link the entry in its holder's list; of a touched one,
	// next is its place in the holder's heap.
	next, prev uint32
	owner      uint32 // index of the holder
	attempts   uint16
	touched    bool // in the holder's heap, not in its list
	delayed    bool // a delayed record of the log
}

// inflight holds the messages in flight, and for each holder a list of the
// untouched ones in the order of their deadlines and a heap of touched ones. A
// message is known by its index in the table, which is never 0.
type inflight struct {
	entries seqtable.Table[entry]
	holders []*holder // by index; nil where there is none
	// published is when the messages of the entries were published. Who hands a message
	// out notes it without a lock: the slots are atomic, and one that is another message's
	// by then says so.
	published []*[seqtable.PageLen]published
	// due is no later than the earliest deadline.
	due       int64
	discarded *discarded // nil: nothing was
}

// noneInFlight is what all channels share that no consumer ever joined: most
// channels of a node with very many are idle. It is never written to.
var noneInFlight = newInflight()

func newInflight() *inflight { return &inflight{due: math.MaxInt64} }

func (f *inflight) len() int { return f.entries.Len() }

func (f *inflight) at(i uint32) *entry { return f.entries.At(i) }

// publishedAt is where it is noted when the message of the entry i was published.
func (f *inflight) publishedAt(i uint32) *published {
	return &f.published[i/seqtable.PageLen][i%seqtable.PageLen]
}

// find is the index of the entry of seq, 0 when it is not in flight.
func (f *inflight) find(seq uint64) uint32 { return f.entries.Find(seq) }

// add reserves m, which is not in flight, for h until deadline, and returns where its
// publication is to be noted.
func (f *inflight) add(h *holder, m redelivery, now, deadline int64) *published {
	i, e := f.entries.Add(m.seq)
	*e = entry{deadline: deadline, first: now, owner: h.index, attempts: m.attempts, delayed: m.delayed}
	if f.entries.Pages() > len(f.published) {
		f.published = append(f.published, new([seqtable.PageLen]published))
	}
	f.append(h, i, e)
	f.due = min(f.due, deadline)
	return f.publishedAt(i)
}

// remove takes the entry i out and returns its message.
func (f *inflight) remove(i uint32) redelivery {
	e := f.at(i)
	f.unlink(i, e)
	m := redelivery{seq: f.entries.Seq(i), attempts: e.attempts, delayed: e.delayed}
	if f.discarded != nil {
		f.discarded.left(m.seq)
	}
	f.entries.Remove(i)
	if f.entries.Sparse() {
		f.shrink()
	}
	return m
}

// append links the entry i at the end of h's list.
func (f *inflight) append(h *holder, i uint32, e *entry) {
	e.prev, e.next = h.tail, 0
	if h.tail != 0 {
		f.at(h.tail).next = i
	} else {
		h.head = i
	}
	h.tail = i
}

// unlink takes the entry i out of its holder's list or heap.
func (f *inflight) unlink(i uint32, e *entry) {
	h := f.holders[e.owner]
	if e.touched {
		f.heapRemove(h, int(e.next))
		return
	}
	if e.prev != 0 {
		f.at(e.prev).next = e.next
	} else {
		h.head = e.next
	}
	if e.next != 0 {
		f.at(e.next).prev = e.prev
	} else {
		h.tail = e.prev
	}
}

// touch gives the entry i another deadline.
func (f *inflight) touch(i uint32, deadline int64) { f.move(i, f.holders[f.at(i).owner], deadline) }

// move gives the entry i to h, with another deadline.
func (f *inflight) move(i uint32, h *holder, deadline int64) {
	e := f.at(i)
	f.unlink(i, e)
	e.owner, e.deadline, e.touched = h.index, deadline, true
	h.touched = append(h.touched, i)
	f.heapUp(h, len(h.touched)-1)
	f.due = min(f.due, deadline)
}

// earliest is an entry of h with the earliest deadline, 0 when h has none.
func (f *inflight) earliest(h *holder) uint32 {
	i := h.head
	if len(h.touched) > 0 && (i == 0 || f.before(h.touched[0], i)) {
		i = h.touched[0]
	}
	return i
}

// earliestDue is the earliest deadline of all.
func (f *inflight) earliestDue() int64 {
	due := int64(math.MaxInt64)
	if f.len() == 0 {
		return due
	}
	for _, h := range f.holders {
		if h == nil {
			continue
		}
		if i := f.earliest(h); i != 0 {
			due = min(due, f.at(i).deadline)
		}
	}
	return due
}

// before orders entries by deadline, then by sequence number.
func (f *inflight) before(i, j uint32) bool {
	a, b := f.at(i).deadline, f.at(j).deadline
	return a < b || a == b && f.entries.Seq(i) < f.entries.Seq(j)
}

func (f *inflight) heapSet(h *holder, place int, i uint32) {
	h.touched[place] = i
	f.at(i).next = uint32(place)
}

func (f *inflight) heapUp(h *holder, place int) {
	i := h.touched[place]
	for place > 0 && f.before(i, h.touched[(place-1)/2]) {
		f.heapSet(h, place, h.touched[(place-1)/2])
		place = (place - 1) / 2
	}
	f.heapSet(h, place, i)
}

func (f *inflight) heapDown(h *holder, place int) {
	i, n := h.touched[place], len(h.touched)
	for 2*place+1 < n {
		least := 2*place + 1
		if least+1 < n && f.before(h.touched[least+1], h.touched[least]) {
			least++
		}
		if !f.before(h.touched[least], i) {
			break
		}
		f.heapSet(h, place, h.touched[least])
		place = least
	}
	f.heapSet(h, place, i)
}

func (f *inflight) heapRemove(h *holder, place int) {
	last := len(h.touched) - 1
	i := h.touched[last]
	h.touched = h.touched[:last]
	if place < last {
		f.heapSet(h, place, i)
		f.heapUp(h, place)
		f.heapDown(h, int(f.at(i).next))
	}
	if cap(h.touched) > 1024 && last < cap(h.touched)/8 {
		h.touched = append(make([]uint32, 0, cap(h.touched)/4), h.touched...)
	}
}

// each calls do with every entry; do must not add or remove any.
func (f *inflight) each(do func(i uint32, seq uint64, e *entry)) { f.entries.Each(do) }

// clear forgets all entries and frees the memory.
func (f *inflight) clear() {
	if f == noneInFlight {
		return
	}
	for _, h := range f.holders {
		if h != nil {
			h.head, h.tail, h.touched = 0, 0, nil
		}
	}
	*f = inflight{due: math.MaxInt64, holders: f.holders, discarded: f.discarded}
}

// shrink frees the memory of a channel that had many more in flight.
func (f *inflight) shrink() {
	f.entries.Shrink(f.moved)
	pages := f.entries.Pages()
	f.published = append(make([]*[seqtable.PageLen]published, 0, pages), f.published[:pages]...)
}

// moved links an entry that has another index now.
func (f *inflight) moved(from, to uint32) {
	e := f.at(to)
	h := f.holders[e.owner]
	f.publishedAt(to).at.Store(f.publishedAt(from).at.Load())
	if e.touched {
		h.touched[e.next] = to
		return
	}
	if e.prev != 0 {
		f.at(e.prev).next = to
	} else {
		h.head = to
	}
	if e.next != 0 {
		f.at(e.next).prev = to
	} else {
		h.tail = to
	}
}
