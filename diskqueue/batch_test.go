package diskqueue

import (
	"math"
	"testing"

	"qmq/message"
)

// TestTinyMessagesTakeLittleInABatch: with room made for them, each takes at
// most 40 bytes beside its body, and nothing is taken on the way.
func TestTinyMessagesTakeLittleInABatch(t *testing.T) {
	const count = 200_000
	var need Need
	for range count {
		need.Count([]byte("x"))
	}
	if need.Messages() != count || need.Memory() > count*(1+40) {
		t.Errorf("%d bytes for %d messages", need.Memory(), need.Messages())
	}
	body := []byte("x")
	made := 0
	for range 3 {
		b := new(Batch)
		b.Grow(need)
		room := &b.buf[:1][0]
		b.BeginMulti()
		for range count {
			b.Add(&message.Meta{Timestamp: math.MaxInt64}, body)
		}
		b.EndMulti()
		if room != &b.buf[0] {
			made++
		}
		if memory := cap(b.buf) + 4*cap(b.offsets); memory > need.Memory()+need.Memory()/16 {
			t.Errorf("%d bytes are taken for a need of %d", memory, need.Memory())
		}
	}
	if made > 0 {
		t.Error("room is made again while messages come")
	}
}

func TestLongBodiesNeedNoRoom(t *testing.T) {
	var need Need
	need.Count(make([]byte, minLong))
	need.Count(make([]byte, minLong-1))
	if need.Memory() != 2*overhead+minLong-1 {
		t.Errorf("%d", need.Memory())
	}
}
