package channel

import "math/bits"

// The hash table that finds messages in flight by sequence number. A slot
// holds an entry's index, 0 when it is free. 64 neighbours have their homes in
// one aligned stretch of 64 slots, in an order of their own, so that a run of
// messages stays within a few cache lines. A probe goes on to the next stretch
// and not to the next slot: else two dense runs that meet would make each
// other's probes 64 long.
const (
	tableMin     = 64
	probeStep    = 65         // odd, so that probing visits every slot
	probeInverse = 3237744577 // probeStep * probeInverse = 1 mod 2^32
)

type table struct {
	slots []uint32 // a power of two of them, at most half in use
	shift uint8    // 64 - log2(len(slots))
}

// home is where probing for seq starts. The high bits of the product (by the
// golden ratio) spread stretches that follow each other evenly.
func (t *table) home(seq uint64) uint32 {
	h := (seq >> 6) * 0x9e3779b97f4a7c15
	return uint32(h>>(t.shift&63)) ^ uint32(seq&63)
}

// slot finds the slot of seq; ok is false when it is not in the table, and the
// slot is the free one where it belongs.
func (f *inflight) slot(seq uint64) (p uint32, ok bool) {
	t := &f.table
	mask := uint32(len(t.slots) - 1)
	for p = t.home(seq); ; p = (p + probeStep) & mask {
		i := t.slots[p&mask]
		if i == 0 {
			return p, false
		}
		if f.at(i).seq == seq {
			return p, true
		}
	}
}

// clearSlot frees slot p and moves those behind it up, so that no probe for
// them ends at the gap.
func (f *inflight) clearSlot(p uint32) {
	t := &f.table
	mask := uint32(len(t.slots) - 1)
	gap := p
	for {
		p = (p + probeStep) & mask
		i := t.slots[p]
		if i == 0 {
			break
		}
		home := t.home(f.at(i).seq)
		if (p-home)*probeInverse&mask >= (p-gap)*probeInverse&mask {
			t.slots[gap] = i
			gap = p
		}
	}
	t.slots[gap] = 0
}

// rehash gives the table room for at least n messages and fills it anew.
func (f *inflight) rehash(n int) {
	room := tableMin
	for room < 2*n {
		room *= 2
	}
	f.table = table{slots: make([]uint32, room), shift: uint8(64 - bits.TrailingZeros(uint(room)))}
	for i := uint32(1); i < f.used; i++ {
		if e := f.at(i); e.flags&flagLive != 0 {
			p, _ := f.slot(e.seq)
			f.table.slots[p] = i
		}
	}
}
