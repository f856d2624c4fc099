package deadline

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/clock"
)

// late is how late a timer may fire.
const late = int64(10 * time.Millisecond)

// bubble runs f in fake time with a queue.
func bubble(t *testing.T, f func(c *clock.Clock, q *Queue)) {
	synctest.Test(t, func(*testing.T) {
		c := clock.New()
		q := New(c)
		defer q.Close()
		f(c, q)
	})
}

func TestTimersFireOnceNeverEarlyAndInTime(t *testing.T) {
	bubble(t, func(c *clock.Clock, q *Queue) {
		const n = 1000
		var fired atomic.Int64
		for range n {
			at := c.Now() + rand.Int64N(int64(time.Minute))
			q.NewTimer(func(now int64) {
				fired.Add(1)
				if now < at || now > at+late {
					t.Errorf("fired %v after the deadline", time.Duration(now-at))
				}
			}).Arm(at)
		}
		time.Sleep(2 * time.Minute)
		if fired.Load() != n {
			t.Errorf("%d fired", fired.Load())
		}
	})
}

func TestArmKeepsTheEarlierDeadline(t *testing.T) {
	bubble(t, func(c *clock.Clock, q *Queue) {
		start := c.Now()
		var at []int64
		timer := q.NewTimer(func(now int64) { at = append(at, now-start) })
		timer.Arm(start + int64(5*time.Second))
		timer.Arm(start + int64(9*time.Second))
		synctest.Wait()
		timer.Arm(start + int64(2*time.Second))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(at) != 1 || at[0] < int64(2*time.Second) || at[0] > int64(2*time.Second)+late {
			t.Errorf("fired at %v", at)
		}
	})
}

func TestStoppedTimerDoesNotFireUntilArmedAgain(t *testing.T) {
	bubble(t, func(c *clock.Clock, q *Queue) {
		var fired atomic.Int64
		timer := q.NewTimer(func(int64) { fired.Add(1) })
		timer.Stop()
		timer.Arm(c.Now() + int64(time.Second))
		timer.Stop()
		time.Sleep(time.Minute)
		if fired.Load() != 0 {
			t.Error("fired after Stop")
		}
		timer.Arm(c.Now() - 1)
		time.Sleep(time.Second)
		if fired.Load() != 1 {
			t.Error("did not fire")
		}
	})
}

func TestTimerMayArmItself(t *testing.T) {
	bubble(t, func(c *clock.Clock, q *Queue) {
		var fired atomic.Int64
		var timer *Timer
		timer = q.NewTimer(func(now int64) {
			if fired.Add(1) < 10 {
				timer.Arm(now + int64(time.Second))
			}
		})
		timer.Arm(0)
		time.Sleep(9*time.Second + 10*time.Duration(late))
		if fired.Load() != 10 {
			t.Errorf("fired %d times", fired.Load())
		}
	})
}

func TestNothingFiresAfterClose(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		c := clock.New()
		q := New(c)
		var fired atomic.Int64
		timer := q.NewTimer(func(int64) { fired.Add(1) })
		timer.Arm(c.Now() + int64(time.Second))
		q.Close()
		timer.Arm(c.Now())
		time.Sleep(time.Minute)
		if fired.Load() != 0 {
			t.Error("fired after Close")
		}
	})
}

// An Arm that finds the timer armed does nothing more; the call of f that it
// relies on must come after it.
func TestArmIsNeverLost(t *testing.T) {
	c := clock.New()
	q := New(c)
	defer q.Close()
	var mu sync.Mutex
	wanted, served := 0, 0
	all := make(chan struct{})
	const n = 2000
	timer := q.NewTimer(func(int64) {
		mu.Lock()
		defer mu.Unlock()
		if served != wanted && wanted == 2*n {
			close(all)
		}
		served = wanted
	})
	for range 2 {
		go func() {
			for range n {
				mu.Lock()
				wanted++
				timer.Arm(c.Now())
				mu.Unlock()
			}
		}()
	}
	select {
	case <-all:
	case <-time.After(time.Minute): // nothing that works takes as long
		t.Fatalf("served %d of %d", served, wanted)
	}
}

func BenchmarkArmArmed(b *testing.B) {
	b.ReportAllocs()
	c := clock.New()
	q := New(c)
	defer q.Close()
	timer := q.NewTimer(func(int64) {})
	at := c.Now() + int64(time.Hour)
	for b.Loop() {
		timer.Arm(at)
	}
}
