// Package seqtable keeps values by sequence number, each at an index that
// others may link to. It starts no goroutine and takes no lock: a Table belongs
// to whoever guards it.
package seqtable

import "math/bits"

// PageLen is how many values are allocated at a time.
const PageLen = 32

const (
	minSlots = 64
	// freeMark is set in the seq of an item that is not in use; the index of the
	// next free one is in the lower bits.
	freeMark = 1 << 63
	// golden is 2^64 divided by the golden ratio: its products with the numbers
	// of stretches that follow each other lie apart evenly.
	golden = 0x9e3779b97f4a7c15
	// probeStep is how far a probe goes on: to the next stretch and not to the
	// next slot, or two dense runs that meet would make each other's probes 64
	// long. It is odd, so that probing visits every slot.
	probeStep    = 65
	probeInverse = 3237744577 // probeStep * probeInverse = 1 mod 2^32
	// shrinkAbove is how many items a table has before it is worth giving back
	// the memory of most.
	shrinkAbove = 1024
)

// Table holds values of type T by sequence number, which must be below 2^63.
// Each value has an index above 0 that is its own until it is removed, or moved
// by Shrink. The zero value is empty and ready to use.
type Table[T any] struct {
	pages []*[PageLen]item[T]
	used  uint32 // indices from 1 up to, not including, it were in use at some time; 0 at first
	free  uint32 // the first free index below used; 0 when there is none
	n     int

	// slots hold the indices, 0 where there is none. Their number is a power
	// of two, and at most half of them are in use. 64 neighbours have their
	// homes in one aligned stretch of 64 slots, in an order of their own, so
	// that a run of messages stays within a few cache lines: without, as
	// BenchmarkRun shows, each message of a backlog costs some 40 ns more.
	slots []uint32
	shift uint8 // 64 - log2(len(slots))
}

type item[T any] struct {
	seq   uint64
	value T
}

// Len is how many values there are.
func (t *Table[T]) Len() int { return t.n }

// Pages is how many pages there are: all indices are below Pages()*PageLen.
func (t *Table[T]) Pages() int { return len(t.pages) }

func (t *Table[T]) item(i uint32) *item[T] { return &t.pages[i/PageLen][i%PageLen] }

// At is the value at the index i, which must be in use. The pointer is good
// until the value is removed or moved.
func (t *Table[T]) At(i uint32) *T { return &t.item(i).value }

// Seq is the sequence number of the value at the index i, which must be in use.
func (t *Table[T]) Seq(i uint32) uint64 { return t.item(i).seq }

// home is where probing for seq starts.
func (t *Table[T]) home(seq uint64) uint32 {
	return uint32((seq>>6)*golden>>(t.shift&63)) ^ uint32(seq&63)
}

// slot finds the slot of seq; ok is false when it is not in the table, and the
// slot is the free one where it belongs.
func (t *Table[T]) slot(seq uint64) (p uint32, ok bool) {
	mask := uint32(len(t.slots) - 1)
	for p = t.home(seq); ; p = (p + probeStep) & mask {
		i := t.slots[p&mask]
		if i == 0 {
			return p, false
		}
		if t.item(i).seq == seq {
			return p, true
		}
	}
}

// Find is the index of the value of seq, 0 when there is none.
func (t *Table[T]) Find(seq uint64) uint32 {
	if t.n == 0 {
		return 0
	}
	p, ok := t.slot(seq)
	if !ok {
		return 0
	}
	return t.slots[p]
}

// Add makes room for the value of seq, of which there must be none yet: a zero
// value to be written to, and its index.
func (t *Table[T]) Add(seq uint64) (i uint32, value *T) {
	t.grow()
	p, _ := t.slot(seq)
	i = t.add(p, seq)
	return i, t.At(i)
}

// Put is the value of seq, which is made if there is none, as with Add.
func (t *Table[T]) Put(seq uint64) (value *T) {
	t.grow()
	p, ok := t.slot(seq)
	if ok {
		return t.At(t.slots[p])
	}
	return t.At(t.add(p, seq))
}

// grow makes room for one more.
func (t *Table[T]) grow() {
	if 2*(t.n+1) > len(t.slots) {
		t.rehash(t.n + 1)
	}
}

