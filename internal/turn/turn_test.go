package turn

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneHasTheTurnAtATime(t *testing.T) {
	var turn Turn
	var all sync.WaitGroup
	n := 0
	for range 8 {
		all.Go(func() {
			for range 100 {
				turn.Lock()
				n++
				turn.Unlock()
			}
		})
	}
	all.Wait()
	if n != 800 {
		t.Errorf("%d turns, want 800", n)
	}
}

func TestTimeGoesOnWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turn Turn
		turn.Lock()
		second := make(chan time.Time)
		go func() {
			turn.Lock()
			defer turn.Unlock()
			second <- time.Now()
		}()
		began := time.Now()
		time.Sleep(time.Second)
		turn.Unlock()
		if waited := (<-second).Sub(began); waited != time.Second {
			t.Errorf("the second one waited %v", waited)
		}
	})
}
