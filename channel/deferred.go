package channel

import (
	"math"

	"qmq/internal/seqset"
)

const (
	// dueMax is the latest due time of a deferred message, in steady ms, and
	// -dueMax the earliest: what still fits when it is counted in ns.
	dueMax = math.MaxInt64 / 1_000_000
	// dueZero is added to a due time to have 48 bits without a sign: what was
	// due before the process started has a negative one.
	dueZero = 1 << 47
)

// deferral is a deferred message in 16 bytes.
type deferral struct {
	due uint64 // (steady ms + dueZero) << 16 | attempts
	seq uint64 // sequence number << 1 | 1 for a delayed record of the log
}

// newDeferral defers m until the steady time due, in ms.
func newDeferral(m again, due int64) deferral {
	d := deferral{
		due: uint64(min(max(due, -dueMax), dueMax)+dueZero)<<16 | uint64(m.attempts),
		seq: m.seq << 1,
	}
	if m.delayed {
		d.seq |= 1
	}
	return d
}

func (d deferral) dueMs() int64 { return int64(d.due>>16) - dueZero }

func (d deferral) message() again {
	return again{seq: d.seq >> 1, attempts: uint16(d.due), delayed: d.seq&1 != 0}
}

// before orders deferrals by due time, then by sequence number.
func (d deferral) before(o deferral) bool {
	if d.due>>16 != o.due>>16 {
		return d.due>>16 < o.due>>16
	}
	return d.seq < o.seq
}

// deferredPage is how many deferrals are allocated at a time: 64 KiB. One
// large slice would be copied as it grows, which takes twice its memory.
const deferredPage = 4096

// deferredHeap is a 4-ary heap of deferred messages, the next due one first.
type deferredHeap struct {
	// pages hold the deferrals in the order of the heap. All are of full size
	// but for the first, which grows and shrinks. The last may be a spare.
	pages [][]deferral
	n     int
}

// noneDue is what all channels share in which nothing was ever due. It is never
// written to.
var noneDue = new(deferredHeap)

func (h *deferredHeap) len() int { return h.n }

// at is the i-th deferral in the order of the heap.
func (h *deferredHeap) at(i int) *deferral {
	return &h.pages[uint(i)/deferredPage][uint(i)%deferredPage] // unsigned: a shift and a mask
}

// next is the deferral that is due first. There must be one.
func (h *deferredHeap) next() deferral { return h.pages[0][0] }

// each calls do with every deferral.
func (h *deferredHeap) each(do func(deferral)) {
	for _, page := range h.pages {
		for _, d := range page {
			do(d)
		}
	}
}

func (h *deferredHeap) push(d deferral) {
	p := h.n / deferredPage
	if p == len(h.pages) {
		var page []deferral
		if p > 0 {
			page = make([]deferral, 0, deferredPage)
		}
		h.pages = append(h.pages, page)
	}
	h.pages[p] = append(h.pages[p], d)
	h.n++
	h.up(h.n-1, d)
}

// up moves d from the free place i to where it belongs.
func (h *deferredHeap) up(i int, d deferral) {
	for i > 0 {
		above := (i - 1) / 4
		parent := *h.at(above)
		if !d.before(parent) {
			break
		}
		*h.at(i) = parent
		i = above
	}
	*h.at(i) = d
}

func (h *deferredHeap) pop() deferral {
	top := h.next()
	d := *h.at(h.n - 1)
	h.truncate(h.n - 1)
	if h.n > 0 {
		h.down(0, d)
	}
	return top
}

// down moves d from the free place i to where it belongs.
func (h *deferredHeap) down(i int, d deferral) {
	for {
		first := 4*i + 1
		if first >= h.n {
			break
		}
		least, child := first, *h.at(first)
		for k := first + 1; k < min(first+4, h.n); k++ {
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

// truncate forgets all but the first n deferrals in the order of the heap, and
// the memory of the others, but for one page.
func (h *deferredHeap) truncate(n int) {
	h.n = n
	used := (n + deferredPage - 1) / deferredPage
	for p := len(h.pages) - 1; p >= 0 && p*deferredPage+len(h.pages[p]) > n; p-- {
		h.pages[p] = h.pages[p][:max(0, n-p*deferredPage)]
	}
	if used+1 < len(h.pages) {
		clear(h.pages[used+1:])
		h.pages = h.pages[:used+1]
	}
	if room := cap(h.pages[0]); n < room/4 && room > 1024 {
		h.pages = [][]deferral{append(make([]deferral, 0, room/2), h.pages[0]...)}
	}
}

// extract takes the messages in r out and appends them to dst.
func (h *deferredHeap) extract(r seqset.Range, dst []again) []again {
	h.each(func(d deferral) {
		if m := d.message(); r.From <= m.seq && m.seq < r.To {
			dst = append(dst, m)
		}
	})
	h.removeRange(r.From, r.To)
	return dst
}

// removeRange takes the messages in [from, to) out.
func (h *deferredHeap) removeRange(from, to uint64) {
	kept := 0
	for i := range h.n {
		d := *h.at(i)
		if seq := d.seq >> 1; seq < from || seq >= to {
			*h.at(kept) = d
			kept++
		}
	}
	if kept == h.n {
		return
	}
	h.truncate(kept)
	for i := (kept - 2) / 4; i >= 0 && kept > 1; i-- {
		h.down(i, *h.at(i))
	}
}
