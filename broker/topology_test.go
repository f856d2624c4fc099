package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

var errIO = errors.New("input/output error")

// failJournal makes all writes of the journal fail.
func failJournal(disk *crashfs.FS) {
	disk.Fail(func(op crashfs.Op, name string) error {
		if (op == crashfs.OpWrite || op == crashfs.OpCreate) && strings.Contains(name, "/journal/") {
			return errIO
		}
		return nil
	})
}

func TestChannelWhoseEndCannotBeJournalledStaysWithAllItsMessages(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, func(o *Options) { o.SegmentBytes, o.MemQueueSize = 1<<10, 1 })
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	fast := getChannel(t, b, "t", "fast")
	all := numbered("a message of some length ", 100)
	must(t, publish(tp, all[:50]...))
	failing := make(chan struct{})
	var once sync.Once
	disk.Fail(func(op crashfs.Op, name string) error {
		if (op != crashfs.OpWrite && op != crashfs.OpCreate) || !strings.Contains(name, "/journal/") {
			return nil
		}
		once.Do(func() {
			close(failing)
			// What comes while the journal is being written is not lost, nor
			// is what others do not need any more.
			must(t, publish(tp, all[50:]...))
			must(t, publishDeferred(tp, "deferred", time.Millisecond))
			k := subscribe(t, fast, 1000)
			k.finish(t, k.takeAll()...)
			k.Close()
		})
		return errIO
	})
	if err := tp.DeleteChannel("c"); !errors.Is(err, errIO) {
		t.Errorf("deleted: %v", err)
	}
	<-failing
	disk.Fail(nil)
	wantDrained(t, c, append(all, "deferred")...)
	must(t, tp.DeleteChannel("c"))
	must(t, b.Close())
}

func TestNothingIsCreatedThatTheJournalDoesNotKnow(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	failJournal(disk)
	if _, err := b.Topic("u"); !errors.Is(err, errIO) {
		t.Errorf("topic: %v", err)
	}
	if _, err := tp.Channel("c"); !errors.Is(err, errIO) {
		t.Errorf("channel: %v", err)
	}
	if err := tp.Pause(); !errors.Is(err, errIO) || tp.Paused() {
		t.Errorf("pause: %v", err)
	}
	if err := b.DeleteTopic("t"); !errors.Is(err, errIO) {
		t.Errorf("deletion: %v", err)
	}
	if b.Health() == nil {
		t.Error("health is good")
	}
	disk.Fail(nil)
	if _, ok := b.Existing("u"); ok {
		t.Error("topic is there")
	}
	must(t, publish(tp, "1"))
	wantDrained(t, getChannel(t, b, "t", "c"), "1")
	if err := b.Health(); err != nil {
		t.Error(err)
	}
	getTopic(t, b, "u")
	must(t, b.Close())
}

// TestEveryChannelGetsWhatIsOKdAfterItsCreation publishes from several
// goroutines while channels come, go and are paused, and the topic is.
func TestEveryChannelGetsWhatIsOKdAfterItsCreation(t *testing.T) {
	for _, adjust := range []func(*Options){func(*Options) {}, strict} {
		b := open(t, newDisk(t, 1), adjust, func(o *Options) { o.SegmentBytes, o.MemQueueSize = 16<<10, 50 })
		tp := getTopic(t, b, "t")
		getChannel(t, b, "t", "always")
		var mu sync.Mutex
		owed := map[string]map[string]bool{"always": {}}
		var publishers sync.WaitGroup
		for p := range 4 {
			publishers.Go(func() {
				for i := range 300 {
					body := fmt.Sprintf("%d-%d", p, i)
					mu.Lock()
					var to []map[string]bool
					for _, m := range owed {
						to = append(to, m)
					}
					mu.Unlock()
					var batch diskqueue.Batch
					batch.Reset()
					if now := time.Now(); i%7 == 0 {
						batch.Add(&message.Meta{Timestamp: now.UnixNano(), DeliverAt: now.UnixMilli() + 2}, []byte(body))
					} else {
						batch.Add(&message.Meta{Timestamp: now.UnixNano()}, []byte(body))
					}
					if err := tp.Publish(&batch); err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, m := range to {
						m[body] = true
					}
					mu.Unlock()
				}
			})
		}
		done := make(chan struct{})
		var changes sync.WaitGroup
		change := func(f func(i int)) {
			changes.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
						f(i)
					}
				}
			})
		}
		change(func(i int) {
			name := fmt.Sprintf("kept%d", i%20)
			if _, ok := tp.ExistingChannel(name); ok {
				return
			}
			if _, err := tp.Channel(name); err != nil {
				t.Error(err)
			}
			mu.Lock()
			owed[name] = make(map[string]bool)
			mu.Unlock()
		})
		change(func(int) {
			if _, err := tp.Channel("brief"); err != nil {
				t.Error(err)
			}
			if err := tp.DeleteChannel("brief"); err != nil {
				t.Error(err)
			}
		})
		change(func(int) { must(t, errors.Join(tp.Pause(), tp.Unpause())) })
		change(func(int) { must(t, errors.Join(tp.PauseChannel("always"), tp.UnpauseChannel("always"))) })
		publishers.Wait()
		close(done)
		changes.Wait()
		for name, want := range owed {
			c := getChannel(t, b, "t", name)
			k := subscribe(t, c, 1<<20)
			seen := make(map[string]int)
			for _, d := range k.takeWithDeferred() {
				seen[d.body]++
			}
			k.Close()
			for body := range want {
				if seen[body] == 0 {
					t.Errorf("%s lost %s", name, body)
				}
			}
			for body, n := range seen {
				if n > 1 {
					t.Errorf("%s has %s %d times", name, body, n)
				}
			}
			if name == "always" && len(seen) != 1200 {
				t.Errorf("%d messages", len(seen))
			}
		}
		must(t, b.Close())
	}
}

func TestKillBetweenDeletionAndRenameLeavesNoFiles(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	must(t, publish(getTopic(t, b, "gone"), "a", "b"))
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRename && strings.Contains(name, "gone-") {
			disk.Kill()
		}
		return nil
	})
	_ = b.DeleteTopic("gone") // its answer is lost with the process
	disk.Fail(nil)
	_ = b.Close()

	b = open(t, disk)
	defer b.Close()
	if _, ok := b.Existing("gone"); ok {
		t.Error("the deleted topic is back")
	}
	b.background.Wait()
	for _, f := range disk.Files() {
		if strings.Contains(f.Name, "gone-") {
			t.Errorf("%s is left", f.Name)
		}
	}
}
