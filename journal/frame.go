package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"qmq/internal/crc32c"
)

// Logs and checkpoints are made of the same parts, all little-endian. A file
// begins with
//
//	0        8             12         16         20
//	| "QJOURNAL" | version u32 | salt u32 | crc u32 |      crc32c of the 16 bytes before it
//
// and goes on with frames to its end:
//
//	0         4         8           12
//	| len u32 | sum u32 | check u32 | payload, len bytes |
//
// where sum is the crc32c of the payload and check that of the 8 bytes before
// it, both seeded with the salt. The salt is random, so that nothing left over
// from another file, nor a name chosen by somebody, can pass for a frame. The
// check keeps the search for the next frame after damage from summing up
// megabytes at every offset. A frame is read whole or not at all: what must be
// all or nothing goes into one frame.
const (
	magic       = "QJOURNAL"
	version     = 2
	firstTold   = 2 // from this version on a file's first record is of kindFirst
	headerSize  = 20
	frameHeader = 12
	minPayload  = 2       // the kind of a record is in its second byte
	maxPayload  = 1 << 30 // far above the state of any channel
)

var (
	errHeader = errors.New("damaged file header")
	// errVersion is not damage: a newer program wrote the file, and starting
	// without what is in it would lose it.
	errVersion = errors.New("written by a newer version")
)

func newSalt() uint32 { return rand.Uint32() }

func appendHeader(b []byte, salt uint32) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, salt)
	return binary.LittleEndian.AppendUint32(b, crc32c.Sum(b[start:]))
}

func parseHeader(b []byte) (salt, v uint32, err error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic ||
		binary.LittleEndian.Uint32(b[16:]) != crc32c.Sum(b[:16]) {
		return 0, 0, errHeader
	}
	v = binary.LittleEndian.Uint32(b[8:])
	switch {
	case v > version:
		return 0, 0, fmt.Errorf("format version %d: %w", v, errVersion)
	case v == 0:
		return 0, 0, errHeader
	}
	return binary.LittleEndian.Uint32(b[12:]), v, nil
}

func appendFrame(b []byte, salt uint32, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, crc32c.Update(salt, payload))
	b = binary.LittleEndian.AppendUint32(b, crc32c.Update(salt, b[start:]))
	return append(b, payload...)
}

// frameAt is the payload of the frame at off and where the next one begins.
func frameAt(b []byte, off int, salt uint32) (payload []byte, next int, ok bool) {
	if len(b)-off < frameHeader+minPayload {
		return nil, 0, false
	}
	head := b[off:][:frameHeader]
	size := binary.LittleEndian.Uint32(head)
	if size < minPayload || size > maxPayload || uint64(size) > uint64(len(b)-off-frameHeader) ||
		binary.LittleEndian.Uint32(head[8:]) != crc32c.Update(salt, head[:8]) {
		return nil, 0, false
	}
	payload = b[off+frameHeader:][:size]
	if binary.LittleEndian.Uint32(head[4:]) != crc32c.Update(salt, payload) {
		return nil, 0, false
	}
	return payload, off + frameHeader + int(size), true
}

// span is a piece of a file.
type span struct{ off, size int }

// scan calls f with each frame's payload, and returns where the last whole one
// ends. Where frames are damaged it goes on at the next one that is whole and
// reports what it passed over; a damaged place with no whole frame after it is a
// torn tail of so many bytes. Zeros at the end are room that was not used yet.
func scan(b []byte, salt uint32, f func(off int, payload []byte)) (lost []span, end, tail int) {
	off := headerSize
	for off < len(b) {
		payload, next, ok := frameAt(b, off, salt)
		if ok {
			f(off, payload)
			off = next
			continue
		}
		start, used := off, usedEnd(b)
		for off++; off < used; off++ {
			if _, _, ok = frameAt(b, off, salt); ok {
				break
			}
		}
		if !ok {
			return lost, start, max(0, used-start)
		}
		lost = append(lost, span{start, off - start})
	}
	return lost, off, 0
}

// cutShort says that what stands at the end of a file, without the zeros behind
// it, may be the beginning of a frame: all that the end of the process, and not
// of the machine, leaves of a write.
func cutShort(tail []byte, salt uint32) bool {
	if len(tail) < frameHeader {
		return true
	}
	head := tail[:frameHeader]
	whole := binary.LittleEndian.Uint32(head[8:]) == crc32c.Update(salt, head[:8])
	return whole && uint64(len(tail)) < frameHeader+uint64(binary.LittleEndian.Uint32(head))
}

// usedEnd is where the zeros at the end begin.
func usedEnd(b []byte) int {
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	return end
}

// reframe turns frames that were made for one file into those of another.
func reframe(b []byte, salt uint32) {
	for len(b) > 0 {
		size := binary.LittleEndian.Uint32(b)
		payload := b[frameHeader:][:size]
		binary.LittleEndian.PutUint32(b[4:], crc32c.Update(salt, payload))
		binary.LittleEndian.PutUint32(b[8:], crc32c.Update(salt, b[:8]))
		b = b[frameHeader+size:]
	}
}
