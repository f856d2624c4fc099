package entry

import (
	"bytes"
	"testing"

	"qmq/internal/crc32c"
)

func TestPartsTellTheSumOfAnEntry(t *testing.T) {
	for _, lengths := range [][]int{{}, {0}, {10}, {minJoined}, {5000, 3, 46_000}, {1 << 20}} {
		e := &Entry{Term: 7, Time: 99}
		for i, n := range lengths {
			e.Parts = append(e.Parts, Part{Topic: 3, Origin: Origin{Member: 1, Epoch: 2, Number: uint64(i + 1)}, Records: bytes.Repeat([]byte{byte(i + 1)}, n)})
		}
		b := e.AppendTo(nil)
		if sum, ok := Sum(b); !ok || sum != crc32c.Sum(b) {
			t.Errorf("parts of %d: %08x, %v; want %08x", lengths, sum, ok, crc32c.Sum(b))
		}
		// What has changed since has another sum than the one that is told.
		if n := len(b) / 2; len(lengths) > 0 && lengths[0] >= minJoined {
			b[n] ^= 1
			if sum, _ := Sum(b); sum == crc32c.Sum(b) {
				t.Errorf("parts of %d: a changed byte makes no difference", lengths)
			}
		}
		for n := range min(len(b), 64) {
			if sum, ok := Sum(b[:n]); ok && sum != crc32c.Sum(b[:n]) {
				t.Errorf("cut to %d bytes: %08x, want %08x", n, sum, crc32c.Sum(b[:n]))
			}
		}
	}
	if _, ok := Sum([]byte{version + 1}); ok {
		t.Error("an entry of a newer version has a sum")
	}
}
