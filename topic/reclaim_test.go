package topic

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

func TestLooksThatTakeLongAreRare(t *testing.T) {
	for took, want := range map[int64]int64{0: 1e9, 1e6: 1e9, 20e6: 1e9, 300e6: 15e9} {
		if got := lookPause(took); got != want {
			t.Errorf("%d ns after a look of %d, want %d", got, took, want)
		}
	}
}

// wait lets time go by until what is done in the background is done.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// publishAndFinish publishes n messages of a size and has the channel of that name
// finish each.
func (b *bench) publishAndFinish(t *testing.T, channel string, n, size int) {
	t.Helper()
	c := b.channel(t, channel)
	for range n {
		must(t, b.Publish(batchOf(1, size)))
		drain(t, c)
	}
}

// TestSegmentsGoWhenAllChannelsAreDoneWithThem, and a restart does not miss them.
func TestSegmentsGoWhenAllChannelsAreDoneWithThem(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		quick, slow := b.channel(t, "quick"), b.channel(t, "slow")
		for range 20 {
			b.retry(t, func() error { return b.Publish(batchOf(1, 20<<10)) })
			drain(t, quick)
		}
		wait(time.Second)
		if n := segments(disk); n < 400<<10 {
			t.Errorf("%d bytes are left of what one channel still needs", n)
		}
		if n := len(drain(t, slow)); n != 20 {
			t.Errorf("%d messages", n)
		}
		wait(time.Second)
		if n := segments(disk); n > 128<<10 {
			t.Errorf("%d bytes are left of what all are done with", n)
		}
		b.restart(t)
		wait(time.Second)
		b.retry(t, func() error { return b.send("m") })
		if got := drain(t, b.channel(t, "slow")); got[len(got)-1] != "m" {
			t.Errorf("got %d messages, the last %.10q", len(got), got[len(got)-1])
		}
		b.close(t)
	}, smallSegments)
}

// TestLargeSegmentIsEndedWhenAllIsFinishedAndNothingComes.
func TestLargeSegmentIsEndedWhenAllIsFinishedAndNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d")
		b.publishAndFinish(t, "c", 100, 20<<10)
		if n := segments(disk); n < 2_000_000 {
			t.Errorf("%d bytes while messages come", n)
		}
		wait(5 * time.Second)
		if n := segments(disk); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
		b.publishAndFinish(t, "c", 1, 10)
		b.close(t)
	})
}

// TestSegmentsStayUntilTheJournalKnows that they go: a later start would miss them.
func TestSegmentsStayUntilTheJournalKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", smallSegments)
		c := b.channel(t, "c")
		for range 20 {
			must(t, b.Publish(batchOf(1, 20<<10)))
		}
		disk.Fail(onJournal(crashfs.OpWrite, func() error { return errIO }))
		drain(t, c)
		wait(500 * time.Millisecond)
		if n := segments(disk); n < 400<<10 {
			t.Errorf("%d bytes are left while the journal cannot be written", n)
		}
		disk.Fail(nil)
		wait(5 * time.Second)
		if n := segments(disk); n > 128<<10 {
			t.Errorf("%d bytes are left", n)
		}
		b.close(t)
	})
}

// TestFewMessagesThatAreOwedForLongDoNotKeepTheLog: they are carried forward, and
// come when they are due, also after a restart.
func TestFewMessagesThatAreOwedForLongDoNotKeepTheLog(t *testing.T) {
	for name, settings := range map[string][]setting{
		"large segments": nil,
		"small segments": {smallSegments},
		"synced":         {strict},
		"nothing hot":    {smallSegments, nothingHot},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				b := newBench(t, disk, "/d", settings...)
				k := subscribe(t, b.channel(t, "c"))
				var want []string
				for i := range 12 {
					later := fmt.Sprint("later ", i)
					want = append(want, later)
					must(t, b.sendLater(later, time.Hour))
					must(t, b.send(slices.Repeat([]string{strings.Repeat("x", 4000)}, 50)...))
					k.finish(t, k.takeAll()...)
				}
				wait(5 * time.Second)
				if n := segments(disk); n > 256<<10+5*12*64 {
					t.Errorf("%d bytes are held for 12 messages", n)
				}
				k.Close()
				b.restart(t)
				k = subscribe(t, b.channel(t, "c"))
				if got := k.takeAll(); len(got) != 0 {
					t.Errorf("%d messages came early", len(got))
				}
				wait(time.Hour)
				got := bodies(k.takeAll())
				slices.Sort(got)
				if slices.Sort(want); !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
				k.Close()
				b.close(t)
			})
		})
	}
}

