package topic

import (
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

var errIO = errors.New("input/output error")

// TestEveryPublisherIsAnsweredOnceWhereverTheLogFails lets the nth write, or
// the nth sync, of a log fail that many publish to: all are answered, what was
// OK'd is counted and nothing else, and after a probe it works again.
func TestEveryPublisherIsAnsweredOnceWhereverTheLogFails(t *testing.T) {
	for _, every := range []int64{1, 3, 2500} {
		for _, op := range []crashfs.Op{crashfs.OpWrite, crashfs.OpSync} {
			for n := int64(1); n <= 12; n++ {
				synctest.Test(t, func(t *testing.T) {
					disk := crashfs.New(uint64(n))
					b := newBench(t, disk, "/d", syncEvery(every))
					var seen, good atomic.Int64
					disk.Fail(onLog(op, func() error {
						if seen.Add(1) == n {
							return errIO
						}
						return nil
					}))
					var publishers sync.WaitGroup
					for range 8 {
						publishers.Go(func() {
							for range 10 {
								if err := b.Publish(batchOf(1, 10)); err == nil {
									good.Add(1)
								} else if !errors.Is(err, errIO) {
									t.Error(err)
								}
							}
						})
					}
					publishers.Wait()
					synctest.Wait()
					disk.Fail(nil)
					if s := b.Stats(); s.Depth != good.Load() || s.MessageCount != uint64(good.Load()) {
						t.Errorf("every %d, %s %d: %d OK'd, %+v", every, op, n, good.Load(), s)
					}
					must(t, b.Probe())
					must(t, b.Publish(batchOf(1, 10)))
					if d := b.Stats().Depth; d != good.Load()+1 {
						t.Errorf("every %d, %s %d: depth %d after the probe, want %d", every, op, n, d, good.Load()+1)
					}
					must(t, b.Stop())
					_ = b.Close() // a segment that could not be synced
					must(t, b.journal.Close())
					b.deadlines.Close()
				})
			}
		}
	}
}

// stuckWrites makes writes to the log wait until the channel is closed.
func stuckWrites(disk *crashfs.FS) (release chan struct{}) {
	release = make(chan struct{})
	disk.Fail(onLog(crashfs.OpWrite, func() error {
		<-release
		return nil
	}))
	return release
}

func TestPublishersWaitWhenTooMuchIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", syncEvery(2500))
		release := stuckWrites(disk)
		var publishers sync.WaitGroup
		for range 30 {
			publishers.Go(func() { must(t, b.Publish(batchOf(1, 1<<20))) })
		}
		synctest.Wait()
		b.pipeline.mu.Lock()
		if n := b.pipeline.pendingBytes; n > maxPending+2<<20 || n < maxPending {
			t.Errorf("%d bytes pending", n)
		}
		b.pipeline.mu.Unlock()
		close(release)
		publishers.Wait()
		if d := b.Stats().Depth; d != 30 {
			t.Errorf("depth %d", d)
		}
		b.close(t)
	})
}

