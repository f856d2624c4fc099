package loadgen

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// A body is, little-endian:
//
//	 0            8               12          16
//	┌────────────┬───────────────┬───────────┬─────────┐
//	│ number u64 │ publisher u32 │ check u32 │ filling │
//	└────────────┴───────────────┴───────────┴─────────┘
//
// The check depends on the run, the publisher and the number. The filling is a
// stretch of random bytes that begins where publisher and number say: to write
// it is a copy, to check it a comparison of every byte, and parts of two
// messages do not pass for one.

// MinBody is the size of the smallest body in bytes.
const MinBody = 16

// places is at how many places a filling may begin. It is prime, so that
// numbers that differ by a round amount begin at different ones.
const places = 4093

// bodies makes and checks the bodies of one run. It is read only.
type bodies struct {
	seed    uint64
	size    int
	pattern []byte
}

func newBodies(seed uint64, size int) *bodies {
	b := &bodies{seed: seed, size: size, pattern: make([]byte, places+size)}
	random := rand.New(rand.NewPCG(seed, uint64(size)))
	for i := range b.pattern {
		b.pattern[i] = byte(random.Uint32())
	}
	return b
}

// append appends a message's body.
func (b *bodies) append(dst []byte, publisher uint32, number uint64) []byte {
	return append(b.appendHead(dst, publisher, number), b.filling(publisher, number)...)
}

// appendHead appends what comes before the filling.
func (b *bodies) appendHead(dst []byte, publisher uint32, number uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint32(dst, publisher)
	return binary.LittleEndian.AppendUint32(dst, b.check(publisher, number))
}

// read tells which message a body is; ok is false when it is none of this run
// or not as it was sent.
func (b *bodies) read(body []byte) (publisher uint32, number uint64, ok bool) {
	if len(body) != b.size {
		return 0, 0, false
	}
	number = binary.LittleEndian.Uint64(body)
	publisher = binary.LittleEndian.Uint32(body[8:])
	ok = binary.LittleEndian.Uint32(body[12:]) == b.check(publisher, number) &&
		bytes.Equal(body[MinBody:], b.filling(publisher, number))
	return publisher, number, ok
}

// isOurs tells whether a body that is no message as it was sent begins like one
// of this run.
func (b *bodies) isOurs(body []byte) bool {
	if len(body) < MinBody {
		return false
	}
	number, publisher := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint32(body[8:])
	return binary.LittleEndian.Uint32(body[12:]) == b.check(publisher, number)
}

func (b *bodies) filling(publisher uint32, number uint64) []byte {
	at := (number + uint64(publisher)*7919) % places
	return b.pattern[at : int(at)+b.size-MinBody]
}

// check mixes what a message is into 32 bits.
func (b *bodies) check(publisher uint32, number uint64) uint32 {
	h := b.seed ^ number*0x9e3779b97f4a7c15 ^ uint64(publisher)<<32
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	return uint32((h ^ h>>27) * 0x94d049bb133111eb >> 32)
}
