package channel

import "math"

// dueMax is the latest due time of a deferred message, in steady ms: what
// still fits when it is counted in ns. It has 44 bits of the 48 that there are.
const dueMax = math.MaxInt64 / 1_000_000

// deferral is a deferred message in 16 bytes.
type deferral struct {
	due uint64 // steady ms << 16 | attempts
	seq uint64 // sequence number << 1 | 1 for a delayed record of the log
}

// newDeferral defers m until the steady time due, in ms.
func newDeferral(m again, due int64) deferral {
	d := deferral{
		due: uint64(min(max(due, 0), dueMax))<<16 | uint64(m.attempts),
		seq: m.seq << 1,
	}
	if m.delayed {
		d.seq |= 1
	}
	return d
}

func (d deferral) dueMs() int64 { return int64(d.due >> 16) }

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

// deferredHeap is a 4-ary heap of deferred messages, the next due one first.
type deferredHeap struct {
	items []deferral
}

func (h *deferredHeap) len() int { return len(h.items) }

func (h *deferredHeap) push(d deferral) {
	h.items = append(h.items, d)
	h.up(len(h.items)-1, d)
}

// up moves d from the free place i to where it belongs.
func (h *deferredHeap) up(i int, d deferral) {
	for i > 0 {
		parent := (i - 1) / 4
		if !d.before(h.items[parent]) {
			break
		}
		h.items[i] = h.items[parent]
		i = parent
	}
	h.items[i] = d
}

func (h *deferredHeap) pop() deferral {
	top := h.items[0]
	last := len(h.items) - 1
	d := h.items[last]
	h.items = h.items[:last]
	if last > 0 {
		h.down(0, d)
	}
	if cap(h.items) > 1024 && last < cap(h.items)/4 {
		h.items = append(make([]deferral, 0, cap(h.items)/2), h.items...)
	}
	return top
}

// down moves d from the free place i to where it belongs.
func (h *deferredHeap) down(i int, d deferral) {
	n := len(h.items)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for k := first + 1; k < min(first+4, n); k++ {
			if h.items[k].before(h.items[least]) {
				least = k
			}
		}
		if !h.items[least].before(d) {
			break
		}
		h.items[i] = h.items[least]
		i = least
	}
	h.items[i] = d
}

// removeRange takes the messages in [from, to) out.
func (h *deferredHeap) removeRange(from, to uint64) {
	kept := h.items[:0]
	for _, d := range h.items {
		if seq := d.seq >> 1; seq < from || seq >= to {
			kept = append(kept, d)
		}
	}
	if len(kept) == len(h.items) {
		return
	}
	h.items = kept
	for i := (len(kept) - 2) / 4; i >= 0 && len(kept) > 1; i-- {
		h.down(i, h.items[i])
	}
}