func TestStopRefusesWhoWaitsForRoomAndAnswersWhoIsPending(t *testing.T) {
	for _, every := range []int64{1, 2500} {
		synctest.Test(t, func(t *testing.T) {
			disk := crashfs.New(1)
			b := newBench(t, disk, "/d", syncEvery(every))
			release := stuckWrites(disk)
			var good, refused atomic.Int64
			var publishers sync.WaitGroup
			for range 30 {
				publishers.Go(func() {
					switch err := b.Publish(batchOf(1, 1<<20)); err {
					case nil:
						good.Add(1)
					case channel.ErrExiting:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			publishers.Go(func() { must(t, b.Stop()) })
			synctest.Wait()
			if refused.Load() == 0 || good.Load() != 0 {
				t.Errorf("%d OK'd, %d refused", good.Load(), refused.Load())
			}
			close(release)
			publishers.Wait()
			if good.Load()+refused.Load() != 30 || b.Stats().Depth != good.Load() {
				t.Errorf("%d OK'd, %d refused, depth %d", good.Load(), refused.Load(), b.Stats().Depth)
			}
			b.close(t)
		})
	}
}

// TestProbeWaitsForWhatAFailedSyncTakesBack has a probe come while a write is
// under way that the sync which failed is waiting for.
func TestProbeWaitsForWhatAFailedSyncTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", syncEvery(1))
		must(t, b.Publish(batchOf(1, 10)))
		syncing, writing := make(chan struct{}), make(chan struct{})
		disk.Fail(func(op crashfs.Op, name string) error {
			switch {
			case op == crashfs.OpSync && strings.HasSuffix(name, ".seg"):
				<-syncing
				return errIO
			case op == crashfs.OpWrite && strings.HasSuffix(name, ".seg") && b.isSyncing():
				<-writing
			}
			return nil
		})
		var publishers sync.WaitGroup
		refused := func() {
			if err := b.Publish(batchOf(1, 10)); !errors.Is(err, errIO) {
				t.Errorf("published: %v", err)
			}
		}
		publishers.Go(refused)
		synctest.Wait() // it is written, and its sync under way
		publishers.Go(refused)
		synctest.Wait() // this one is being written
		close(syncing)
		synctest.Wait() // the sync has failed
		probed := make(chan error, 1)
		go func() { probed <- b.Probe() }()
		synctest.Wait()
		if len(probed) > 0 {
			t.Error("the probe did not wait")
		}
		if b.Publish(batchOf(1, 10)) == nil {
			t.Error("published before the writes were taken back")
		}
		close(writing)
		must(t, <-probed)
		publishers.Wait()
		disk.Fail(nil)
		must(t, b.Publish(batchOf(1, 10)))
		if d := b.Stats().Depth; d != 2 {
			t.Errorf("depth %d", d)
		}
		must(t, b.Stop())
		must(t, b.journal.Close())
		_ = b.Close()
		b.deadlines.Close()
	})
}

func (t *Topic) isSyncing() bool {
	s := t.pipeline.committer.(*synced)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncing
}

// TestWhatAFailedSyncLeavesInTheLogDoesNotComeBack: a segment that was synced before
// another one failed keeps what was refused, also when nothing is published after it.
func TestWhatAFailedSyncLeavesInTheLogDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", strict, smallSegments)
		b.channel(t, "c")
		syncs, first := 0, make(chan struct{})
		disk.Fail(onLog(crashfs.OpSync, func() error {
			switch syncs++; syncs {
			case 1:
				<-first
			case 3: // the second of two segments
				return syscall.EIO
			}
			return nil
		}))
		var publishers sync.WaitGroup
		var refused atomic.Int64
		for _, name := range []string{"good", "refused 1", "refused 2"} {
			publishers.Go(func() {
				if err := b.send(name + strings.Repeat(".", 60<<10)); err != nil {
					refused.Add(1)
				}
			})
			synctest.Wait() // each is in a segment of its own
		}
		close(first)
		publishers.Wait()
		synctest.Wait()
		disk.Fail(nil)
		if refused.Load() != 2 {
			t.Fatalf("%d publishes were refused", refused.Load())
		}
		b.restart(t)
		if got := drain(t, b.channel(t, "c")); len(got) != 1 || !strings.HasPrefix(got[0], "good") {
			t.Errorf("after a restart there are %d messages, %.60q", len(got), got)
		}
		b.close(t)
	})
}

func TestBackgroundSyncComesAfterEnoughRecordsOrTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", syncEvery(10))
		var syncs atomic.Int64
		disk.Fail(onLog(crashfs.OpSync, func() error { syncs.Add(1); return nil }))
		must(t, b.Publish(batchOf(9, 10)))
		synctest.Wait()
		if n := syncs.Load(); n != 0 {
			t.Errorf("%d syncs of 9 records", n)
		}
		must(t, b.Publish(batchOf(1, 10)))
		synctest.Wait()
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs of 10 records", n)
		}
		must(t, b.Publish(batchOf(1, 10)))
		b.pass(b.o.Sync.Timeout + 20*time.Millisecond)
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d syncs after the time", n)
		}
		b.close(t)
	})
}

func TestFinishedRecordsNeedNoBackgroundSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", syncEvery(10))
		var syncs atomic.Int64
		disk.Fail(onLog(crashfs.OpSync, func() error { syncs.Add(1); return nil }))
		publish := func(n int, wanted int64, why string) {
			must(t, b.Publish(batchOf(n, 10)))
			synctest.Wait()
			if got := syncs.Load(); got != wanted {
				t.Errorf("%d syncs, not %d: %s", got, wanted, why)
			}
		}
		var channels []*channel.Channel
		for _, name := range []string{"quick", "slow"} {
			c, err := b.Channel(name)
			must(t, err)
			channels = append(channels, c)
		}
		publish(9, 0, "9 records")
		channels[0].Empty(math.MaxUint64)
		publish(1, 1, "10 records that one of two channels has not finished")
		channels[0].Empty(math.MaxUint64)
		channels[1].Empty(math.MaxUint64)
		publish(9, 1, "9 records after 10 finished ones")
		channels[0].Empty(math.MaxUint64)
		channels[1].Empty(math.MaxUint64)
		publish(9, 1, "9 of 18 records are finished")
		publish(1, 2, "10 of 19 records are not finished")
		b.close(t)
	})
}

// outOfDescriptors lets what is op on the topic's directory, or on its segments,
// fail for want of descriptors until a moment.
func outOfDescriptors(op crashfs.Op, until time.Time) func(crashfs.Op, string) error {
	return func(o crashfs.Op, name string) error {
		if o == op && (name == "/d/t" || strings.HasSuffix(name, ".seg")) && time.Now().Before(until) {
			return syscall.EMFILE
		}
		return nil
	}
}

