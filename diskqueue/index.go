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
//	 0       4         8      12    16     24     32        36        40        44         48
//	┌───────┬─────────┬──────┬─────┬──────┬──────┬─────────┬─────────┬─────────┬──────────┐
//	│ magic │ version │ salt │ crc │ end  │ size │ entries │ delayed │ damaged │ only     │
//	│ QIDX  │ u32     │ u32  │ u32 │ u64  │ u64  │ u32     │ u32     │ u32     │ u32, in B│
//	└───────┴─────────┴──────┴─────┴──────┴──────┴─────────┴─────────┴─────────┴──────────┘
//
// followed by the entries, the delayed records, the damaged stretches (from, to,
// offset, resume, 8 B each) and the records that are for one channel:
//
//	entry                       of a carry segment: a run of consecutive numbers
//	┌────────┬────────┬────────┐┌────────┬───────┬────────┬────────┐
//	│ number │ offset │ latest ││ number │ count │ offset │ latest │
//	│ − base │ u32    │ i64    ││ u64    │ u32   │ u32    │ i64    │
//	└────────┴────────┴────────┘└────────┴───────┴────────┴────────┘
//	delayed                     only
//	┌────────┬────────────┐     ┌────────┬─────────┬──────┐
//	│ number │ deliver-at │     │ number │ size u8 │ name │
//	│ u64    │ i64 ms     │     │ u64    │         │      │
//	└────────┴────────────┘     └────────┴─────────┴──────┘
//
// Latest is when the latest of all records up to the next entry was published, ns
// since 1970; all are 0 where that is not known. The version is 5, that of a carry
// segment 6; where a message expires it is higher by 2, and each delayed or expiring
// record takes 24 B, with its time of expiry (ms, 0: never) behind that of its delivery
// (0: at once). The CRC begins with the version and covers everything after itself.
//
// Versions 1 to 4, each 4 below the one that says the same, have neither latest nor
// only; their header has 44 B and their CRC begins with 0.
const (
	indexMagic      = "QIDX"
	plainIndex      = 1
	carryIndex      = 2 // in the place of plainIndex
	expiringIndex   = 2 // added where a message expires
	timedIndex      = 4 // added where times are told, and who a message is for
	indexHeaderSize = 44
	indexCRCStart   = 16
)

var errBadIndex = errors.New("index does not match its segment")

// indexForm is what a version says of an index.
type indexForm struct{ carried, expires, timed bool }

// formOf is the form of a version; ok is false when it is none.
func formOf(version uint32) (f indexForm, ok bool) {
	v := version - plainIndex
	f = indexForm{carried: v&1 != 0, expires: v&2 != 0, timed: v&4 != 0}
	return f, v < 8
}

func (f indexForm) version() (v uint32) {
	if v = plainIndex; f.carried {
		v = carryIndex
	}
	if f.expires {
		v += expiringIndex
	}
	if f.timed {
		v += timedIndex
	}
	return v
}

// header, entry and mark are how many bytes each takes.
func (f indexForm) header() int64 {
	if f.timed {
		return indexHeaderSize + 4
	}
	return indexHeaderSize
}

func (f indexForm) entry() (n int64) {
	if n = 8; f.carried {
		n = 16
	}
	if f.timed {
		n += 8
	}
	return n
}

func (f indexForm) mark() int64 {
	if f.expires {
		return 24
	}
	return 16
}

// indexSum is the CRC of the bytes of an index.
func indexSum(b []byte) uint32 {
	version := binary.LittleEndian.Uint32(b[4:])
	if version <= timedIndex {
		version = 0
	}
	return crc32c.Update(version, b[indexCRCStart:])
}

// sidelists are what an index lists beside where records are.
type sidelists struct {
	marks [][]message.Mark // in pages
	only  []message.Only
}

