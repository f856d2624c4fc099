// Package dedup knows which ids came lately: a table of 128-bit ids with the time of
// each, bounded by a window and a number, out of which the oldest goes. It decides
// nothing by itself, reads no clock, does no I/O and has no goroutine. Where the same is
// added in the same order, tables are the same, wherever they are.
package dedup

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"time"
)

// ID is what is known again: bytes that are as good as random.
type ID = [16]byte

// Bounds are how long and how many ids are known.
type Bounds struct {
	Window time.Duration
	Max    int // 1 to MaxIDs
}

// MaxIDs is how many ids a table holds at most.
const MaxIDs = 1<<26 - 2

// Unbounded keeps all that a table can hold.
var Unbounded = Bounds{Window: math.MaxInt64, Max: MaxIDs}

// BytesPerID is how much memory an id takes at most, where there are some thousands.
const BytesPerID = 40

// chunkLen is how many entries are allocated together.
const chunkLen = 256

// Entry is an id and when it came.
type Entry struct {
	ID ID
	At int64 // ns since 1970
}

// chunk is entries in the order in which they came. What is written is never changed:
// who holds a Span reads it without a lock.
type chunk [chunkLen]Entry

// Table is ids in the order in which they came, and an index of them:
//
//	chunks   [ oldest … ] [ … ] [ … newest ]     24 B an entry
//	index    open addressing, linear probing: 26 bits of an entry's place + 1, and 6 of its
//	         hash, or 0; at least 5/16 full, so at most 12.8 B an entry
//
// A place is how many entries came before. A Table belongs to one goroutine at a time.
type Table struct {
	chunks []*chunk
	first  uint64 // place of the oldest entry that is left
	end    uint64 // place of the next
	index  []uint32
	used   int // of the index
	seed   maphash.Seed

	evicted uint64
}

// New returns an empty table.
func New() *Table { return &Table{seed: maphash.MakeSeed()} }

// minIndex is how long the index is at least: a power of two, as any length of it.
const minIndex = 16

// Len is how many ids are held; some of them may be older than the window by now.
func (t *Table) Len() int { return int(t.end - t.first) }

// Bytes is about how much memory they take.
func (t *Table) Bytes() int64 {
	return int64(len(t.chunks))*(chunkLen*24+8) + int64(len(t.index))*4
}

// Evicted is how many ids went before their time, since there were Max.
func (t *Table) Evicted() uint64 { return t.evicted }

// Oldest is when the oldest id came; ok is false where there is none.
func (t *Table) Oldest() (at int64, ok bool) {
	if t.first == t.end {
		return 0, false
	}
	return t.entry(t.first).At, true
}

// Newest is when the id came that was added last; ok is false where there is none.
func (t *Table) Newest() (at int64, ok bool) {
	if t.first == t.end {
		return 0, false
	}
	return t.entry(t.end - 1).At, true
}

// Seen says whether an id that comes at a time, ns since 1970, came within the window
// before. What came in the future, by a clock that was set back, counts.
func (t *Table) Seen(id ID, at int64, window time.Duration) bool {
	slot, found := t.find(id)
	return found && within(t.entry(t.place(t.index[slot])).At, at, window)
}

// within says that what came first was at most a window before what came then.
func within(first, then int64, window time.Duration) bool {
	return then-first < int64(window)
}

// Add adds an id, which from now on came last at a time. What is older than the window by
// then goes, and so does the oldest where there are too many.
func (t *Table) Add(id ID, at int64, b Bounds) {
	t.Expire(at, b.Window)
	for most := min(max(1, b.Max), MaxIDs); t.Len() >= most; {
		t.drop()
		t.evicted++
	}
	if (t.used+1)*8 > len(t.index)*5 {
		t.resize(max(minIndex, 2*len(t.index)))
	}
	slot, found := t.find(id)
	if !found {
		t.used++
	}
	t.index[slot] = mark(t.end) | tag(t.hash(id))
	t.push(Entry{id, at})
}

// Expire drops what is older than the window at a time.
func (t *Table) Expire(at int64, window time.Duration) {
	for t.first < t.end && !within(t.entry(t.first).At, at, window) {
		t.drop()
	}
}

// Limit drops what is older than the window at a time, and the oldest where there are too
// many.
func (t *Table) Limit(at int64, b Bounds) {
	t.Expire(at, b.Window)
	for most := min(max(1, b.Max), MaxIDs); t.Len() > most; {
		t.drop()
		t.evicted++
	}
}

// push puts an entry behind the others.
func (t *Table) push(e Entry) {
	if base := t.base(); t.end == base+uint64(len(t.chunks))*chunkLen {
		t.chunks = append(t.chunks, new(chunk))
	}
	*t.at(t.end) = e
	t.end++
}

