package raftlog

import (
	"encoding/binary"

	"qmq/internal/crc32c"
)

// The records of a segment follow one another, each at a multiple of 8 bytes,
// little-endian:
//
//	 0        4       8        12     13      14         16    20      24
//	┌────────┬───────┬────────┬──────┬───────┬──────────┬─────┬───────┬─────────┬───────┐
//	│ length │ shard │ synced │ kind │ flags │ reserved │ sum │ check │ payload │ zeros │
//	│ u32    │ u32   │ u32    │ u8   │ u8    │          │ u32 │ u32   │         │ to 8  │
//	└────────┴───────┴────────┴──────┴───────┴──────────┴─────┴───────┴─────────┴───────┘
//
// length is that of the payload. synced is an offset in this segment: all before
// it was synced when the record was written. So a bad record before it is damage,
// and one behind it may be what power left of a write that nobody was told of.
// Flag 1 says that the next record belongs to the same update, which counts as a
// whole or not at all. sum is the CRC-32C of payload and zeros, check that of the 20
// bytes before it; both begin with salt xor offset, so that nothing left over from
// another use of the file, nor a copy of a record in somebody's message, can pass for
// a record of this place. Every write ends with a record header of zeros, which the
// next one writes over: a log that ends well ends there.
const (
	recordHeader = 24
	maxRecord    = 1 << 30 // bytes of payload
)

type kind uint8

const (
	kindBegin     kind = iota + 1 // a segment begins
	kindState                     // what a shard is when a segment begins
	kindEntry                     // an entry of a shard's log
	kindHardState                 // its term, vote and commit
	kindSnapshot                  // its log restarts
	kindOpened                    // a process took the log into use
	kindClosed                    // and closed it, after it had synced all
	lastKind      = kindClosed
)

const flagMore = 1 // the update goes on

// record is a decoded record.
type record struct {
	kind    kind
	more    bool
	shard   uint32
	synced  uint32
	offset  int64
	size    int64 // on the disk
	payload []byte
}

func padded(n int) int { return (n + 7) &^ 7 }

// recordSize is what a payload of n bytes takes on the disk.
func recordSize(n int) int64 { return int64(recordHeader + padded(n)) }

// encoder appends the records of one write. Long data stays where it is.
type encoder struct {
	buf    []byte
	salt   uint32
	start  int64 // offset of buf[0]
	synced int64

	last   int     // where the last record begins in buf
	at     int64   // its offset
	long   []piece // data that is written between what is in buf
	absent int     // bytes of all of it

	sum func(shard uint32, data []byte) (sum uint32, ok bool) // see Options.Sum
}

// piece is data that comes behind so many bytes of the buffer.
type piece struct {
	behind int
	data   []byte
	sum    uint32 // of data, if that is known
	known  bool
}

// minLong is how long data is at least that is not copied together with the rest.
const minLong = 16 << 10

func (e *encoder) offset() int64 { return e.start + int64(e.bytes()) }

// bytes is how many are to be written.
func (e *encoder) bytes() int { return len(e.buf) + e.absent }

// begin appends the header of a record, whose payload is appended next.
func (e *encoder) begin(k kind, shard uint32) {
	e.last, e.at = len(e.buf), e.offset()
	e.buf = append(e.buf, make([]byte, recordHeader)...)
	h := e.buf[e.last:]
	binary.LittleEndian.PutUint32(h[4:], shard)
	binary.LittleEndian.PutUint32(h[8:], uint32(e.synced))
	h[12], h[13] = byte(k), flagMore
}

// data appends the last of a payload.
func (e *encoder) data(b []byte) {
	if len(b) < minLong {
		e.buf = append(e.buf, b...)
		return
	}
	e.long = append(e.long, piece{behind: len(e.buf), data: b})
	e.absent += len(b)
}

// end finishes the record that was begun.
func (e *encoder) end() {
	head := e.buf[e.last+recordHeader:]
	n, sum := len(head), crc32c.Update(e.seed(), head)
	if long := e.longOfLast(); long != nil {
		n += len(long.data)
		sum = long.addTo(sum)
	}
	e.buf = append(e.buf, make([]byte, padded(n)-n)...)
	sum = crc32c.Update(sum, e.buf[len(e.buf)-(padded(n)-n):])
	h := e.buf[e.last:]
	binary.LittleEndian.PutUint32(h, uint32(n))
	binary.LittleEndian.PutUint32(h[16:], sum)
	binary.LittleEndian.PutUint32(h[20:], crc32c.Update(e.seed(), h[:20]))
}

// longOfLast is what of the last record is not in buf; nil: all of it is.
func (e *encoder) longOfLast() *piece {
	if n := len(e.long); n > 0 && e.long[n-1].behind > e.last {
		return &e.long[n-1]
	}
	return nil
}

// addTo adds the piece to a checksum.
func (p *piece) addTo(sum uint32) uint32 {
	if p.known {
		return crc32c.Join(sum, p.sum, crc32c.Power(len(p.data)))
	}
	return crc32c.Update(sum, p.data)
}

// endUpdate makes the last record the end of its update.
func (e *encoder) endUpdate() {
	h := e.buf[e.last:]
	h[13] &^= flagMore
	binary.LittleEndian.PutUint32(h[20:], crc32c.Update(e.seed(), h[:20]))
}

// pieces are what is to be written, in order.
func (e *encoder) pieces() (all [][]byte) {
	from := 0
	for _, p := range e.long {
		all = append(all, e.buf[from:p.behind], p.data)
		from = p.behind
	}
	return append(all, e.buf[from:])
}

func (e *encoder) seed() uint32 { return seedOf(e.salt, e.at) }

func seedOf(salt uint32, offset int64) uint32 { return salt ^ uint32(offset) }

// decodeRecordHeader is what b, which stands at offset, says of a record that
// begins there; ok says that it is the header of one.
func decodeRecordHeader(b []byte, salt uint32, offset int64) (r record, ok bool) {
	if len(b) < recordHeader {
		return r, false
	}
	n := binary.LittleEndian.Uint32(b)
	k, flags := kind(b[12]), b[13]
	if k == 0 || n > maxRecord || b[14] != 0 || b[15] != 0 || flags > flagMore {
		return r, false
	}
	if binary.LittleEndian.Uint32(b[20:]) != crc32c.Update(seedOf(salt, offset), b[:20]) {
		return r, false
	}
	return record{
		kind: k, more: flags&flagMore != 0,
		shard: binary.LittleEndian.Uint32(b[4:]), synced: binary.LittleEndian.Uint32(b[8:]),
		offset: offset, size: recordSize(int(n)),
	}, true
}

// decodeRecord is the record that b begins with; it stands at offset.
func decodeRecord(b []byte, salt uint32, offset int64) (r record, ok bool) {
	r, ok = decodeRecordHeader(b, salt, offset)
	if !ok || int64(len(b)) < r.size {
		return r, false
	}
	body := b[recordHeader:r.size]
	if binary.LittleEndian.Uint32(b[16:]) != crc32c.Update(seedOf(salt, offset), body) {
		return r, false
	}
	r.payload = body[:binary.LittleEndian.Uint32(b)]
	return r, true
}
