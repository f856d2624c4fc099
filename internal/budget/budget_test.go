package budget

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// claims are n claims of a budget.
func claims(b *Budget, n int) []*Claim {
	list := make([]*Claim, n)
	for i := range list {
		list[i] = new(Claim)
		list[i].From(b)
	}
	return list
}

// waits tells whether a claim has to wait to grow; if so, granted says how that
// ended.
func waits(c *Claim, to int64, done <-chan struct{}) (wait bool, granted <-chan bool) {
	end := make(chan bool, 1)
	go func() { end <- c.Grow(to, done) }()
	synctest.Wait()
	return len(end) == 0, end
}

func TestTheLargestWaitsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(1000)
		c := claims(b, 4)
		c[0].Grow(700, nil)
		// 300 are left: 240 and 240/4 fit into it, 250 and 250/4 do not.
		large, largeEnd := waits(c[1], 250, nil)
		small, _ := waits(c[2], 200, nil)
		if !large || small {
			t.Errorf("the large one waits: %v, the small one: %v", large, small)
		}
		c[0].Set(600)
		synctest.Wait()
		if len(largeEnd) != 0 {
			t.Error("it was granted more than is left")
		}
		c[0].Set(0)
		if !<-largeEnd || b.Used() != 450 {
			t.Error("used", b.Used())
		}
	})
}

func TestTightMeansThatLittleIsLeft(t *testing.T) {
	b := New(800)
	c := claims(b, 1)[0]
	c.Set(700)
	if b.Tight() {
		t.Error("tight with an eighth left")
	}
	c.Set(701)
	if !b.Tight() || b.Used() != 701 || c.Size() != 701 {
		t.Error("not tight")
	}
	if none := (*Budget)(nil); none.Tight() || none.Used() != 0 {
		t.Error("no budget is tight")
	}
}

// TestSomebodyCanAlwaysGoOn although nobody has enough and all want more than
// there is.
func TestSomebodyCanAlwaysGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, each = 100, 5000
		b := New(limit)
		var most int64
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, c := range claims(b, 20) {
			all.Go(func() {
				for to := int64(1); to <= each; to *= 5 {
					if !c.Grow(to, nil) {
						t.Error("not granted")
					}
					mu.Lock()
					most = max(most, b.Used())
					mu.Unlock()
				}
				c.Set(0)
			})
		}
		all.Wait()
		if b.Used() != 0 || most > limit+each {
			t.Errorf("%d at most, %d at last", most, b.Used())
		}
	})
}

func TestAWaitCanBeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		c := claims(b, 2)
		c[0].Set(95)
		c[1].Set(5)
		done := make(chan struct{})
		wait, end := waits(c[1], 50, done)
		if !wait {
			t.Fatal("it does not wait")
		}
		close(done)
		if <-end || c[1].Size() != 5 {
			t.Error("it was granted")
		}
		c[0].Set(0)
		c[1].Set(0)
		if b.Used() != 0 || b.holders != 0 || b.stuck != 0 || len(b.waiting) != 0 {
			t.Errorf("left: %d used, %d holders, %d stuck, %d waiting", b.Used(), b.holders, b.stuck, len(b.waiting))
		}
	})
}

func TestWhatOneGivesUpLetsAnotherGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(100)
		c := claims(b, 2)
		c[0].Set(90)
		c[1].Set(10)
		done := make(chan struct{})
		_, first := waits(c[0], 200, done) // c[1] could go on
		wait, second := waits(c[1], 150, nil)
		if len(first) != 0 || wait {
			t.Errorf("the first went on: %v; the second, with whom nobody could: %v", len(first) != 0, !wait)
		}
		if !<-second {
			t.Error("refused")
		}
		c[1].Set(0)
		if !<-first || b.Used() != 200 {
			t.Error("used", b.Used())
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	const limit, most = 1000, 400
	b := New(limit)
	var all sync.WaitGroup
	for i, c := range claims(b, 16) {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		all.Go(func() {
			for range 500 {
				done := make(chan struct{})
				close(done)
				c.Grow(r.Int64N(most), nil)
				if used := b.Used(); used > limit+16*100 {
					t.Error("used", used)
				}
				c.Set(r.Int64N(100))
				c.Grow(r.Int64N(most), done)
				c.Set(0)
			}
		})
	}
	all.Wait()
	if b.Used() != 0 || b.holders != 0 || b.stuck != 0 || len(b.waiting) != 0 {
		t.Errorf("left: %d used, %d holders, %d stuck, %d waiting", b.Used(), b.holders, b.stuck, len(b.waiting))
	}
}
