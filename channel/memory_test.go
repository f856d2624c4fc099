package channel

import (
	"math"
	"runtime"
	"testing"

	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/message"
)

const million = 1_000_000

// heapOf is how many bytes of heap build's result keeps.
func heapOf[T any](build func() T) (kept T, bytes int64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept = build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return kept, int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func testCore() *core {
	return newCore(limits{maxTimeout: 1e15, maxDelay: math.MaxInt64 / 4, journalled: true}, 1)
}

func (c *core) testHolder(rdy int64) *holder {
	h := &holder{}
	c.join(h, 60e9)
	c.setCredit(h, rdy, 0)
	return h
}

// fill has n messages in flight.
func (c *core) fill(t testing.TB, h *holder, n int) {
	c.advance(1, c.fanOut+uint64(n), nil, 0)
	batch := make([]reservation, 0, 256)
	for n > 0 {
		batch, _ = c.reserve(h, 1, 256, batch[:0])
		if len(batch) == 0 {
			t.Fatal("nothing to reserve")
		}
		n -= len(batch)
	}
}

func TestMillionInFlightTakesAtMost64BytesEach(t *testing.T) {
	c, bytes := heapOf(func() *core {
		c := testCore()
		c.fill(t, c.testHolder(math.MaxInt64), million)
		return c
	})
	if per := float64(bytes) / million; per > 64 {
		t.Errorf("%.1f bytes each", per)
	}
	if err := c.check(); err != nil {
		t.Error(err)
	}
}

func TestMemoryOfABurstInFlightIsFreed(t *testing.T) {
	for _, odd := range []bool{false, true} {
		c, bytes := heapOf(func() *core {
			c := testCore()
			h := c.testHolder(math.MaxInt64)
			c.fill(t, h, million)
			for seq := uint64(1); seq <= million; seq += 3 {
				_ = c.touch(h, seq, 2)
			}
			for seq := uint64(1); seq <= million; seq++ {
				if odd && seq%4999 == 0 {
					continue
				}
				if err := c.finish(h, seq); err != nil {
					t.Fatal(err)
				}
			}
			return c
		})
		if bytes > 512<<10 {
			t.Errorf("%d bytes are kept for %d messages", bytes, c.flight.len())
		}
		if err := c.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestMillionDeferredTakeAtMost24BytesEach(t *testing.T) {
	delayed := make([]message.Mark, million)
	for i := range delayed {
		delayed[i] = message.Mark{Seq: uint64(i + 1), DeliverAt: int64(1e9 + i*7919%million)}
	}
	c, bytes := heapOf(func() *core {
		c := testCore()
		c.advance(1, million+1, delayed, 0)
		return c
	})
	if c.deferred.Len() != million {
		t.Fatalf("%d deferred", c.deferred.Len())
	}
	if per := float64(bytes) / million; per > 24 {
		t.Errorf("%.1f bytes each", per)
	}
}

func TestIdleChannelTakesAtMost640Bytes(t *testing.T) {
	clock := clock.New()
	deadlines := deadline.New(clock)
	defer deadlines.Close()
	const n = 10_000
	o := Options{Name: "ch", Common: &Common{Clock: clock, Deadlines: deadlines}, Journal: &testJournal{}}
	channels, bytes := heapOf(func() (channels [n]*Channel) {
		for i := range channels {
			channels[i] = New(o, uint64(i))
		}
		return channels
	})
	if per := bytes / n; per > 640 {
		t.Errorf("%d bytes each", per)
	}
	for _, c := range channels {
		c.Close()
	}
}

func TestTakeAndFinishAllocateNothing(t *testing.T) {
	c := testCore()
	h := c.testHolder(1000)
	batch := make([]reservation, 0, 256)
	step := func() {
		c.advance(1, c.fanOut+200, nil, 0)
		batch, _ = c.reserve(h, 1, 256, batch[:0])
		for _, b := range batch {
			_ = c.finish(h, b.seq)
		}
	}
	step()
	if n := testing.AllocsPerRun(5000, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRequeueTouchAndTimeoutAllocateNextToNothing(t *testing.T) {
	c := testCore()
	h := c.testHolder(1000)
	batch := make([]reservation, 0, 256)
	now := int64(1)
	step := func() {
		now += 1e9
		c.expire(now)
		c.advance(now, c.fanOut+100, nil, 0)
		batch, _ = c.reserve(h, now, 256, batch[:0])
		for i, b := range batch {
			switch {
			case i%5 == 0 && b.attempts < 3:
				_ = c.requeue(h, b.seq, now, 1e8*int64(i%3))
			case i%5 == 1:
				_ = c.touch(h, b.seq, now)
			case i%50 != 0:
				_ = c.finish(h, b.seq)
			}
		}
		c.wakeNext() // as after all answers
		c.pending.reset()
	}
	for range 500 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n > 1 {
		t.Errorf("%v allocations per 100 messages", n)
	}
	if err := c.check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkTakeFinish(b *testing.B) {
	b.ReportAllocs()
	c := testCore()
	h := c.testHolder(2500)
	batch := make([]reservation, 0, 256)
	for n := 0; n < b.N; n += len(batch) {
		c.advance(1, c.fanOut+256, nil, 0)
		batch, _ = c.reserve(h, 1, 256, batch[:0])
		for _, m := range batch {
			_ = c.finish(h, m.seq)
		}
	}
}

func BenchmarkOutOfOrderFinish(b *testing.B) {
	b.ReportAllocs()
	c := testCore()
	h := c.testHolder(4096)
	c.fill(b, h, 4096)
	batch := make([]reservation, 0, 256)
	low := uint64(1)
	for n := 0; n < b.N; n += 256 {
		for i := range uint64(256) { // 16 rows, across
			_ = c.finish(h, low+(i%16)*16+i/16)
		}
		low += 256
		c.advance(1, c.fanOut+256, nil, 0)
		batch, _ = c.reserve(h, 1, 256, batch[:0])
	}
}
