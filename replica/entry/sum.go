package entry

import (
	"encoding/binary"

	"qmq/internal/crc32c"
)

// minJoined is how long what a part's checksum is of is at least for it to be joined.
const minJoined = 1 << 10

// Sum is the CRC-32C of an entry as its parts' own checksums say that it is: their records
// are not looked at, and have another one if they have changed since. ok is false for what is
// no entry of this version.
func Sum(b []byte) (sum uint32, ok bool) {
	if len(b) == 0 || b[0] != version {
		return 0, false
	}
	summed, at := 0, 1            // bytes of b
	joined, power := 0, uint32(0) // many parts are as long as the one before
	for at < len(b) {
		size, n := binary.Uvarint(b[at+1:])
		begin := at + 1 + n
		if n <= 0 || size > uint64(len(b)-begin) {
			return 0, false
		}
		kind, content := b[at], b[begin:][:size]
		at = begin + int(size)
		if kind != sectionPart || size < minJoined {
			continue
		}
		sum = crc32c.Update(sum, b[summed:begin+partSum])
		if n := len(content) - partSum; n != joined {
			joined, power = n, crc32c.Power(n)
		}
		sum = crc32c.Join(sum, binary.LittleEndian.Uint32(content), power)
		summed = at
	}
	return crc32c.Update(sum, b[summed:]), true
}
