package fromnsq

import (
	"cmp"
	"encoding/binary"
)

// entry is a message of one queue: who it is, and where it stands. Those of one
// message in several queues differ in what is behind hash alone.
type entry struct {
	group     uint32 // which part of which topic it belongs to: see index.group
	size      uint32 // of the body
	id        uint64 // nsqd's
	timestamp int64
	hash      uint64 // of the body
	offset    int64  // of the body in the file
	stretch   uint32 // of index.stretches
	attempts  uint16
}

// An entry in a file of the index, little-endian:
//
//	 0       4      8    16          24     32       40        44         46
//	┌───────┬──────┬────┬───────────┬──────┬────────┬─────────┬──────────┐
//	│ group │ size │ id │ timestamp │ hash │ offset │ stretch │ attempts │
//	│ u32   │ u32  │ u64│ i64       │ u64  │ i64    │ u32     │ u16      │
//	└───────┴──────┴────┴───────────┴──────┴────────┴─────────┴──────────┘
const entrySize = 46

func (e *entry) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, e.group)
	dst = binary.LittleEndian.AppendUint32(dst, e.size)
	dst = binary.LittleEndian.AppendUint64(dst, e.id)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.timestamp))
	dst = binary.LittleEndian.AppendUint64(dst, e.hash)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.offset))
	dst = binary.LittleEndian.AppendUint32(dst, e.stretch)
	return binary.LittleEndian.AppendUint16(dst, e.attempts)
}

func (e *entry) decode(b []byte) {
	*e = entry{
		group: binary.LittleEndian.Uint32(b), size: binary.LittleEndian.Uint32(b[4:]), id: binary.LittleEndian.Uint64(b[8:]),
		timestamp: int64(binary.LittleEndian.Uint64(b[16:])), hash: binary.LittleEndian.Uint64(b[24:]),
		offset: int64(binary.LittleEndian.Uint64(b[32:])), stretch: binary.LittleEndian.Uint32(b[40:]), attempts: binary.LittleEndian.Uint16(b[44:]),
	}
}

// compareMessages is 0 for entries of one message. Ids of nsqd grow with time.
func compareMessages(a, b *entry) int {
	switch {
	case a.group != b.group:
		return cmp.Compare(a.group, b.group)
	case a.id != b.id:
		return cmp.Compare(a.id, b.id)
	case a.timestamp != b.timestamp:
		return cmp.Compare(a.timestamp, b.timestamp)
	case a.size != b.size:
		return cmp.Compare(a.size, b.size)
	}
	return cmp.Compare(a.hash, b.hash)
}

// compareEntries puts entries of one message in the order of their queues and files.
func compareEntries(a, b *entry) int {
	if c := compareMessages(a, b); c != 0 {
		return c
	}
	if a.stretch != b.stretch {
		return cmp.Compare(a.stretch, b.stretch)
	}
	return cmp.Compare(a.offset, b.offset)
}
