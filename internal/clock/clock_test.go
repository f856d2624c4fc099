package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestShiftIsLookedAtNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		c.wall += int64(time.Hour) // as if the wall clock had been put back
		if s := c.Shift(c.Now()); s != -int64(time.Hour) {
			t.Fatalf("shift %v", time.Duration(s))
		}
		c.wall -= int64(time.Minute)
		if s := c.Shift(c.Now() + int64(2*time.Minute)); s != -int64(time.Hour-time.Minute) {
			t.Errorf("shift long after a step %v", time.Duration(s))
		}
		now := c.Now() + int64(2*time.Minute)
		c.wall += int64(time.Minute)
		if s := c.Shift(now); s != -int64(time.Hour-time.Minute) {
			t.Errorf("shift at once %v", time.Duration(s))
		}
	})
}