// encodeIndex draws the index of a segment whose fields do not change any more.
func encodeIndex(s *segment, lists sidelists) []byte {
	form := indexForm{carried: s.carried, timed: true}
	count := 0
	for _, page := range lists.marks {
		count += len(page)
		form.expires = form.expires || slices.ContainsFunc(page, func(m message.Mark) bool { return m.ExpireAt != 0 })
	}
	b := make([]byte, form.header(), int(form.header())+16*len(s.index)+24*len(s.runs)+24*count+32*len(s.damaged)+32*len(lists.only))
	copy(b, indexMagic)
	binary.LittleEndian.PutUint32(b[4:], form.version())
	binary.LittleEndian.PutUint32(b[8:], s.salt)
	binary.LittleEndian.PutUint64(b[16:], s.end)
	binary.LittleEndian.PutUint64(b[24:], uint64(s.size))
	binary.LittleEndian.PutUint32(b[32:], uint32(len(s.index)+len(s.runs))) // there are only ones or the others
	binary.LittleEndian.PutUint32(b[36:], uint32(count))
	binary.LittleEndian.PutUint32(b[40:], uint32(len(s.damaged)))
	for i, e := range s.index {
		b = binary.LittleEndian.AppendUint32(b, e.rel)
		b = binary.LittleEndian.AppendUint32(b, e.offset)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.latestAt(i)))
	}
	for i, r := range s.runs {
		b = binary.LittleEndian.AppendUint64(b, r.seq)
		b = binary.LittleEndian.AppendUint32(b, r.count)
		b = binary.LittleEndian.AppendUint32(b, r.offset)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.latestAt(i)))
	}
	for _, page := range lists.marks {
		for _, m := range page {
			b = binary.LittleEndian.AppendUint64(b, m.Seq)
			b = binary.LittleEndian.AppendUint64(b, uint64(m.DeliverAt))
			if form.expires {
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
	before := len(b)
	for _, o := range lists.only {
		b = binary.LittleEndian.AppendUint64(b, o.Seq)
		b = append(append(b, byte(len(o.Channel))), o.Channel...)
	}
	binary.LittleEndian.PutUint32(b[44:], uint32(len(b)-before))
	binary.LittleEndian.PutUint32(b[12:], indexSum(b))
	return b
}

// decodedIndex is what an index file says.
type decodedIndex struct {
	salt  uint32
	end   uint64
	size  int64
	index []indexEntry
	runs  []run // of a carry segment, in the place of index
	times
	marks   []message.Mark
	damaged []damage
	only    []message.Only
}

// indexSize is the size that the header of an index file asks for; ok is false
// when it is none.
func indexSize(head []byte) (size int64, ok bool) {
	if len(head) < indexHeaderSize || string(head[:4]) != indexMagic {
		return 0, false
	}
	form, ok := formOf(binary.LittleEndian.Uint32(head[4:]))
	if !ok || int64(len(head)) < form.header() {
		return 0, false
	}
	entries := int64(binary.LittleEndian.Uint32(head[32:]))
	marks := int64(binary.LittleEndian.Uint32(head[36:]))
	damaged := int64(binary.LittleEndian.Uint32(head[40:]))
	size = form.header() + form.entry()*entries + form.mark()*marks + 32*damaged
	if form.timed {
		size += int64(binary.LittleEndian.Uint32(head[44:]))
	}
	return size, true
}

// decodeIndex reads the bytes of the index file of the segment at base.
func decodeIndex(b []byte, base uint64) (decodedIndex, error) {
	size, ok := indexSize(b)
	if !ok || size != int64(len(b)) || indexSum(b) != binary.LittleEndian.Uint32(b[12:]) {
		return decodedIndex{}, errBadIndex
	}
	form, _ := formOf(binary.LittleEndian.Uint32(b[4:]))
	d := decodedIndex{
		salt:    binary.LittleEndian.Uint32(b[8:]),
		end:     binary.LittleEndian.Uint64(b[16:]),
		size:    int64(binary.LittleEndian.Uint64(b[24:])),
		marks:   make([]message.Mark, binary.LittleEndian.Uint32(b[36:])),
		damaged: make([]damage, binary.LittleEndian.Uint32(b[40:])),
	}
	entries := binary.LittleEndian.Uint32(b[32:])
	rest := d.takeEntries(b[form.header():], int(entries), form)
	rest = d.takeMarks(rest, form)
	for i := range d.damaged {
		d.damaged[i] = damage{
			from:   binary.LittleEndian.Uint64(rest),
			to:     binary.LittleEndian.Uint64(rest[8:]),
			offset: int64(binary.LittleEndian.Uint64(rest[16:])),
			resume: int64(binary.LittleEndian.Uint64(rest[24:])),
		}
		rest = rest[32:]
	}
	// Of old versions the checksum does not cover the version: one that says that messages
	// expire is told by them.
	expires := slices.ContainsFunc(d.marks, func(m message.Mark) bool { return m.ExpireAt != 0 })
	if !d.takeOnly(rest) || !d.fits(base) || expires != form.expires {
		return decodedIndex{}, errBadIndex
	}
	return d, nil
}

// takeEntries reads where records are, and when they were published.
func (d *decodedIndex) takeEntries(b []byte, n int, form indexForm) (rest []byte) {
	if form.carried {
		d.runs = make([]run, n)
	} else {
		d.index = make([]indexEntry, n)
	}
	for i := range n {
		if form.carried {
			d.runs[i] = run{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])}
			b = b[16:]
		} else {
			d.index[i] = indexEntry{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
			b = b[8:]
		}
		if form.timed {
			d.noteTime(i > 0, int64(binary.LittleEndian.Uint64(b)))
			b = b[8:]
		}
	}
	return b
}

func (d *decodedIndex) takeMarks(b []byte, form indexForm) (rest []byte) {
	for i := range d.marks {
		d.marks[i] = message.Mark{
			Seq:       binary.LittleEndian.Uint64(b),
			DeliverAt: int64(binary.LittleEndian.Uint64(b[8:])),
		}
		if form.expires {
			d.marks[i].ExpireAt = int64(binary.LittleEndian.Uint64(b[16:]))
		}
		b = b[form.mark():]
	}
	return b
}

// takeOnly reads which records are for one channel, to the end; false: they are malformed.
func (d *decodedIndex) takeOnly(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 9 || len(b) < 9+int(b[8]) {
			return false
		}
		name := b[9:][:b[8]]
		d.only = appendOnly(d.only, binary.LittleEndian.Uint64(b), name)
		b = b[9+len(name):]
	}
	return true
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
	for i, o := range d.only {
		if o.Seq < base || o.Seq >= d.end || i > 0 && o.Seq <= d.only[i-1].Seq {
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
	head := make([]byte, min(size, indexHeaderSize+4))
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
