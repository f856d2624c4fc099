package entry

import (
	"testing"

	"qmq/internal/crc32c"
)

// BenchmarkSum is what it takes to know the checksum of an entry of 16 batches, beside a look
// at all of it.
func BenchmarkSum(b *testing.B) {
	e := &Entry{Time: 1}
	for i := range 16 {
		e.Parts = append(e.Parts, Part{Topic: 1, Origin: Origin{Member: 1, Epoch: 1, Number: uint64(i + 1)}, Records: make([]byte, 46_000)})
	}
	data := e.AppendTo(nil)
	b.Run("joined", func(b *testing.B) {
		for b.Loop() {
			Sum(data)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			crc32c.Sum(data)
		}
	})
}