// TestFullDiskIsFreedOfWhatIsSparse, piece by piece where there is no room for all
// that is owed of a segment: publishes are taken again, and nothing owed is lost.
func TestFullDiskIsFreedOfWhatIsSparse(t *testing.T) {
	for name, settings := range map[string][]setting{"large segment": nil, "small segments": {smallSegments}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				disk.Limit(8 << 20)
				b := newBench(t, disk, "/d", settings...)
				k := subscribe(t, b.channel(t, "c"))
				body := strings.Repeat("x", 2000)
				for b.send(body) == nil {
				}
				all := k.takeAll()
				later := 0
				for i, d := range all {
					if i%20 == 0 {
						k.requeue(t, time.Hour, d)
						later++
					} else {
						k.finish(t, d)
					}
				}
				for range 20 { // as the node does while publishes are refused
					b.freeSpace()
					if b.Probe() == nil {
						break
					}
					wait(500 * time.Millisecond)
				}
				must(t, b.Failure())
				wait(20 * time.Second)
				must(t, b.send("there is room"))
				if n := segments(disk); n > int64(5*later*2100+256<<10) {
					t.Errorf("%d bytes are held for %d messages of 2000", n, later)
				}
				k.Close()
				b.restart(t)
				if s := b.channel(t, "c").Stats(); s.Deferred != later || s.Depth != 1 {
					t.Errorf("%d are deferred, not %d; depth %d", s.Deferred, later, s.Depth)
				}
				b.close(t)
			})
		})
	}
}

// TestFullDiskThatCannotBeFreedRefuses: nothing that is owed goes.
func TestFullDiskThatCannotBeFreedRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		disk.Limit(4 << 20)
		b := newBench(t, disk, "/d", smallSegments)
		c := b.channel(t, "c")
		n := 0
		var err error
		for ; err == nil; n++ {
			err = b.send(strings.Repeat("x", 2000))
		}
		if !diskFull(err) {
			t.Errorf("refused with %v", err)
		}
		if b.Probe() == nil {
			t.Error("a probe succeeds on a full disk")
		}
		k := subscribe(t, c)
		all := k.takeAll()
		if len(all) != n-1 {
			t.Errorf("%d messages, not %d", len(all), n-1)
		}
		k.finish(t, all[:200]...) // what comes later is owed
		k.Close()
		b.freeSpace()
		must(t, b.Probe())
		must(t, b.send("m"))
		if s := c.Stats(); s.Depth != int64(n-200) {
			t.Errorf("depth %d, not %d", s.Depth, n-200)
		}
		b.close(t)
	})
}

// TestCarryIsGivenUpForAChannelThatIsLearnt meanwhile, which needs all that is there.
func TestCarryIsGivenUpForAChannelThatIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", smallSegments)
		k := subscribe(t, b.channel(t, "c"))
		for range 4 {
			must(t, b.sendLater("later", time.Hour))
			must(t, b.send(slices.Repeat([]string{strings.Repeat("x", 4000)}, 30)...))
		}
		k.finish(t, k.takeAll()...)
		learnt := false
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpSync && strings.HasSuffix(name, ".carry.tmp") && !learnt {
				learnt = true
				if err := b.Learn("learnt"); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		start := b.o.Log.Start()
		wait(5 * time.Second)
		disk.Fail(nil)
		c := b.channel(t, "learnt")
		if learnt && b.o.Log.Start() != start {
			t.Error("what the channel starts with is gone")
		}
		if s := c.Stats(); s.Deferred != 4 {
			t.Errorf("%d of 4 messages are deferred", s.Deferred)
		}
		k.Close()
		b.close(t)
	})
}

// TestCleanerEndsInTheMiddleOfItsWork, and a start goes on with it.
func TestCleanerEndsInTheMiddleOfItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", smallSegments)
		c := b.channel(t, "c")
		for range 100 {
			must(t, b.Publish(batchOf(1, 20<<10)))
		}
		drain(t, c)
		b.close(t) // before anything was given back
		b.open(t)
		wait(5 * time.Second)
		if n := segments(disk); n > 128<<10 {
			t.Errorf("%d bytes are left", n)
		}
		b.close(t)
		b.cleaner().Close()
	})
}
