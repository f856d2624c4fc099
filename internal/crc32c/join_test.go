package crc32c

import (
	"math/rand/v2"
	"testing"
)

func TestJoinedSumsAreThoseOfTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<17)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	for i := range 2000 {
		from, seed := random.IntN(len(b)), random.Uint32()
		end := from + random.IntN(len(b)-from+1)
		if i < 10 {
			end = min(from+i, len(b))
		}
		n := end - from
		if got, want := Join(seed, Sum(b[from:end]), Power(n)), Update(seed, b[from:end]); got != want {
			t.Fatalf("%d bytes behind the sum %08x: %08x, want %08x", n, seed, got, want)
		}
	}
}

func BenchmarkJoin(b *testing.B) {
	sum, power := uint32(1), Power(46_013)
	for b.Loop() {
		sum = Join(sum, 5, power)
	}
}

func BenchmarkPower(b *testing.B) {
	for b.Loop() {
		Power(46_013)
	}
}
