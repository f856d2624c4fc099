// Package dueheap keeps messages by the time at which they are due, in 16 bytes
// each. It takes no lock: a Heap belongs to whoever guards it.
package dueheap

import (
	"container/heap"
	"iter"
	"math"
)

const (
	// maxDue is the latest due time, in ms, and -maxDue the earliest: what
	// still fits when it is counted in ns.
	maxDue = math.MaxInt64 / 1_000_000
	// zeroDue is added to a due time to have 48 bits without a sign: what was
	// due before the clock started has a negative one.
	zeroDue = 1 << 47
)

// Item is a message that is due at a time.
type Item struct {
	Due      int64  // ms of a steady clock; later than about 292 years is cut to that
	Seq      uint64 // below 2^63
	Attempts uint16
	Delayed  bool
}

// packed is an Item in 16 bytes:
//
//	due  63 … 16: (Due + zeroDue) in ms   15 … 0: Attempts
//	seq  63 …  1: Seq                          0: Delayed
type packed struct{ due, seq uint64 }

func pack(i Item) packed {
	p := packed{
		due: uint64(min(max(i.Due, -maxDue), maxDue)+zeroDue)<<16 | uint64(i.Attempts),
		seq: i.Seq << 1,
	}
	if i.Delayed {
		p.seq |= 1
	}
	return p
}

func (p packed) item() Item {
	return Item{Due: int64(p.due>>16) - zeroDue, Seq: p.seq >> 1, Attempts: uint16(p.due), Delayed: p.seq&1 != 0}
}

// before orders by due time, then by sequence number.
func (p packed) before(o packed) bool {
	if p.due>>16 != o.due>>16 {
		return p.due>>16 < o.due>>16
	}
	return p.seq < o.seq
}

const (
	// pageLen is how many are allocated at a time: 64 KiB. One large slice
	// would be copied as it grows, which takes twice its memory.
	pageLen = 4096
	// children of each place of the heap: a page of memory has two levels.
	children = 4
)

// Heap is a heap of messages, the one that is due first at its top; of those
// that are due in the same ms, the one with the lowest sequence number. The zero
// value is empty and ready to use.
type Heap struct {
	// pages hold the messages in the order of the heap. All are of full size
	// but for the first, which grows and shrinks. The last may be a spare.
	pages [][]packed
	n     int
}

// Len is how many messages there are.
func (h *Heap) Len() int { return h.n }

// at is the place i in the order of the heap.
func (h *Heap) at(i int) *packed {
	return &h.pages[uint(i)/pageLen][uint(i)%pageLen] // unsigned: a shift and a mask
}

// Next is the message that is due first. There must be one.
func (h *Heap) Next() Item { return h.pages[0][0].item() }

// NextDue is when that is, in ms.
func (h *Heap) NextDue() int64 { return int64(h.pages[0][0].due>>16) - zeroDue }

// Each calls do with every message, in no particular order.
func (h *Heap) Each(do func(Item)) {
	for _, page := range h.pages {
		for _, p := range page {
			do(p.item())
		}
	}
}

// Push adds a message.
func (h *Heap) Push(i Item) { h.push(pack(i)) }

func (h *Heap) push(d packed) {
	p := h.n / pageLen
	if p == len(h.pages) {
		var page []packed
		if p > 0 {
			page = make([]packed, 0, pageLen)
		}
		h.pages = append(h.pages, page)
	}
	h.pages[p] = append(h.pages[p], d)
	h.n++
	h.up(h.n-1, d)
}

// up moves d from the free place i to where it belongs.
func (h *Heap) up(i int, d packed) {
	for i > 0 {
		above := (i - 1) / children
		parent := *h.at(above)
		if !d.before(parent) {
			break
		}
		*h.at(i) = parent
		i = above
	}
	*h.at(i) = d
}

// Pop takes the message that is due first out. There must be one.
func (h *Heap) Pop() Item {
	top := h.Next()
	d := *h.at(h.n - 1)
	h.truncate(h.n - 1)
	if h.n > 0 {
		h.down(0, d)
	}
	return top
}

// down moves d from the free place i to where it belongs.
func (h *Heap) down(i int, d packed) {
	for {
		first := children*i + 1
		if first >= h.n {
			break
		}
		least, child := first, *h.at(first)
		for k := first + 1; k < min(first+children, h.n); k++ {
			if other := *h.at(k); other.before(child) {
				least, child = k, other
			}
		}
		if !child.before(d) {
			break
		}
		*h.at(i) = child
		i = least
	}
	*h.at(i) = d
}

// truncate forgets all but the first n in the order of the heap, and the memory
// of the others, but for one page.
func (h *Heap) truncate(n int) {
	h.n = n
	used := (n + pageLen - 1) / pageLen
	for p := len(h.pages) - 1; p >= 0 && p*pageLen+len(h.pages[p]) > n; p-- {
		h.pages[p] = h.pages[p][:max(0, n-p*pageLen)]
	}
	if used+1 < len(h.pages) {
		clear(h.pages[used+1:])
		h.pages = h.pages[:used+1]
	}
	if size := cap(h.pages[0]); n < size/4 && size > 1024 {
		h.pages = [][]packed{append(make([]packed, 0, size/2), h.pages[0]...)}
	}
}

// RemoveRange takes out the messages whose sequence numbers are in [from, to).
func (h *Heap) RemoveRange(from, to uint64) {
	h.remove(func(d packed) bool { return from <= d.seq>>1 && d.seq>>1 < to })
}

// RemoveFunc takes out the messages for which del is true.
func (h *Heap) RemoveFunc(del func(Item) bool) {
	h.remove(func(d packed) bool { return del(d.item()) })
}

func (h *Heap) remove(del func(packed) bool) {
	kept := 0
	for i := range h.n {
		if d := *h.at(i); !del(d) {
			*h.at(kept) = d
			kept++
		}
	}
	if kept == h.n {
		return
	}
	h.truncate(kept)
	for i := (kept - 2) / children; i >= 0 && kept > 1; i-- {
		h.down(i, *h.at(i))
	}
}

// InOrder lists the messages, the one that is due first first. Each costs the
// logarithm of how many were listed, however many there are. The heap must not
// change meanwhile.
func (h *Heap) InOrder() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		ahead := frontier{heap: h}
		if h.n > 0 {
			ahead.places = append(ahead.places, 0)
		}
		for len(ahead.places) > 0 {
			i := heap.Pop(&ahead).(int)
			if !yield(h.at(i).item()) {
				return
			}
			for child := children*i + 1; child <= children*(i+1) && child < h.n; child++ {
				heap.Push(&ahead, child)
			}
		}
	}
}

// frontier is the places of a heap that are next on the ways down from its top,
// as a heap of their own.
type frontier struct {
	heap   *Heap
	places []int
}

func (f *frontier) Len() int           { return len(f.places) }
func (f *frontier) Less(i, j int) bool { return f.heap.at(f.places[i]).before(*f.heap.at(f.places[j])) }
func (f *frontier) Swap(i, j int)      { f.places[i], f.places[j] = f.places[j], f.places[i] }
func (f *frontier) Push(x any)         { f.places = append(f.places, x.(int)) }

func (f *frontier) Pop() any {
	last := len(f.places) - 1
	i := f.places[last]
	f.places = f.places[:last]
	return i
}
