package machine

import (
	"encoding/binary"
	"fmt"

	"qmq/diskqueue"
	"qmq/internal/crc32c"
)

// Most of a snapshot is records, and most of the work was to bring them into a form of
// their own, to sum that, and to look through it once more. A frame of sealed records has
// them as a segment of the giver has, with numbers and checksums:
//
//	0     1           9           17          21         25
//	│ 9   │ topic u64 │ first u64 │ count u32 │ salt u32 │ records │
//
// all little-endian; salt seeds the checksums of the records, and that of the frame is of
// what is before them.
const sealedHeadLen = 25

type sealedHead struct {
	topic, first uint64
	count, salt  uint32
}

// put writes it at the front of b.
func (h sealedHead) put(b []byte) {
	b[0] = frameSealed
	binary.LittleEndian.PutUint64(b[1:], h.topic)
	binary.LittleEndian.PutUint64(b[9:], h.first)
	binary.LittleEndian.PutUint32(b[17:], h.count)
	binary.LittleEndian.PutUint32(b[21:], h.salt)
}

// parseSealed parts the payload of a frame of sealed records.
func parseSealed(payload []byte) (h sealedHead, records []byte, err error) {
	if len(payload) < sealedHeadLen {
		return h, nil, fmt.Errorf("%w: sealed records without a head", errFrame)
	}
	h.topic, h.first = binary.LittleEndian.Uint64(payload[1:]), binary.LittleEndian.Uint64(payload[9:])
	h.count, h.salt = binary.LittleEndian.Uint32(payload[17:]), binary.LittleEndian.Uint32(payload[21:])
	return h, payload[sealedHeadLen:], nil
}

// appendSealed appends a frame of records of a topic, from a number on and below to: next
// is one past the last, or from where they cannot be had so.
func appendSealed(dst []byte, r *diskqueue.Reader, topic, from, to uint64) (frame []byte, next uint64) {
	start := len(dst)
	var head [frameHeader + sealedHeadLen]byte
	b, next, salt := r.AppendSealed(append(dst, head[:]...), from, to, recordsFrame)
	if next == from {
		return b[:start], from
	}
	f := b[start:]
	binary.LittleEndian.PutUint32(f, uint32(len(f)-frameHeader))
	sealedHead{topic, from, uint32(next - from), salt}.put(f[frameHeader:])
	binary.LittleEndian.PutUint32(f[4:], crc32c.Sum(f[frameHeader:][:sealedHeadLen]))
	return b, next
}
