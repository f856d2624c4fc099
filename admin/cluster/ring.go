package cluster

import "math"

// allowance is the memory that histories may take together, in bytes.
type allowance struct{ left int }

// take tells whether there was so much left.
func (b *allowance) take(bytes int) bool {
	if b.left < bytes {
		return false
	}
	b.left -= bytes
	return true
}

var gap = float32(math.NaN())

// ring is a line of values over time, one for each slot of equal length, of
// which the newest are kept. It takes memory only when a value other than 0
// comes: most channels never time out.
type ring struct {
	slots       []float32
	first, last int64 // slots with something in them; last 0: none yet
	sum         float32
	n           int32 // values in the last slot, whose mean it holds
	zeros       bool  // while slots is nil: that there were values, all 0
}

// add puts v into slot; slots since the last one that are at most fill away
// get it as well, others are a gap. Without budget there is a gap for good.
func (r *ring) add(b *allowance, size int, slot int64, fill int64, v float32) {
	if slot < r.last { // the clock was set back
		if r.last-slot <= fill {
			return
		}
		r.restart()
	}
	if r.slots == nil {
		if v == 0 || v != v && !r.zeros {
			r.note(slot, v)
			return
		}
		if !r.grow(b, size) {
			return
		}
	}
	if slot == r.last && r.n > 0 {
		r.sum, r.n = r.sum+v, r.n+1
		r.slots[slot%int64(size)] = r.sum / float32(r.n)
		return
	}
	if r.last == 0 {
		r.first, r.last = slot, slot-1
	}
	filler := v
	if slot-r.last > fill {
		filler = gap
	}
	for s := max(r.last+1, slot-int64(size)+1); s < slot; s++ {
		r.slots[s%int64(size)] = filler
	}
	r.slots[slot%int64(size)] = v
	r.last, r.sum, r.n = slot, v, 1
}

// note keeps what there is to know of values that take no memory.
func (r *ring) note(slot int64, v float32) {
	if r.last == 0 {
		r.first = slot
	}
	if slot != r.last {
		r.n = 0
	}
	r.last, r.n, r.sum = slot, r.n+1, 0
	r.zeros = r.zeros || v == v
}

// restart forgets all values: they are of times that have yet to come.
func (r *ring) restart() {
	for i := range r.slots {
		r.slots[i] = gap
	}
	*r = ring{slots: r.slots}
}

func (r *ring) grow(b *allowance, size int) bool {
	if !b.take(4 * size) {
		return false
	}
	r.slots = make([]float32, size)
	for i := range r.slots {
		r.slots[i] = gap
	}
	if r.zeros && r.last > 0 {
		for s := max(r.first, r.last-int64(size)+1); s <= r.last; s++ {
			r.slots[s%int64(size)] = 0
		}
	}
	return true
}

// free gives the ring's memory back.
func (r *ring) free(b *allowance) {
	b.left += 4 * len(r.slots)
	*r = ring{}
}

// at is the value of a slot.
func (r *ring) at(size int, slot int64) float32 {
	switch {
	case slot > r.last || slot < r.first || slot <= r.last-int64(size):
		return gap
	case r.slots != nil:
		return r.slots[slot%int64(size)]
	case r.zeros:
		return 0
	}
	return gap
}

// read returns the n values up to slot end.
func (r *ring) read(size int, end int64, n int) Figures {
	values := make(Figures, n)
	for i := range values {
		values[i] = Figure(r.at(size, end-int64(n-1-i)))
	}
	return values
}

// mean is that of the known ones among the last n values up to slot end.
func (r *ring) mean(size int, end int64, n int) Figure {
	sum, known := 0.0, 0
	for s := end - int64(n) + 1; s <= end; s++ {
		if v := r.at(size, s); v == v {
			sum, known = sum+float64(v), known+1
		}
	}
	if known == 0 {
		return unknown
	}
	return Figure(sum / float64(known))
}
