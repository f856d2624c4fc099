package message

import (
	"encoding/binary"
	"errors"

	"qmq/internal/crc32c"
)

// A record is a message as a log stores it, little-endian:
//
//	 0        4        8            16           24       26        28
//	┌────────┬────────┬────────────┬────────────┬────────┬─────────┬───────┬──────┐
//	│ len    │ crc32c │ seq        │ timestamp  │ flags  │ attrLen │ attrs │ body │
//	│ u32    │ u32    │ u64        │ i64 (ns)   │ u16    │ u16     │       │      │
//	└────────┴────────┴────────────┴────────────┴────────┴─────────┴───────┴──────┘
//
// len counts the bytes after crc32c. The CRC covers the same bytes and is
// seeded with the segment's salt, so that neither a file's former life nor
// bytes inside a body can pass for a record.
const (
	// HeaderSize is the size of a record without attributes and body.
	HeaderSize = 28
	lenSize    = 4
	crcStart   = 8 // the first byte that the CRC covers
)

// MaxRecordSize bounds a record, header included. A length field above it is
// damage, whatever else the bytes say.
const MaxRecordSize = 1 << 30

// Flags of a record.
type Flags uint16

// The records of one MPUB carry FlagBatch; its first and last ones are marked
// too, so that recovery can drop a batch of which a part is missing.
const (
	FlagBatch Flags = 1 << iota
	FlagBatchFirst
	FlagBatchLast
)

var (
	// ErrShort means that the bytes end before the record does.
	ErrShort = errors.New("record is cut short")
	// ErrCorrupt means that the bytes are not a record of this segment.
	ErrCorrupt = errors.New("record is damaged")
)

// AppendRecord appends a record without its sequence number and CRC, which
// Seal fills in when the record's place in the log is known. It keeps all
// attributes, known or not.
func AppendRecord(dst []byte, timestamp int64, flags Flags, attrs, body []byte) []byte {
	dst = appendHead(dst, timestamp, flags, len(attrs), len(body))
	return append(append(dst, attrs...), body...)
}

// appendHead appends the first HeaderSize bytes of a record with attributes and
// a body of the given sizes.
func appendHead(dst []byte, timestamp int64, flags Flags, attrs, body int) []byte {
	var h [HeaderSize]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(HeaderSize-crcStart+attrs+body))
	binary.LittleEndian.PutUint64(h[16:], uint64(timestamp))
	binary.LittleEndian.PutUint16(h[24:], uint16(flags))
	binary.LittleEndian.PutUint16(h[26:], uint16(attrs))
	return append(dst, h[:]...)
}

// Seal writes the sequence number and the CRC into the record at the front of
// rec and returns the record's size. rec must hold the whole record.
func Seal(rec []byte, seq uint64, salt uint32) int {
	n := crcStart + int(binary.LittleEndian.Uint32(rec))
	binary.LittleEndian.PutUint64(rec[8:], seq)
	binary.LittleEndian.PutUint32(rec[lenSize:], crc32c.Update(salt, rec[crcStart:n]))
	return n
}

// Size is the size of the record at the front of buf as its length field
// claims; ok is false when the field is missing or impossible.
func Size(buf []byte) (n int, ok bool) {
	if len(buf) < lenSize {
		return 0, false
	}
	l := binary.LittleEndian.Uint32(buf)
	if l < HeaderSize-crcStart || l > MaxRecordSize-crcStart {
		return 0, false
	}
	return crcStart + int(l), true
}

// BodySize is the size of the body of the record whose head is at the front of
// head.
func BodySize(head []byte) int {
	n := crcStart + int(binary.LittleEndian.Uint32(head))
	return n - HeaderSize - int(binary.LittleEndian.Uint16(head[26:]))
}

// FlagsOf are the flags of the record whose head is at the front of head.
func FlagsOf(head []byte) Flags { return Flags(binary.LittleEndian.Uint16(head[24:])) }

// SeqOf is the sequence number field of the record at the front of buf, which
// must hold at least HeaderSize bytes. It is not checked.
func SeqOf(buf []byte) uint64 { return binary.LittleEndian.Uint64(buf[8:]) }

// TimeOf is when the message of the record at the front of buf was published, likewise.
func TimeOf(buf []byte) int64 { return int64(binary.LittleEndian.Uint64(buf[16:])) }

// Verify checks the CRC of the record at the front of buf and returns the
// record's size. It returns ErrShort when buf ends before the record and
// ErrCorrupt when the bytes are no record of the segment with this salt.
func Verify(buf []byte, salt uint32) (int, error) {
	if len(buf) < HeaderSize {
		return 0, ErrShort
	}
	n, ok := Size(buf)
	if !ok {
		return 0, ErrCorrupt
	}
	if n > len(buf) {
		return 0, ErrShort
	}
	if crc32c.Update(salt, buf[crcStart:n]) != binary.LittleEndian.Uint32(buf[lenSize:]) {
		return 0, ErrCorrupt
	}
	if HeaderSize+int(binary.LittleEndian.Uint16(buf[26:])) > n {
		return 0, ErrCorrupt
	}
	return n, nil
}

// Decode reads the verified record at the front of buf. The view aliases buf.
func Decode(buf []byte) View {
	n := crcStart + int(binary.LittleEndian.Uint32(buf))
	body := HeaderSize + int(binary.LittleEndian.Uint16(buf[26:]))
	return View{
		Seq:       binary.LittleEndian.Uint64(buf[8:]),
		Timestamp: int64(binary.LittleEndian.Uint64(buf[16:])),
		Flags:     Flags(binary.LittleEndian.Uint16(buf[24:])),
		Attrs:     buf[HeaderSize:body:body],
		Body:      buf[body:n:n],
	}
}

// SetFlags adds flags to the unsealed record at the front of rec.
func SetFlags(rec []byte, flags Flags) {
	binary.LittleEndian.PutUint16(rec[24:], binary.LittleEndian.Uint16(rec[24:])|uint16(flags))
}
