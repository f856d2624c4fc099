package diskqueue

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"qmq/internal/crc32c"
	"qmq/internal/vfs"
	"qmq/message"
)

// The index file of a segment, <base:016x>.idx, is written once the segment is
// full, or its log closed, and its records are synced. It says that the
// segment need not be scanned. It can be rebuilt from the segment at any time.
// Little-endian:
//
//	 0       4         8      12        16     24     32
//	┌───────┬─────────┬──────┬─────────┬──────┬──────┬───────────┬───────────┬───────────┐
//	│ magic │ version │ salt │ crc     │ end  │ size │ 3 counts  │ entries   │ delayed   │ …
//	│ QIDX  │ u32 = 1 │ u32  │ u32     │ u64  │ u64  │ u32 each  │ 8 B each  │ 16 B each │
//	└───────┴─────────┴──────┴─────────┴──────┴──────┴───────────┴───────────┴───────────┘
//
// followed by the damaged stretches (32 B each: from, to, offset, resume). The
// counts are those of entries, delayed records and damaged stretches. The CRC
// covers everything after itself. That of a carry segment has version 2; its
// entries are the runs of consecutive numbers, 16 B each; where a message expires the
// version is higher by 2, and each delayed or expiring record takes 24 B, with its time of
// expiry (ms, 0: never) behind that of its delivery (0: at once):
//
//	┌────────┬───────┬────────┐
//	│ number │ count │ offset │
//	│ u64    │ u32   │ u32    │
//	└────────┴───────┴────────┘
const (
	indexMagic      = "QIDX"
	indexVersion    = 1
	carryIndex      = 2 // version of a carry segment's
	expiringIndex   = 2 // added to the version where a message expires
	indexHeaderSize = 44
	indexCRCStart   = 16
)

var errBadIndex = errors.New("index does not match its segment")

// encodeIndex draws the index of a segment whose fields do not change any more.
func encodeIndex(s *segment, pages [][]message.Mark) []byte {
	count, expires := 0, false
	for _, page := range pages {
		count += len(page)
		expires = expires || slices.ContainsFunc(page, func(m message.Mark) bool { return m.ExpireAt != 0 })
	}
	b := make([]byte, indexHeaderSize, indexHeaderSize+8*len(s.index)+16*len(s.runs)+24*count+32*len(s.damaged))
	copy(b, indexMagic)
	version := uint32(indexVersion)
	if s.carried {
		version = carryIndex
	}
	if expires {
		version += expiringIndex
	}
	binary.LittleEndian.PutUint32(b[4:], version)
	binary.LittleEndian.PutUint32(b[8:], s.salt)
	binary.LittleEndian.PutUint64(b[16:], s.end)
	binary.LittleEndian.PutUint64(b[24:], uint64(s.size))
	binary.LittleEndian.PutUint32(b[32:], uint32(len(s.index)+len(s.runs))) // there are only ones or the others
	binary.LittleEndian.PutUint32(b[36:], uint32(count))
	binary.LittleEndian.PutUint32(b[40:], uint32(len(s.damaged)))
	for _, e := range s.index {
		b = binary.LittleEndian.AppendUint32(b, e.rel)
		b = binary.LittleEndian.AppendUint32(b, e.offset)
	}
	for _, r := range s.runs {
		b = binary.LittleEndian.AppendUint64(b, r.seq)
		b = binary.LittleEndian.AppendUint32(b, r.count)
		b = binary.LittleEndian.AppendUint32(b, r.offset)
	}
	for _, page := range pages {
		for _, m := range page {
			b = binary.LittleEndian.AppendUint64(b, m.Seq)
			b = binary.LittleEndian.AppendUint64(b, uint64(m.DeliverAt))
			if expires {
				b = binary.LittleEndian.AppendUint64(b, uint64(m.ExpireAt))
			}
		}
	}
	for _, d := range s.damaged {
		b = binary.LittleEndian.AppendUint64(b, d.from)
		b = binary.LittleEndian.AppendUint64(b, d.to)
		b = binary.LittleEndian.AppendUint64(b, uint64(d.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(d.resume))
	}
	binary.LittleEndian.PutUint32(b[12:], crc32c.Sum(b[indexCRCStart:]))
	return b
}

// decodedIndex is what an index file says.
type decodedIndex struct {
	salt    uint32
	end     uint64
	size    int64
	index   []indexEntry
	runs    []run // of a carry segment, in the place of index
	marks   []message.Mark
	damaged []damage
}

// indexSize is the size that the header of an index file asks for; ok is false
// when it is none.
func indexSize(head []byte) (size int64, ok bool) {
	if len(head) < indexHeaderSize || string(head[:4]) != indexMagic {
		return 0, false
	}
	entries := 8 * int64(binary.LittleEndian.Uint32(head[32:]))
	version := binary.LittleEndian.Uint32(head[4:])
	if version < indexVersion || version > carryIndex+expiringIndex {
		return 0, false
	}
	carried, mark := ofVersion(version)
	if carried {
		entries *= 2
	}
	marks := int64(binary.LittleEndian.Uint32(head[36:]))
	damaged := int64(binary.LittleEndian.Uint32(head[40:]))
	return indexHeaderSize + entries + mark*marks + 32*damaged, true
}

// ofVersion says whether an index is of a carry segment, and how many bytes a mark takes
// in it.
func ofVersion(version uint32) (carried bool, mark int64) {
	if version > expiringIndex {
		return version-expiringIndex == carryIndex, 24
	}
	return version == carryIndex, 16
}

// decodeIndex reads the bytes of the index file of the segment at base.
func decodeIndex(b []byte, base uint64) (decodedIndex, error) {
	size, ok := indexSize(b)
	if !ok || size != int64(len(b)) || crc32c.Sum(b[indexCRCStart:]) != binary.LittleEndian.Uint32(b[12:]) {
		return decodedIndex{}, errBadIndex
	}
	d := decodedIndex{
		salt:    binary.LittleEndian.Uint32(b[8:]),
		end:     binary.LittleEndian.Uint64(b[16:]),
		size:    int64(binary.LittleEndian.Uint64(b[24:])),
		marks:   make([]message.Mark, binary.LittleEndian.Uint32(b[36:])),
		damaged: make([]damage, binary.LittleEndian.Uint32(b[40:])),
	}
	entries := binary.LittleEndian.Uint32(b[32:])
	carried, mark := ofVersion(binary.LittleEndian.Uint32(b[4:]))
	if b = b[indexHeaderSize:]; carried {
		d.runs = make([]run, entries)
	} else {
		d.index = make([]indexEntry, entries)
	}
	for i := range d.index {
		d.index[i] = indexEntry{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		b = b[8:]
	}
	for i := range d.runs {
		d.runs[i] = run{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])}
		b = b[16:]
	}
	for i := range d.marks {
		d.marks[i] = message.Mark{
			Seq:       binary.LittleEndian.Uint64(b),
			DeliverAt: int64(binary.LittleEndian.Uint64(b[8:])),
		}
		if mark == 24 {
			d.marks[i].ExpireAt = int64(binary.LittleEndian.Uint64(b[16:]))
		}
		b = b[mark:]
	}
	for i := range d.damaged {
		d.damaged[i] = damage{
			from:   binary.LittleEndian.Uint64(b),
			to:     binary.LittleEndian.Uint64(b[8:]),
			offset: int64(binary.LittleEndian.Uint64(b[16:])),
			resume: int64(binary.LittleEndian.Uint64(b[24:])),
		}
		b = b[32:]
	}
	// The checksum does not cover the version: one that says that messages expire is told by them.
	expires := slices.ContainsFunc(d.marks, func(m message.Mark) bool { return m.ExpireAt != 0 })
	if !d.fits(base) || expires != (mark == 24) {
		return decodedIndex{}, errBadIndex
	}
	return d, nil
}

