package broker

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// takingDirectory counts how often it is told that other publishes are taken.
type takingDirectory struct {
	directory
	told atomic.Int64
}

func (d *takingDirectory) TakingChanged() { d.told.Add(1) }

// TestWhatANodeTakesIsTold: each reason for which clients' publishes are refused shows,
// and whoever tells directories of it hears when it comes and goes.
func TestWhatANodeTakesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &volume{size: 1 << 30}
		v.free.Store(1 << 30)
		d := &takingDirectory{directory: directory{alone: true}}
		b := open(t, newDisk(t, 1), func(o *Options) {
			o.Volume, o.SpaceLimits, o.MaxTopics, o.Directory = v, SpaceLimits{FreeBytes: 100 << 20}, 1, d
		})
		defer b.Close()
		want := func(takes Takes, why string, toldMore int64) {
			t.Helper()
			if got, text := b.Taking(); got != takes || text != why {
				t.Errorf("takes %v: %q, want %v: %q", got, text, takes, why)
			}
			if n := d.told.Swap(0); n != toldMore {
				t.Errorf("told %d times, want %d", n, toldMore)
			}
		}
		want(TakesAll, "", 0)
		b.SetDraining(true)
		want(TakesNone, ErrDraining.Error(), 1)
		b.SetDraining(false)
		want(TakesAll, "", 1)
		v.free.Store(50 << 20)
		time.Sleep(2 * lookAtMost) // on fake time: it has looked
		want(TakesNone, "the disk has 50.0 MiB free, and --min-free-bytes keeps 100.0 MiB: nothing is published until there is room", 1)
		v.free.Store(1 << 30)
		time.Sleep(2 * lookAtMost) // on fake time: it has looked
		want(TakesAll, "", 1)
		if err := publishAs(b, "t"); err != nil {
			t.Fatal(err)
		}
		want(TakesSome, "no new topics: there are 1, which is --max-topics", 0)
	})
}
