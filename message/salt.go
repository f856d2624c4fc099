package message

import (
	"encoding/binary"

	"qmq/internal/crc32c"
)

// salted gives, for the highest byte of an entry of the CRC's table, the entry's
// index: each is there once.
var salted = func() (index [256]byte) {
	for i, entry := range crc32c.Table {
		index[entry>>24] = byte(i)
	}
	return index
}()

// SaltOf is the salt under which the record at the front of rec verifies, if it
// is a good one: the CRC run backwards. By itself it proves nothing, as every
// record has such a salt; two records that have the same belong together. rec
// must hold the whole record.
func SaltOf(rec []byte) uint32 {
	n := crcStart + int(binary.LittleEndian.Uint32(rec))
	c := ^binary.LittleEndian.Uint32(rec[lenSize:])
	for i := n - 1; i >= crcStart; i-- {
		at := salted[c>>24]
		c = (c^crc32c.Table[at])<<8 | uint32(at^rec[i])
	}
	return ^c
}
