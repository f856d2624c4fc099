package wake

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestOneGoroutineAtATimeIsStarted(t *testing.T) {
	var s State
	if !s.Wake() || s.Wake() || s.Wake() || s.StandIn() {
		t.Fatal("the first alone starts the goroutine")
	}
	if s.Idle() {
		t.Fatal("it was woken since it began, and ends")
	}
	if !s.Idle() || !s.StandIn() || s.Wake() {
		t.Fatal("somebody stands in for it")
	}
	if s.Idle() || !s.Idle() {
		t.Fatal("who stands in looks once more, as it does")
	}
}

func TestNoWakeIsLost(t *testing.T) {
	const wakers, each = 4, 2000
	var s State
	var todo atomic.Int64 // what there is to do
	var work sync.WaitGroup
	look := func() {
		for {
			todo.Store(0)
			if s.Idle() {
				return
			}
		}
	}
	var all sync.WaitGroup
	for range wakers {
		all.Go(func() {
			for range each {
				todo.Add(1)
				if s.Wake() {
					work.Go(look)
				}
			}
		})
	}
	all.Wait()
	work.Wait()
	if n := todo.Load(); n != 0 {
		t.Fatalf("%d things were left", n)
	}
}