// fits checks that everything lies within a segment that starts at base, so
// that nobody who uses it has to.
func (d *decodedIndex) fits(base uint64) bool {
	if d.end < base || d.end > message.MaxSeq || d.size < headerSize || d.size > math.MaxUint32 {
		return false
	}
	for i, e := range d.index {
		if base+uint64(e.rel) >= d.end || e.offset < headerSize || int64(e.offset) >= d.size ||
			i > 0 && (e.rel <= d.index[i-1].rel || e.offset <= d.index[i-1].offset) {
			return false
		}
	}
	for i, r := range d.runs {
		if r.count == 0 || r.seq < base || r.end() > d.end || r.offset < headerSize || int64(r.offset) >= d.size ||
			i > 0 && (r.seq < d.runs[i-1].end() || r.offset <= d.runs[i-1].offset) {
			return false
		}
	}
	for i, m := range d.marks {
		if m.Seq < base || m.Seq >= d.end || i > 0 && m.Seq <= d.marks[i-1].Seq {
			return false
		}
	}
	for _, x := range d.damaged {
		if x.from < base || x.from >= x.to || x.to > d.end ||
			x.offset < headerSize || x.offset > x.resume || x.resume > d.size {
			return false
		}
	}
	return true
}

// segmentVersion is the version of the segment, by where its records start.
func (d *decodedIndex) segmentVersion() uint32 {
	if d.runs != nil {
		return carryVersion
	}
	first := d.size
	if len(d.index) > 0 {
		first = int64(d.index[0].offset)
	}
	for _, x := range d.damaged {
		first = min(first, x.offset)
	}
	if first < segmentHead {
		return 1
	}
	return 2
}

// held is how many records a carry segment held when its index was written.
func (d *decodedIndex) held() uint32 { return (&layout{runs: d.runs}).held() }

// readIndex reads the index file of a segment. It takes no more memory than
// the file is long.
func (l *Log) readIndex(s *segment) (decodedIndex, error) {
	f, err := l.shared.fs.Open(s.indexPath())
	if err != nil {
		return decodedIndex{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return decodedIndex{}, err
	}
	head := make([]byte, indexHeaderSize)
	if _, err := readFull(f, head, 0); err != nil {
		return decodedIndex{}, err
	}
	if want, ok := indexSize(head); !ok || want != size {
		return decodedIndex{}, errBadIndex
	}
	b := make([]byte, size)
	if _, err := readFull(f, b, 0); err != nil {
		return decodedIndex{}, err
	}
	return decodeIndex(b, s.base)
}

// writeIndex writes the index file of a segment, replacing one that is there.
// It need not be synced: one that is missing or torn is rebuilt by a scan.
func writeIndex(fs vfs.FS, path string, b []byte) error {
	if err := fs.Remove(path); err != nil && !isNotExist(err) {
		return err
	}
	f, err := fs.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		fs.Remove(path)
	}
	return err
}
