package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/names"
	"qmq/internal/vfs/crashfs"
)

// slowSyncs lets the sync of each segment take a while.
func slowSyncs(disk *crashfs.FS, d time.Duration) {
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.HasSuffix(name, ".seg") {
			time.Sleep(d)
		}
		return nil
	})
}

// hangSyncs lets the syncs of a topic's segments hang, and tells of the first.
func hangSyncs(disk *crashfs.FS, topic string) (reached <-chan struct{}, free func()) {
	r, f := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.Contains(name, "/"+topic+"-") {
			once.Do(func() { close(r) })
			<-f
		}
		return nil
	})
	return r, func() { close(f) }
}

func logTo(text *strings.Builder) func(*Options) {
	return func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&lockedWriter{to: text}, nil)) }
}

type lockedWriter struct {
	mu sync.Mutex
	to *strings.Builder
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

func TestStopSyncsManyTopicsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const topics = 300
		disk := newDisk(t, 1)
		b := open(t, disk)
		for i := range topics {
			must(t, publish(getTopic(t, b, fmt.Sprint("t", i)), "m"))
		}
		slowSyncs(disk, 50*time.Millisecond)
		start := time.Now()
		must(t, b.Close())
		if took := time.Since(start); took > time.Second {
			t.Errorf("a stop with %d topics to be synced took %v", topics, took)
		}
		disk.Fail(nil)
		disk.Crash(crashfs.DropAll)
		b = open(t, disk)
		for i := range topics {
			if d := getTopic(t, b, fmt.Sprint("t", i)).Stats().Depth; d != 1 {
				t.Fatalf("depth %d after the power was lost behind a stop", d)
			}
		}
		must(t, b.Close())
	})
}

// One log that hangs costs a stop a bounded time and no other log its sync.
func TestStopWaitsForAHangingDiskForABoundedTimeAndSaysForWhat(t *testing.T) {
	for _, when := range []string{"before", "during"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				disk := newDisk(t, 1)
				b := open(t, disk, logTo(&log))
				reached, free := hangSyncs(disk, "stuck")
				must(t, publish(getTopic(t, b, "stuck"), "m"))
				must(t, publish(getTopic(t, b, "well"), "m"))
				if when == "before" {
					<-reached // after SyncTimeout
				}
				start := time.Now()
				must(t, b.Close())
				if took := time.Since(start); took > 3*stopWithin {
					t.Errorf("it took %v", took)
				}
				if text := log.String(); !strings.Contains(text, "waiting for the disk") || !strings.Contains(text, "one=stuck") {
					t.Errorf("the log does not say what is waited for:\n%s", text)
				}
				free()
				synctest.Wait()
				disk.Fail(nil)
				b = open(t, disk)
				for _, name := range []string{"stuck", "well"} {
					if d := getTopic(t, b, name).Stats().Depth; d != 1 {
						t.Errorf("%s: depth %d", name, d)
					}
				}
				must(t, b.Close())
			})
		})
	}
}

// However slow the disk, a deletion is done at once and its name is free.
func TestDeletionDoesNotWaitForARunningSync(t *testing.T) {
	for name, adjust := range map[string]func(*Options){"written": func(*Options) {}, "synced": strict} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, adjust)
				reached, free := hangSyncs(disk, "t")
				tp := getTopic(t, b, "t")
				k := subscribe(t, getChannel(t, b, "t", "c"), 10)
				published := make(chan error, 1)
				go func() { published <- publish(tp, "old") }()
				<-reached
				start := time.Now()
				must(t, b.DeleteTopic("t"))
				<-k.gone
				again := getTopic(t, b, "t")
				if err := <-published; name == "synced" && err == nil {
					t.Error("a publish that was never synced is OK'd")
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %v", took)
				}
				if again == tp || publish(tp, "late") == nil {
					t.Error("the deleted topic takes messages")
				}
				free()
				must(t, publish(again, "new"))
				wantDrained(t, getChannel(t, b, "t", "c"), "new")
				if err := b.Health(); err != nil {
					t.Errorf("health: %v", err)
				}
				k.Close()
				must(t, b.Close())
				for _, f := range disk.Files() {
					if strings.Contains(f.Name, names.DeletedPrefix) || strings.Contains(f.Name, "/"+fmt.Sprintf("t-%016x", tp.Incarnation())) {
						t.Errorf("%s is left", f.Name)
					}
				}
			})
		})
	}
}

// What is at work in the files of a deleted topic neither counts as failed nor
// as damaged.
func TestDeletionUnderLoadLeavesNoTrouble(t *testing.T) {
	for name, adjust := range map[string]func(*Options){"written": func(*Options) {}, "synced": strict} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(t, 1)
			b := open(t, disk, adjust, func(o *Options) { o.SegmentBytes, o.MemQueueSize = 2<<10, 0 })
			var all sync.WaitGroup
			var over atomic.Bool
			for range 3 {
				all.Go(func() {
					for !over.Load() {
						tp, err := b.Topic("t")
						must(t, err)
						for !over.Load() && publish(tp, strings.Repeat("x", 100), "y") == nil {
						}
					}
				})
			}
			all.Go(func() {
				for !over.Load() {
					c, err := getTopic(t, b, "t").Channel("c")
					if err != nil {
						continue
					}
					k, err := trySubscribe(c, 1<<20)
					if err != nil {
						continue
					}
					for !over.Load() && len(k.take()) > 0 {
					}
					k.Close()
				}
			})
			for range 50 {
				getTopic(t, b, "t")
				must(t, b.DeleteTopic("t"))
			}
			over.Store(true)
			all.Wait()
			if err, damage := b.Health(), b.Damage(); err != nil || damage.Messages != 0 {
				t.Errorf("health %v, damage %+v", err, damage)
			}
			must(t, b.Close())
		})
	}
}