// add puts a zero value of seq in the slot p, which is where it belongs.
func (t *Table[T]) add(p uint32, seq uint64) (i uint32) {
	i = t.free
	if i != 0 {
		t.free = uint32(t.item(i).seq)
	} else {
		i = max(t.used, 1)
		if int(i/PageLen) == len(t.pages) {
			t.pages = append(t.pages, new([PageLen]item[T]))
		}
		t.used = i + 1
	}
	t.slots[p] = i
	t.n++
	t.item(i).seq = seq
	return i
}

// Remove takes the value at the index i out.
func (t *Table[T]) Remove(i uint32) {
	p, _ := t.slot(t.item(i).seq)
	t.remove(p, i)
}

// Take takes the value of seq out; ok is false when there is none.
func (t *Table[T]) Take(seq uint64) (value T, ok bool) {
	if t.n == 0 {
		return value, false
	}
	p, ok := t.slot(seq)
	if ok {
		i := t.slots[p]
		value = *t.At(i)
		t.remove(p, i)
	}
	return value, ok
}

// remove takes the value at the index i, which is in slot p, out.
func (t *Table[T]) remove(p, i uint32) {
	t.clearSlot(p)
	t.release(i)
	t.n--
}

// release puts the index i on the list of free ones.
func (t *Table[T]) release(i uint32) {
	*t.item(i) = item[T]{seq: freeMark | uint64(t.free)}
	t.free = i
}

// clearSlot frees slot p and moves those behind it up, so that no probe for
// them ends at the gap.
func (t *Table[T]) clearSlot(p uint32) {
	mask := uint32(len(t.slots) - 1)
	gap := p
	for {
		p = (p + probeStep) & mask
		i := t.slots[p]
		if i == 0 {
			break
		}
		home := t.home(t.item(i).seq)
		if (p-home)*probeInverse&mask >= (p-gap)*probeInverse&mask {
			t.slots[gap] = i
			gap = p
		}
	}
	t.slots[gap] = 0
}

// rehash gives the table slots for at least n values and fills them anew.
func (t *Table[T]) rehash(n int) {
	slots := minSlots
	for slots < 2*n {
		slots *= 2
	}
	t.slots, t.shift = make([]uint32, slots), uint8(64-bits.TrailingZeros(uint(slots)))
	t.each(func(i uint32, it *item[T]) {
		p, _ := t.slot(it.seq)
		t.slots[p] = i
	})
}

// Each calls do with every value; do must not add or remove any.
func (t *Table[T]) Each(do func(i uint32, seq uint64, value *T)) {
	t.each(func(i uint32, it *item[T]) { do(i, it.seq, &it.value) })
}

func (t *Table[T]) each(do func(i uint32, it *item[T])) {
	for i := uint32(1); i < t.used; i++ {
		if it := t.item(i); it.seq&freeMark == 0 {
			do(i, it)
		}
	}
}

// Sparse says that the table once held so many more values that Shrink is worth
// its time.
func (t *Table[T]) Sparse() bool { return t.used > shrinkAbove && t.n < int(t.used)/8 }

// Shrink moves values to the lower pages and frees the others. It calls moved
// for each, after its value was copied to the index to; the old one is still at
// from during the call.
func (t *Table[T]) Shrink(moved func(from, to uint32)) {
	limit := uint32((max(2*t.n, shrinkAbove/2) + PageLen - 1) / PageLen * PageLen)
	if limit >= t.used {
		return
	}
	to := uint32(1)
	for i := limit; i < t.used; i++ {
		if t.item(i).seq&freeMark != 0 {
			continue
		}
		for t.item(to).seq&freeMark == 0 {
			to++
		}
		*t.item(to) = *t.item(i)
		moved(i, to)
		t.item(i).seq = freeMark
	}
	t.pages = append(make([]*[PageLen]item[T], 0, limit/PageLen), t.pages[:limit/PageLen]...)
	t.used, t.free = limit, 0
	for i := limit - 1; i > 0; i-- {
		if t.item(i).seq&freeMark != 0 {
			t.release(i)
		}
	}
	t.rehash(2 * t.n)
}