// drop drops the oldest entry.
func (t *Table) drop() {
	id := t.entry(t.first).ID
	if slot, found := t.find(id); found && t.place(t.index[slot]) == t.first { // or it came again
		t.remove(slot)
	}
	t.first++
	if t.first%chunkLen == 0 {
		t.chunks[0] = nil
		t.chunks = t.chunks[1:]
	}
	if len(t.index) > minIndex && t.used*8 < len(t.index) {
		t.resize(len(t.index) / 2)
	}
}

// base is the place that the first chunk begins with.
func (t *Table) base() uint64 { return t.first - t.first%chunkLen }

func (t *Table) at(place uint64) *Entry {
	i := place - t.base()
	return &t.chunks[i/chunkLen][i%chunkLen]
}

func (t *Table) entry(place uint64) Entry { return *t.at(place) }

const (
	placeBits = 26
	// places is how many places have marks of their own.
	places = 1<<placeBits - 1
)

// mark is what stands in the index for a place, beside its tag.
func mark(place uint64) uint32 { return uint32(place%places) + 1 }

// tag is what stands in the index of a hash: most others need not be looked at.
func tag(hash uint64) uint32 { return uint32(hash>>32) &^ places }

// place is which one a mark stands for: fewer than there are marks are held at a time.
func (t *Table) place(m uint32) uint64 {
	return t.first + (uint64(m&places-1)+places-t.first%places)%places
}

// find is where in the index an id is, or would be.
func (t *Table) find(id ID) (slot int, found bool) {
	if len(t.index) == 0 {
		return 0, false
	}
	hash := t.hash(id)
	mask := len(t.index) - 1
	for slot = t.home(hash); t.index[slot] != 0; slot = (slot + 1) & mask {
		if m := t.index[slot]; m&^places == tag(hash) && t.at(t.place(m)).ID == id {
			return slot, true
		}
	}
	return slot, false
}

// hash is what tells where an id stands. Publishers choose ids, so that it must not be known
// to them.
func (t *Table) hash(id ID) uint64 { return maphash.Bytes(t.seed, id[:]) }

// home is where in the index an id of a hash is looked for first.
func (t *Table) home(hash uint64) int { return int(hash & uint64(len(t.index)-1)) }

// remove empties a slot of the index, and closes the gap.
func (t *Table) remove(slot int) {
	mask := len(t.index) - 1
	t.used--
	for next := slot; ; {
		t.index[slot] = 0
		for {
			next = (next + 1) & mask
			if t.index[next] == 0 {
				return
			}
			home := t.home(t.hash(t.at(t.place(t.index[next])).ID))
			if (next-home)&mask >= (next-slot)&mask { // it may stand in the gap
				break
			}
		}
		t.index[slot] = t.index[next]
		slot = next
	}
}

// resize makes an index of another length.
func (t *Table) resize(n int) {
	old := t.index
	t.index = make([]uint32, n)
	for _, m := range old {
		if m == 0 {
			continue
		}
		slot, _ := t.find(t.at(t.place(m)).ID)
		t.index[slot] = m
	}
}

// Span is the entries that a table had at one moment from a place on. It stays as it is,
// and may be read while the table is changed.
type Span struct {
	chunks   []*chunk
	from, to uint64
	base     uint64
}

// Span is what is held from a place on.
func (t *Table) Span(from uint64) Span {
	from = max(from, t.first)
	if from >= t.end {
		return Span{from: t.end, to: t.end}
	}
	skip := (from - t.base()) / chunkLen
	return Span{chunks: append([]*chunk(nil), t.chunks[skip:]...), from: from, to: t.end, base: t.base() + skip*chunkLen}
}

// First is the place of the oldest entry.
func (t *Table) First() uint64 { return t.first }

// End is the place of the next entry.
func (t *Table) End() uint64 { return t.end }

// Len is how many entries there are.
func (s Span) Len() int { return int(s.to - s.from) }

// End is one past the last place.
func (s Span) End() uint64 { return s.to }

// Place is that of the i-th entry.
func (s Span) Place(i int) uint64 { return s.from + uint64(i) }

// At is the i-th entry.
func (s Span) At(i int) Entry {
	at := s.from + uint64(i) - s.base
	return s.chunks[at/chunkLen][at%chunkLen]
}

// EntrySize is how many bytes an entry is long where it is written, little-endian:
//
//	0         16       24
//	| id      | at i64 |
const EntrySize = 24

// Append appends the n entries from the i-th on, with their times by a clock that is ahead
// by so many ns.
func (s Span) Append(dst []byte, i, n int, ahead int64) []byte {
	for ; n > 0; i, n = i+1, n-1 {
		e := s.At(i)
		dst = append(dst, e.ID[:]...)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.At+ahead))
	}
	return dst
}

// Decode is the entry that b begins with, EntrySize bytes at least.
func Decode(b []byte) (e Entry) {
	copy(e.ID[:], b)
	e.At = int64(binary.LittleEndian.Uint64(b[16:]))
	return e
}
