package topic

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
)

// TestEveryChannelGetsWhatIsOKdOnceAndInOrder has many publish while a channel is
// there and another one comes: both get all that is OK'd since they are there, each
// publisher's messages in its order, and nothing that was refused.
func TestEveryChannelGetsWhatIsOKdOnceAndInOrder(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		first := b.channel(t, "first")
		var publishers sync.WaitGroup
		publishAll := func(part string) {
			for p := range 8 {
				publishers.Go(func() {
					for i := range 20 {
						body := fmt.Sprintf("%s %d %02d", part, p, i)
						for b.send(body) != nil { // a refused one may not be there
							_ = b.Probe()
						}
					}
				})
			}
			publishers.Wait()
		}
		publishAll("before")
		second := b.channel(t, "second")
		publishAll("after")
		for c, want := range map[*channel.Channel]int{first: 320, second: 160} {
			got := drain(t, c)
			if len(got) != want {
				t.Errorf("channel %s got %d messages, not %d", c.Name(), len(got), want)
			}
			slices.SortStableFunc(got, func(x, y string) int { return int(x[len(x)-4]) - int(y[len(y)-4]) })
			for i := 1; i < len(got); i++ {
				if got[i][len(got[i])-4] == got[i-1][len(got[i-1])-4] && got[i][:1] == got[i-1][:1] && got[i] <= got[i-1] {
					t.Errorf("channel %s got %q behind %q", c.Name(), got[i], got[i-1])
				}
			}
		}
		if s := b.Stats(); s.MessageCount != 320 || s.Depth != 0 {
			t.Errorf("%+v", s)
		}
		b.close(t)
	})
}

// TestWhatIsOKdIsThereAfterARestart, once, for each channel.
func TestWhatIsOKdIsThereAfterARestart(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		b.channel(t, "c")
		want := numbered("m", 10)
		for _, body := range want {
			b.retry(t, func() error { return b.send(body) })
		}
		b.channel(t, "late")
		b.restart(t)
		b.retry(t, func() error { return b.send("last") })
		late, c := b.channel(t, "late"), b.channel(t, "c")
		got := drain(t, c)
		if _, maybe := b.Topic.pipeline.committer.(*refusing); maybe {
			got = slices.Compact(got) // what was refused may be there twice: it is in the log
		}
		if !slices.Equal(got, append(want, "last")) {
			t.Errorf("got %q", got)
		}
		wantWaiting(t, late, "last")
		b.close(t)
	})
}

// TestCommitsCountOnlyOnceTheyAreDone: nobody sees a message whose publisher is not
// told yet, unless both happen at once.
func TestCommitsCountOnlyOnceTheyAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", committers["delayed"])
		c := b.channel(t, "c")
		k := subscribe(t, c)
		var publisher sync.WaitGroup
		publisher.Go(func() { must(t, b.send("m")) })
		synctest.Wait()
		if got := k.takeAll(); len(got) != 0 {
			t.Errorf("%q was given out before it was committed", bodies(got))
		}
		publisher.Wait()
		if got := bodies(k.takeAll()); !slices.Equal(got, []string{"m"}) {
			t.Errorf("got %q", got)
		}
		k.Close()
		b.close(t)
	})
}

// TestRefusedGroupsAreVoid, also those whose records the log holds: they are in no
// depth, and a channel passes them.
func TestRefusedGroupsAreVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", committers["refusing"])
		c := b.channel(t, "c")
		var good []string
		for i := range 30 {
			body := fmt.Sprint(i)
			switch err := b.send(body); {
			case err == nil:
				good = append(good, body)
			case errors.Is(err, errRefused):
				if err := b.send("meanwhile"); !errors.Is(err, errRefused) {
					t.Errorf("published before a probe: %v", err)
				}
				must(t, b.Probe())
			default:
				t.Error(err)
			}
		}
		if len(good) != 20 || c.Stats().Depth != 20 {
			t.Errorf("%d are OK'd, depth %d", len(good), c.Stats().Depth)
		}
		wantWaiting(t, c, good...)
		b.close(t)
	})
}