// TestLackOfDescriptorsOnlyDelays a publish whose segment cannot be made, or
// whose new segment's directory cannot be opened to be synced, for a while:
// that says nothing of the disk.
func TestLackOfDescriptorsOnlyDelays(t *testing.T) {
	for _, every := range []int64{1, 10} {
		for _, op := range []crashfs.Op{crashfs.OpCreate, crashfs.OpSyncDir} {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				b := newBench(t, disk.Mount(), "/d", syncEvery(every))
				disk.Fail(outOfDescriptors(op, time.Now().Add(1500*time.Millisecond)))
				for range 4 {
					must(t, b.Publish(batchOf(10, 10)))
				}
				b.pass(b.o.Sync.Timeout + 20*time.Millisecond)
				if b.failures.Load() != 0 || b.Stats().Depth != 40 {
					t.Errorf("every %d, %s: publishes were refused %d times, depth %d", every, op, b.failures.Load(), b.Stats().Depth)
				}
				end := b.o.Log.End()
				disk.Crash(crashfs.DropAll)
				_ = b.Stop()
				_ = b.Close() // it died
				_ = b.journal.Close()
				b.deadlines.Close()
				again := newBench(t, disk, "/d", syncEvery(every))
				r := again.o.Log.NewReader()
				for seq := end - 40; seq < end; seq++ {
					if _, err := r.Read(seq); err != nil {
						t.Errorf("every %d, %s: message %d after the power was cut: %v", every, op, seq, err)
					}
				}
				r.Release()
				again.close(t)
			})
		}
	}
}

// TestLastingLackOfDescriptors delays background syncs, and refuses what must
// be synced, or have a new segment, before it is OK'd; nothing of that is there.
func TestLastingLackOfDescriptors(t *testing.T) {
	for _, test := range []struct {
		every   int64
		op      crashfs.Op
		refused bool
	}{{1, crashfs.OpCreate, true}, {1, crashfs.OpSyncDir, true}, {10, crashfs.OpCreate, true}, {10, crashfs.OpSyncDir, false}} {
		synctest.Test(t, func(t *testing.T) {
			disk := crashfs.New(1)
			b := newBench(t, disk, "/d", syncEvery(test.every))
			disk.Fail(outOfDescriptors(test.op, time.Now().Add(time.Hour)))
			want := int64(0)
			err := b.Publish(batchOf(10, 10))
			switch {
			case test.refused && !errors.Is(err, syscall.EMFILE):
				t.Errorf("%+v: %v", test, err)
			case !test.refused:
				must(t, err)
				want = 10
			}
			b.pass(b.o.Sync.Timeout + 5*time.Second)
			if got := b.failures.Load() > 0; got != test.refused {
				t.Errorf("%+v: publishes are refused: %v", test, got)
			}
			disk.Fail(nil)
			if test.refused {
				must(t, b.Probe())
			}
			must(t, b.Publish(batchOf(1, 10)))
			if d := b.Stats().Depth; d != want+1 {
				t.Errorf("%+v: depth %d, want %d", test, d, want+1)
			}
			b.close(t)
		})
	}
}

// TestChannelLearntLateHasItsMessagesSynced: nobody needed them before.
func TestChannelLearntLateHasItsMessagesSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", syncEvery(10))
		var syncs atomic.Int64
		disk.Fail(onLog(crashfs.OpSync, func() error { syncs.Add(1); return nil }))
		c, err := b.Channel("c")
		must(t, err)
		must(t, b.Publish(batchOf(5, 10)))
		c.Empty(math.MaxUint64)
		b.pass(2 * b.o.Sync.Timeout)
		if n := syncs.Load(); n != 0 {
			t.Errorf("%d syncs of finished records", n)
		}
		must(t, b.Learn("learnt"))
		b.pass(2 * b.o.Sync.Timeout)
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs for a channel that has them before it", n)
		}
		b.close(t)
	})
}

func TestEphemeralTopicWithAChannelDropsNothingWhileItsFanOutStandsBriefly(t *testing.T) {
	for name, stand := range map[string]func(*Topic){
		"held":        func(tp *Topic) { tp.fanout.learning = true },
		"catching up": func(tp *Topic) { tp.fanout.catchingUp = true },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, vfs.NewMem(), "/", ephemeral, func(b *bench) { b.options.Common.MemQueueSize = 1 })
			defer b.close(t)
			_, err := b.Channel("c")
			must(t, err)
			b.fanout.mu.Lock()
			stand(b.Topic)
			b.fanout.mu.Unlock()
			must(t, b.Publish(batchOf(100, 10)))
			b.fanout.mu.Lock()
			b.fanout.catchingUp = false
			b.fanout.mu.Unlock()
			if waiting := b.Stats().Depth; waiting != 100 {
				t.Errorf("%d of 100 messages are there", waiting)
			}
		})
	}
}
