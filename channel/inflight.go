package channel

import "math"

// entry is a message in flight.
type entry struct {
	seq      uint64
	deadline int64 // steady ns
	first    int64 // when this attempt was delivered, steady ns
	// next and prev link the entry in its holder's list; of a touched one,
	// next is its place in the holder's heap. A free entry's next is the next
	// free one.
	next, prev uint32
	owner      uint32 // index of the holder
	attempts   uint16
	flags      uint8
}

const (
	flagLive    = 1 << iota // the entry is in use
	flagTouched             // in the holder's heap, not in its list
	flagDelayed             // a delayed record of the log
)

// chunkLen is the number of entries allocated at a time: 1,280 bytes, which
// is a size class of the runtime, so that none is wasted.
const chunkLen = 32

// inflight holds the messages in flight: entries by index, a table that finds
// them by sequence number, and for each holder a list of untouched entries in
// the order of their deadlines and a heap of touched ones.
type inflight struct {
	chunks  []*[chunkLen]entry
	used    uint32 // indices below it were in use at some time; 0 never is
	free    uint32 // the first free entry below used, 0 when there is none
	n       int
	table   table
	holders []*holder // by index; nil where there is none
	// published is when the messages of the entries were published, steady ns.
	// Only a channel that keeps latencies has them, others have none.
	published []*[chunkLen]int64
	timed     bool // published is kept
	// due is no later than the earliest deadline.
	due int64
}

// noneInFlight is what all channels share that no consumer ever joined: most
// channels of a node with very many are idle. It is never written to.
var noneInFlight = newInflight(false)

func newInflight(timed bool) *inflight {
	return &inflight{used: 1, due: math.MaxInt64, timed: timed}
}

func (f *inflight) at(i uint32) *entry { return &f.chunks[i/chunkLen][i%chunkLen] }

// publishedAt is when the message of the entry i was published. Only a channel
// that keeps latencies knows.
func (f *inflight) publishedAt(i uint32) *int64 { return &f.published[i/chunkLen][i%chunkLen] }

// find is the index of the entry of seq, 0 when it is not in flight.
func (f *inflight) find(seq uint64) uint32 {
	if f.n == 0 {
		return 0
	}
	p, ok := f.slot(seq)
	if !ok {
		return 0
	}
	return f.table.slots[p]
}

// add books m, which is not in flight, for h until deadline.
func (f *inflight) add(h *holder, m again, now, deadline int64) {
	if 2*(f.n+1) > len(f.table.slots) {
		f.rehash(f.n + 1)
	}
	i := f.free
	if i != 0 {
		f.free = f.at(i).next
	} else {
		i = f.used
		if int(i/chunkLen) == len(f.chunks) {
			f.chunks = append(f.chunks, new([chunkLen]entry))
			if f.timed {
				f.published = append(f.published, new([chunkLen]int64))
			}
		}
		f.used++
	}
	flags := uint8(flagLive)
	if m.delayed {
		flags |= flagDelayed
	}
	*f.at(i) = entry{
		seq: m.seq, deadline: deadline, first: now, owner: h.index, attempts: m.attempts, flags: flags,
	}
	if f.timed {
		*f.publishedAt(i) = now // until it is read
	}
	f.append(h, i)
	p, _ := f.slot(m.seq)
	f.table.slots[p] = i
	f.n++
	f.due = min(f.due, deadline)
}

// remove takes the entry i out and returns its message.
func (f *inflight) remove(i uint32) again {
	e := f.at(i)
	f.unlink(i, e)
	p, _ := f.slot(e.seq)
	f.clearSlot(p)
	m := again{seq: e.seq, attempts: e.attempts, delayed: e.flags&flagDelayed != 0}
	*e = entry{next: f.free}
	f.free = i
	if f.n--; int(f.used) > 1024 && f.n < int(f.used)/8 {
		f.compact()
	}
	return m
}

// append links the entry i at the end of h's list.
func (f *inflight) append(h *holder, i uint32) {
	e := f.at(i)
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
	if e.flags&flagTouched != 0 {
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
func (f *inflight) touch(i uint32, deadline int64) {
	e := f.at(i)
	h := f.holders[e.owner]
	f.unlink(i, e)
	e.deadline = deadline
	e.flags |= flagTouched
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
	a, b := f.at(i), f.at(j)
	return a.deadline < b.deadline || a.deadline == b.deadline && a.seq < b.seq
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
func (f *inflight) each(do func(i uint32, e *entry)) {
	for i := uint32(1); i < f.used; i++ {
		if e := f.at(i); e.flags&flagLive != 0 {
			do(i, e)
		}
	}
}

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
	*f = inflight{used: 1, due: math.MaxInt64, holders: f.holders, timed: f.timed}
}

// compact moves the entries of a channel that had many more in flight to the
// lower chunks and frees the others.
func (f *inflight) compact() {
	limit := uint32((max(2*f.n, 512) + chunkLen - 1) / chunkLen * chunkLen)
	to := uint32(1)
	for i := limit; i < f.used; i++ {
		if f.at(i).flags&flagLive == 0 {
			continue
		}
		for f.at(to).flags&flagLive != 0 {
			to++
		}
		f.move(i, to)
	}
	f.chunks = append(make([]*[chunkLen]entry, 0, limit/chunkLen), f.chunks[:limit/chunkLen]...)
	if f.timed {
		f.published = append(make([]*[chunkLen]int64, 0, limit/chunkLen), f.published[:limit/chunkLen]...)
	}
	f.used, f.free = limit, 0
	for i := limit - 1; i > 0; i-- {
		if e := f.at(i); e.flags&flagLive == 0 {
			e.next = f.free
			f.free = i
		}
	}
	f.rehash(2 * f.n)
}

// move moves an entry to another, free index; the table does not learn of it.
func (f *inflight) move(from, to uint32) {
	e := f.at(from)
	h := f.holders[e.owner]
	*f.at(to) = *e
	if f.timed {
		*f.publishedAt(to) = *f.publishedAt(from)
	}
	if e.flags&flagTouched != 0 {
		h.touched[e.next] = to
	} else {
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
	e.flags = 0
}
