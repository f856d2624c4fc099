package diskqueue

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"qmq/message"
)

// A segment is a file of records with consecutive sequence numbers, named by
// the first: <base:016x>.seg. It starts with a header of 64 bytes,
// little-endian:
//
//	 0       4         8             16     24     28          32        40         60     64
//	┌───────┬─────────┬─────────────┬──────┬──────┬───────────┬─────────┬──────────┬──────┐
//	│ magic │ version │ incarnation │ base │ salt │ reserved  │ created │ reserved │ crc  │
//	│ QSEG  │ u32 = 1 │ u64         │ u64  │ u32  │           │ i64 ns  │          │ u32  │
//	└───────┴─────────┴─────────────┴──────┴──────┴───────────┴─────────┴──────────┴──────┘
//
// The salt is random and new each time the file is put to use: records of a
// former use do not verify under it. crc is the CRC-32C of the 60 bytes before.
const (
	segmentHeaderSize = 64
	segmentMagic      = "QSEG"
	segmentVersion    = 1
	segmentSuffix     = ".seg"
	indexSuffix       = ".idx"
)

// indexStride is how many bytes of records lie, at least, between two entries
// of the sparse index.
const indexStride = 16 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type segmentHeader struct {
	incarnation uint64
	base        uint64
	salt        uint32
	created     int64
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[4:], segmentVersion)
	binary.LittleEndian.PutUint64(b[8:], h.incarnation)
	binary.LittleEndian.PutUint64(b[16:], h.base)
	binary.LittleEndian.PutUint32(b[24:], h.salt)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.created))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < segmentHeaderSize || string(b[:4]) != segmentMagic {
		return segmentHeader{}, fmt.Errorf("not a segment file")
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return segmentHeader{}, fmt.Errorf("segment header is damaged")
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != segmentVersion {
		return segmentHeader{}, fmt.Errorf("segment format %d is not known here (%d is)", v, segmentVersion)
	}
	return segmentHeader{
		incarnation: binary.LittleEndian.Uint64(b[8:]),
		base:        binary.LittleEndian.Uint64(b[16:]),
		salt:        binary.LittleEndian.Uint32(b[24:]),
		created:     int64(binary.LittleEndian.Uint64(b[32:])),
	}, nil
}

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

// segment is one file of a log. The fields below mu's comment in Log are
// guarded by Log.mu; base, salt and path never change.
type segment struct {
	base uint64
	salt uint32
	path string // of the .seg file

	end   uint64       // one past the last committed record
	size  int64        // bytes of header and committed records
	index []indexEntry // ascending; the first is the first record
	// delayed lists the deferred messages, page by page. What is in a page does
	// not change, more is only appended.
	delayed [][]message.Delayed
	// delayedOnDisk says that delayed is not held here but in the .idx file.
	delayedOnDisk bool
	damaged       []damage

	recovered   bool  // from before Open: Rewind leaves it alone
	rolled      bool  // never appended to again
	syncedSize  int64 // bytes known to survive a crash of the machine
	syncedEnd   uint64
	indexed     bool // the .idx file is written
	unsyncable  bool // an fsync failed: nothing in it is ever called synced
	nameDurable bool // the directory entry is synced
	pins        int  // readers and the syncer
	gone        bool // reclaimed

	// What follows is guarded by fileCache.mu.
	handle    *fileHandle // nil while the file is not open
	opening   *opening    // nil while it is not being opened
	forgotten bool        // never opened again
}

func segmentPath(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", base, segmentSuffix))
}

func (s *segment) indexPath() string {
	return strings.TrimSuffix(s.path, segmentSuffix) + indexSuffix
}

// parseSegmentName reads the base from a segment's file name. It takes only
// the form that segmentPath gives, so that no two names mean the same base.
func parseSegmentName(name string) (base uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	base, err := strconv.ParseUint(hex, 16, 64)
	return base, err == nil && base <= message.MaxSeq && filepath.Base(segmentPath("", base)) == name
}

// note adds the record at offset to the sparse index if it is due one.
func (s *segment) note(seq uint64, offset int64) {
	if n := len(s.index); n == 0 || offset-int64(s.index[n-1].offset) >= indexStride {
		s.index = append(s.index, indexEntry{rel: uint32(seq - s.base), offset: uint32(offset)})
	}
}

// cut ends the segment at its last synced record.
func (s *segment) cut() {
	s.rolled = true
	s.size, s.end = max(s.syncedSize, segmentHeaderSize), max(s.base, s.syncedEnd)
	for len(s.index) > 0 && int64(s.index[len(s.index)-1].offset) >= s.size {
		s.index = s.index[:len(s.index)-1]
	}
	for n := len(s.delayed) - 1; n >= 0; n-- {
		page := s.delayed[n]
		keep := sort.Search(len(page), func(i int) bool { return page[i].Seq >= s.end })
		if s.delayed[n] = page[:keep]; keep > 0 {
			break
		}
		s.delayed = s.delayed[:n]
	}
	s.damaged = slices.DeleteFunc(s.damaged, func(d damage) bool { return d.from >= s.end })
	for i := range s.damaged {
		d := &s.damaged[i]
		d.to, d.resume = min(d.to, s.end), min(d.resume, s.size)
	}
}

// locate finds the nearest known start of a record at or before seq, which is
// in no damaged stretch, and how far one may read from there: what is within a
// damaged stretch does not count even if it can be read, as the rest of an MPUB.
func (s *segment) locate(seq uint64) place {
	p := place{seq: s.base, offset: segmentHeaderSize, limit: s.size, end: s.end}
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
func (s *segment) damageAt(seq uint64) (damage, bool) {
	for _, d := range s.damaged {
		if d.from <= seq && seq < d.to {
			return d, true
		}
	}
	return damage{}, false
}
