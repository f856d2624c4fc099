package ram

import (
	"math"
	"testing"
)

func (b *Bytes) memory() (sum int) {
	for _, page := range b.pages {
		sum += len(page)
	}
	return sum
}

func TestBytesTakeMemoryOnlyWhereWritten(t *testing.T) {
	var b Bytes
	b.WriteAt([]byte("x"), 0)
	if b.memory() != minPage {
		t.Errorf("one byte takes %d", b.memory())
	}
	b.WriteAt([]byte("x"), 1<<50)
	if b.memory() != minPage+pageSize {
		t.Errorf("two distant bytes take %d", b.memory())
	}
	b.Truncate(math.MaxInt64)
	b.Truncate(math.MaxInt64 - 1)
	if b.memory() != minPage+pageSize {
		t.Errorf("cutting a hole changes it to %d", b.memory())
	}
	b.Truncate(1)
	if b.memory() != minPage {
		t.Errorf("cut, it takes %d", b.memory())
	}
	b.Truncate(0)
	if b.memory() != 0 {
		t.Errorf("empty, it takes %d", b.memory())
	}
}

func TestCloneSharesNothing(t *testing.T) {
	var b Bytes
	b.WriteAt([]byte("old"), 0)
	c := b.Clone()
	b.WriteAt([]byte("new"), 0)
	p := make([]byte, 3)
	if c.ReadAt(p, 0); string(p) != "old" {
		t.Errorf("the clone has %q", p)
	}
}
