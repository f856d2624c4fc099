package loadgen

import (
	"math/bits"
	"sync"
	"testing"
)

func TestBitmapCountsWhatIsMissing(t *testing.T) {
	var b bitmap
	if n := b.missing(1000); n != 1000 {
		t.Errorf("%d missing of an empty set", n)
	}
	for word := range uint64(3000) { // more than a chunk, the last number of each word absent
		b.add(word, ^uint64(0)>>1)
	}
	for _, test := range []struct {
		end  uint64
		want int64
	}{{0, 0}, {63, 0}, {64, 1}, {65, 1}, {128, 2}, {65536, 1024}, {65600, 1025}, {192000, 3000}, {192100, 3100}, {1 << 20, 3000 + 1<<20 - 192000}} {
		if n := b.missing(test.end); n != test.want {
			t.Errorf("%d missing below %d, want %d", n, test.end, test.want)
		}
	}
}

func TestBitmapTellsEachNumberOnceAsNew(t *testing.T) {
	var b bitmap
	const words, adders = 5000, 4
	fresh := make([]int, adders)
	var wg sync.WaitGroup
	for i := range adders {
		wg.Go(func() {
			for w := range uint64(words) {
				fresh[i] += 64 - bits.OnesCount64(b.add(w, ^uint64(0)))
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range fresh {
		sum += n
	}
	if sum != words*64 || b.missing(words*64) != 0 {
		t.Errorf("%d numbers were new, %d are missing, want %d and 0", sum, b.missing(words*64), words*64)
	}
}
