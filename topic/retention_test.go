package topic

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

func TestFinishedMessagesAreKeptForSoLong(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h", "max_age": "1m", "max_bytes": "100KiB"}`)
		for range 20 { // what is kept does not count towards the limit
			b.channel(t, "c")
			must(t, b.sendLater(string(make([]byte, 20<<10)), 0))
			drain(t, b.channel(t, "c"))
		}
		wait(30 * time.Minute)
		if n := segments(disk); n < 400<<10 {
			t.Errorf("%d bytes are left", n)
		}
		if s := b.Stats(); s.Expired != 0 {
			t.Errorf("%+v", s)
		}
		b.restart(t)
		wait(20 * time.Minute)
		if n := segments(disk); n < 400<<10 {
			t.Errorf("after a restart %d bytes are left", n)
		}
		wait(11 * time.Minute)
		synctest.Wait()
		if n := segments(disk); n > 100<<10 {
			t.Errorf("%d bytes are left in the end", n)
		}
	}, smallSegments)
}

func TestFinishedMessagesAreKeptUpToSoMuch(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_bytes": "200KiB"}`)
		b.publishAndFinish(t, "c", 40, 20<<10)
		wait(3 * time.Second)
		if n := segments(disk); n < 150<<10 || n > 300<<10 {
			t.Errorf("%d bytes are left", n)
		}
		b.configure(t, `{"retention_bytes": 0}`)
		wait(3 * time.Second)
		if n := segments(disk); n > 100<<10 {
			t.Errorf("%d bytes are left of what is not to be kept", n)
		}
	}, smallSegments)
}

func TestWhatIsKeptGoesFirstOnAFullDisk(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		b.configure(t, `{"retention_time": "1h"}`)
		b.publishAndFinish(t, "c", 20, 20<<10)
		must(t, b.send("open"))
		if !b.freeSpace() {
			t.Error("nothing was given up")
		}
		if n := segments(disk); n > 100<<10 {
			t.Errorf("%d bytes are left", n)
		}
		wantWaiting(t, b.channel(t, "c"), "open")
	}, smallSegments)
}

func TestSyncIsSwitchedWhileClientsPublish(t *testing.T) {
	for _, way := range []setting{func(*bench) {}, strict} {
		inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
			var syncs atomic.Int64
			disk.Fail(onLog(crashfs.OpSync, func() error { syncs.Add(1); return nil }))
			done := make(chan error, 1)
			go func() {
				for range 50 {
					if err := b.send("x"); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			b.configure(t, `{"sync": "always"}`)
			must(t, <-done)
			synctest.Wait()
			syncs.Store(0)
			must(t, b.send("1", "2", "3"))
			if n := syncs.Load(); n != 3 {
				t.Errorf("%d syncs of 3 publishes that are to be on the disk", n)
			}
			b.configure(t, `{"sync": "interval"}`)
			syncs.Store(0)
			must(t, b.send("4", "5", "6"))
			if n := syncs.Load(); n != 0 {
				t.Errorf("%d syncs of publishes that need not be on the disk", n)
			}
			wait(3 * time.Second)
			if n := syncs.Load(); n != 1 {
				t.Errorf("%d syncs in the background", n)
			}
			b.configure(t, `{"sync": "always"}`)
			b.restart(t)
			syncs.Store(0)
			must(t, b.send("7"))
			if syncs.Load() == 0 {
				t.Error("after a restart a publish is not on the disk")
			}
			disk.Fail(nil)
		}, way)
	}
}

func TestSwitchToSyncThatFailsChangesNothing(t *testing.T) {
	inBench(t, func(t *testing.T, disk *crashfs.FS, b *bench) {
		must(t, b.send("1"))
		disk.Fail(onLog(crashfs.OpSync, func() error { return errIO }))
		if err := b.Configure([]byte(`{"sync": "always"}`)); err == nil {
			t.Error("the change is taken though nothing can be synced")
		}
		disk.Fail(nil)
		if set, _ := b.Config(); set.String() != "" {
			t.Errorf("set is %s", set)
		}
		b.retry(t, func() error { return b.send("2") })
		wantWaiting(t, b.channel(t, "c"), "1", "2")
	})
}
