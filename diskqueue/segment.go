package diskqueue

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"

	"qmq/internal/seqset"
	"qmq/message"
)

// A segment is a file of records with consecutive sequence numbers, named by
// the first: <base:016x>.seg. It starts with a header, see header.go.
const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
)

// indexStride is how many bytes of records lie, at least, between two entries
// of the sparse index.
const indexStride = 16 << 10

// indexEntry says where the record with sequence number base+rel starts.
type indexEntry struct {
	rel    uint32
	offset uint32
}

// damage is a stretch of a segment that cannot be read: the records from..to
// (exclusive) between two offsets.
type damage struct {
	from, to       uint64
	offset, resume int64
}

func (d damage) numbers() seqset.Range { return seqset.Range{From: d.from, To: d.to} }

// layout is where the records of a segment are.
type layout struct {
	base    uint64       // the first number
	start   int64        // offset of the first record
	end     uint64       // one past the last committed record
	size    int64        // bytes of header and committed records
	carried bool         // a carry segment: see carry.go
	index   []indexEntry // ascending; the first is the first record
	runs    []run        // of a carry segment, in the place of index; ascending
	times                // along index, or runs
	damaged []damage     // ascending; what is in a list does not change
}

// segment is one file of a log. Its fields are guarded by Log.mu, but where they
// say otherwise.
type segment struct {
	layout        // base, start and carried never change
	created int64 // wall ns; 0: not known; never changes

	// fixed is the layout of a segment that nothing is appended to; nil while
	// something is. What it points to never changes: Log.mu is held to put another
	// into its place, which is rare, and nothing to read it.
	fixed atomic.Pointer[layout]

	// These never change once the segment is in the log.
	salt      uint32
	prevEnd   uint64 // one past the last record before base, as far as is known
	prevKnown bool   // prevEnd is that of the header
	recycled  bool   // the file had another use before, or may have
	path      string // of the .seg file
	count     uint32 // of a carry segment's records, as its header says

	// marks lists those of the messages that have one, page by page. What is in a
	// page does not change, more is only appended.
	marks [][]message.Mark
	// only lists those of the messages that are for one channel. What is in it does not
	// change, more is only appended.
	only []message.Only
	// listsOnDisk says that marks and only are not held here but in the .idx file.
	listsOnDisk bool
	failures    []failure // what cannot be read now

	recovered   bool  // from before Open: Rewind leaves it alone
	rolled      bool  // never appended to again
	syncedSize  int64 // bytes known to survive a crash of the machine
	syncedEnd   uint64
	indexed     bool // the .idx file is written, or is not to be
	unsyncable  bool // an fsync failed: nothing in it is ever called synced
	nameDurable bool // the directory entry is synced; the syncer's alone
	syncing     bool // Sync is at it

	// What follows is guarded by fileCache.mu.
	handle    *fileHandle // nil while the file is not open
	opening   *opening    // nil while it is not being opened
	forgotten bool        // never opened again
}

// fix publishes the layout of a segment that nothing is appended to any more, or
// a change of it. The caller holds Log.mu, or nobody else knows the segment yet.
func (s *segment) fix() {
	now := s.layout
	s.fixed.Store(&now)
}

// newSegment is a segment without records.
func newSegment(h *segmentHeader, path string) *segment {
	s := &segment{
		layout:  layout{base: h.base, start: h.start(), end: h.base, size: h.start()},
		created: h.created,
		salt:    h.salt, prevEnd: h.prevEnd, prevKnown: h.prevKnown, recycled: h.recycled, path: path,
	}
	if h.version == carryVersion {
		s.carried, s.end, s.count = true, h.end, h.count
	}
	return s
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", base, segmentSuffix))
}

// indexPath is named by the base, also where the segment itself is not.
func (s *segment) indexPath() string {
	return filepath.Join(filepath.Dir(s.path), fmt.Sprintf("%016x%s", s.base, indexSuffix))
}

func (s *layout) numbers() seqset.Range { return seqset.Range{From: s.base, To: s.end} }

// records is how many bytes of records are in the segment.
func (s *layout) records() int64 { return s.size - s.start }

// covers is the range of numbers that this segment accounts for: its records,
// and those before it that were never given to any.
func (s *segment) covers() seqset.Range { return seqset.Range{From: min(s.prevEnd, s.base), To: s.end} }

// parseSegmentName reads the base from a segment's file name. It takes only
// the form that segmentPath gives, so that no two names mean the same base.
func parseSegmentName(name string) (base uint64, ok bool) { return parseName(name, segmentSuffix) }

func parseName(name, suffix string) (base uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	base, err := strconv.ParseUint(hex, 16, 64)
	return base, err == nil && base <= message.MaxSeq && fmt.Sprintf("%016x", base) == hex
}

// entrySeq is the number with which the i-th entry of the index, or the i-th run, begins.
func (s *layout) entrySeq(i int) uint64 {
	switch {
	case i < len(s.index):
		return s.base + uint64(s.index[i].rel)
	case i < len(s.runs):
		return s.runs[i].seq
	}
	return s.base
}

// survives is one past the last record up to which all survive a crash of the
// machine, as far as this segment goes.
func (s *segment) survives() uint64 {
	if s.syncedEnd > s.base {
		return s.syncedEnd
	}
	return s.covers().From // the numbers between were skipped, and nobody but this file may say so
}

// cut ends the segment at its last synced record.
func (s *segment) cut() {
	s.rolled = true
	s.size, s.end = max(s.syncedSize, s.start), max(s.base, s.syncedEnd)
	for len(s.index) > 0 && int64(s.index[len(s.index)-1].offset) >= s.size {
		s.index = s.index[:len(s.index)-1]
	}
	s.times = s.upTo(len(s.index)) // of the last entry it is no lower, as it may have been cut
	s.only = s.only[:sort.Search(len(s.only), func(i int) bool { return s.only[i].Seq >= s.end })]
	for n := len(s.marks) - 1; n >= 0; n-- {
		page := s.marks[n]
		keep := sort.Search(len(page), func(i int) bool { return page[i].Seq >= s.end })
		if s.marks[n] = page[:keep]; keep > 0 {
			break
		}
		s.marks = s.marks[:n]
	}
	s.damaged = slices.DeleteFunc(slices.Clone(s.damaged), func(d damage) bool { return d.from >= s.end })
	for i := range s.damaged {
		d := &s.damaged[i]
		d.to, d.resume = min(d.to, s.end), min(d.resume, s.size)
	}
	s.fix()
}

// locate finds the nearest known start of a record at or before seq, which is
// in no damaged stretch, and how far one may read from there: what is within a
// damaged stretch does not count even if it can be read, as the rest of an MPUB.
func (s *layout) locate(seq uint64) place {
	p, ok := s.locateRun(seq)
	if !ok {
		p = place{seq: s.base, offset: s.start, limit: s.size, end: s.end}
	}
	i := sort.Search(len(s.index), func(i int) bool { return s.base+uint64(s.index[i].rel) > seq })
	if i > 0 {
		p.seq, p.offset = s.base+uint64(s.index[i-1].rel), int64(s.index[i-1].offset)
	}
	for _, d := range s.damaged {
		switch {
		case d.to <= seq && d.to >= p.seq:
			p.seq, p.offset = d.to, d.resume
		case d.from > seq && d.from < p.end:
			p.limit, p.end = d.offset, d.from
		}
	}
	return p
}

// damageAt returns the damaged stretch that holds seq.
func (s *layout) damageAt(seq uint64) (damage, bool) {
	for _, d := range s.damaged {
		if d.from <= seq && seq < d.to {
			return d, true
		}
	}
	return damage{}, false
}
