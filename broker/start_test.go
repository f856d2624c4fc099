package broker

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
)

// tornByPower is a disk on which a loss of power, at the end of boot one, left holes in
// what was published and not synced.
func tornByPower(t *testing.T, seed uint64) *crashfs.FS {
	t.Helper()
	disk := newDisk(t, seed)
	b := open(t, disk, booted("one"))
	tp := getTopic(t, b, "t")
	getChannel(t, b, "t", "c")
	must(t, publish(tp, numbered("m", 20)...))
	time.Sleep(3 * time.Second) // it is synced
	synctest.Wait()
	for _, body := range numbered("n", 60) {
		must(t, publish(tp, body+strings.Repeat("x", 1000)))
	}
	disk.Crash(crashfs.Random)
	_ = b.Close() // its file system is gone
	return disk
}

func booted(boot string) func(*Options) { return func(o *Options) { o.BootID = boot } }

// However many starts are killed after power was lost, and wherever, what it took stays
// no damage.
func TestStartThatWasKilledMakesNoDamageOfWhatPowerTook(t *testing.T) {
	for at, done := int64(1), false; !done; at++ {
		synctest.Test(t, func(t *testing.T) {
			disk := tornByPower(t, uint64(at))
			for range 2 {
				var calls atomic.Int64
				disk.Fail(func(crashfs.Op, string) error {
					if calls.Add(1) == at {
						disk.Kill()
					}
					return nil
				})
				o := testOptions(disk.Mount())
				booted("two")(&o)
				b, err := Open(o)
				done = calls.Load() < at
				disk.Fail(nil)
				if err == nil {
					kill(disk, b)
				}
			}
			wantSound(t, disk, "two")
			for range 2 {
				b := open(t, disk, booted("two"))
				wantNoDamage(t, b)
				kill(disk, b)
			}
		})
		if t.Failed() {
			t.Fatalf("killed at call %d", at)
		}
	}
}

// What a start could not read may be what power took: as long as nobody knows, it counts
// for no damage, and later it does.
func TestBootCountsOnceEveryLogCouldBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := tornByPower(t, 3)
		path := activeSegment(t, disk)
		unreadable := func(op crashfs.Op, name string) error {
			if op == crashfs.OpOpen && name == path {
				return syscall.EIO
			}
			return nil
		}
		disk.Fail(unreadable)
		b := open(t, disk, booted("two"))
		kill(disk, b)
		disk.Fail(nil)
		b = open(t, disk, booted("two"))
		wantKinds(t, b, DamageKind(diskqueue.Unreadable)) // of the start before
		kill(disk, b)
		b = open(t, disk, booted("two"))
		defer b.Close()
		if !b.sameBoot {
			t.Error("the boot does not count although a start is complete")
		}
	})
}

// A start whose journal does not take what it skips has it taken as soon as it can, and
// is complete then: else none of its boot would count, however long it runs.
func TestStartIsCompleteOnceTheJournalTakesWhatItSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := tornByPower(t, 3)
		b := open(t, disk, booted("two"), func(*Options) {
			topics := false
			disk.Fail(func(op crashfs.Op, name string) error {
				topics = topics || strings.Contains(name, "/topics/t")
				if topics && op == crashfs.OpWrite && strings.Contains(name, "/journal/") {
					return syscall.EIO
				}
				return nil
			})
		})
		b.mu.Lock()
		waiting := len(b.skipped)
		b.mu.Unlock()
		if waiting == 0 {
			t.Error("nothing waits for the journal")
		}
		disk.Fail(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		must(t, publish(getTopic(t, b, "t"), numbered("p", 20)...))
		kill(disk, b)
		wantSound(t, disk, "two")
		b = open(t, disk, booted("two"))
		defer b.Close()
		wantNoDamage(t, b)
		if !b.sameBoot {
			t.Error("the boot does not count although a start is complete")
		}
	})
}