// TestFailureIsToldOnceAndProbed: whoever looks after the topic hears when it begins
// to refuse and when it takes messages again.
func TestFailureIsToldOnceAndProbed(t *testing.T) {
	for _, name := range []string{"direct", "synced", "delayed"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				b := newBench(t, disk, "/d", committers[name])
				must(t, b.Probe()) // of a topic that is well it does nothing
				disk.Fail(onLog(crashfs.OpWrite, func() error { return errIO }))
				var publishers sync.WaitGroup
				for range 20 {
					publishers.Go(func() {
						if err := b.send("m"); !errors.Is(err, errIO) {
							t.Errorf("published: %v", err)
						}
					})
				}
				publishers.Wait()
				if n := b.failures.Load(); n != 1 || !errors.Is(b.Failure(), errIO) {
					t.Errorf("told %d times, failure %v", n, b.Failure())
				}
				disk.Fail(onFiles(crashfs.OpWrite, "probe.tmp", func() error { return errIO }))
				if err := b.Probe(); !errors.Is(err, errIO) || b.Failure() == nil {
					t.Errorf("probe: %v, failure %v", err, b.Failure())
				}
				disk.Fail(nil)
				must(t, b.Probe())
				if b.Failure() != nil {
					t.Errorf("failure after the probe: %v", b.Failure())
				}
				must(t, b.send("m"))
				must(t, b.Stop())
				if err := b.Probe(); err != channel.ErrExiting || b.Failure() != nil {
					t.Errorf("after the stop: %v, %v", err, b.Failure())
				}
				b.close(t)
			})
		})
	}
}

// TestDropRefusesWhoWaitsAndWaitsForNoDisk: those whose batch is written and not
// committed are told at once, while a sync hangs or others do not agree.
func TestDropRefusesWhoWaitsAndWaitsForNoDisk(t *testing.T) {
	for _, name := range []string{"synced", "delayed"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				b := newBench(t, disk, "/d", committers[name])
				k := subscribe(t, b.channel(t, "c"))
				if d, ok := b.pipeline.committer.(*delayed); ok {
					d.after = time.Hour
				}
				syncing := make(chan struct{})
				disk.Fail(onLog(crashfs.OpSync, func() error { <-syncing; return nil }))
				var refused atomic.Int64
				var publishers sync.WaitGroup
				for range 5 {
					publishers.Go(func() {
						if err := b.send("m"); err == channel.ErrExiting {
							refused.Add(1)
						}
					})
				}
				synctest.Wait()
				b.Drop()
				publishers.Wait()
				if refused.Load() != 5 || !k.closed.Load() {
					t.Errorf("%d publishers are refused, the consumer is closed: %v", refused.Load(), k.closed.Load())
				}
				if err := b.send("m"); err != channel.ErrExiting {
					t.Errorf("published: %v", err)
				}
				close(syncing)
				b.Discard()
				if got := k.takeAll(); len(got) != 0 {
					t.Errorf("%q came after the end", bodies(got))
				}
				b.abandon()
			})
		})
	}
}

// TestDropRefusesWhoIsWrittenWhenTheWriteEnds: a batch is its publisher's again only
// when nobody reads it.
func TestDropRefusesWhoIsWrittenWhenTheWriteEnds(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		release := stuckWrites(disk)
		var refused atomic.Int64
		var publishers sync.WaitGroup
		for range 5 {
			publishers.Go(func() {
				if err := b.send("m"); err == channel.ErrExiting {
					refused.Add(1)
				} else {
					t.Errorf("published: %v", err)
				}
			})
		}
		synctest.Wait()
		b.Drop()
		synctest.Wait()
		if n := refused.Load(); n != 0 {
			t.Errorf("%d are told while they are written", n)
		}
		close(release)
		publishers.Wait()
		b.Discard()
		b.abandon()
	})
}

// TestDropRefusesWhoIsWrittenWhileASyncHangs: when the write has ended, whatever
// becomes of the sync.
func TestDropRefusesWhoIsWrittenWhileASyncHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", strict)
		syncing, writing := make(chan struct{}), make(chan struct{})
		stuckSync := onLog(crashfs.OpSync, func() error { <-syncing; return nil })
		disk.Fail(stuckSync)
		var publishers sync.WaitGroup
		publish := func() {
			if err := b.send("m"); err != channel.ErrExiting {
				t.Errorf("published: %v", err)
			}
		}
		publishers.Go(publish)
		synctest.Wait()
		stuckWrite := onLog(crashfs.OpWrite, func() error { <-writing; return nil })
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpWrite {
				return stuckWrite(op, name)
			}
			return stuckSync(op, name)
		})
		publishers.Go(publish)
		synctest.Wait()
		b.Drop()
		close(writing)
		publishers.Wait()
		close(syncing)
		b.Discard()
		b.abandon()
	})
}

// TestFullDiskIsFreedBeforeAPublishIsRefused: what is finished makes room.
func TestFullDiskIsFreedBeforeAPublishIsRefused(t *testing.T) {
	for _, name := range []string{"direct", "synced", "delayed"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				disk.Limit(1 << 20)
				b := newBench(t, disk, "/d", committers[name], smallSegments)
				c := b.channel(t, "c")
				for range 300 {
					must(t, b.Publish(batchOf(1, 20<<10)))
					drain(t, c)
				}
				if b.failures.Load() != 0 {
					t.Errorf("publishes were refused %d times", b.failures.Load())
				}
				b.close(t)
			})
		})
	}
}
