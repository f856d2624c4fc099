package crashfs

import (
	"math/rand/v2"
)

// sectorSize is what a disk writes whole or not at all.
const sectorSize = 512

// file is a file as programs see it, as it is on the platter, and the unsynced
// changes between. FS.mu guards it.
type file struct {
	now, disk image
	unsynced  []mutation
	opens     int  // open handles of the present life
	unlinked  bool // no name leads to it
	bad       [2]int64
}

// broken says whether a read of n bytes at off meets a bad sector.
func (f *file) broken(off int64, n int) bool { return off < f.bad[1] && f.bad[0] < off+int64(n) }

// mutation is a write of data at off, or if data is nil a truncate to off.
type mutation struct {
	off  int64
	data []byte
}

func (m mutation) apply(to *image) {
	if m.data == nil {
		to.truncate(m.off)
	} else {
		to.write(m.data, m.off)
	}
}

// mutate changes what programs see.
func (f *file) mutate(m mutation) {
	if m.data != nil && len(m.data) == 0 {
		return
	}
	m.apply(&f.now)
	f.unsynced = append(f.unsynced, m)
}

// sync puts what is unsynced on the platter.
func (f *file) sync() {
	for _, m := range f.unsynced {
		m.apply(&f.disk)
	}
	f.unsynced = nil
}

// syncFailed is what Linux does then: the pages count as clean, so that they
// can be read but no later sync writes them.
func (f *file) syncFailed() { f.unsynced = nil }

// crash makes programs see what is on the platter after the mode's luck.
func (f *file) crash(mode Mode, rng *rand.Rand) {
	if mode == Random && len(f.unsynced) > 0 {
		// One file in four loses next to nothing and one in four next to
		// everything; otherwise long runs would never survive a crash.
		kept := [...]float64{0.02, 0.33, 0.66, 0.98}[rng.IntN(4)]
		for _, m := range f.unsynced {
			f.survive(m, kept, rng)
		}
	}
	f.unsynced, f.unlinked = nil, false
	f.now = f.disk.clone()
}

// survive puts a mutation on the platter with that probability. One that is
// not kept is lost or, half of the time if it is a write, torn.
func (f *file) survive(m mutation, kept float64, rng *rand.Rand) {
	switch {
	case rng.Float64() < kept:
		m.apply(&f.disk)
	case m.data != nil && rng.IntN(2) == 0:
		f.tear(m, rng)
	}
}

// tear puts some sectors of a write on the platter. The file's new length may
// get there without the last bytes, which are then zeros.
func (f *file) tear(m mutation, rng *rand.Rand) {
	end := m.off + int64(len(m.data))
	for at := m.off; at < end; {
		next := min(end, (at/sectorSize+1)*sectorSize)
		if rng.IntN(2) == 0 {
			f.disk.write(m.data[at-m.off:next-m.off], at)
		}
		at = next
	}
	if end > f.disk.bytes.Size() && rng.IntN(2) == 0 {
		f.disk.truncate(end)
	}
}
