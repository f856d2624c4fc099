package broker

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

func TestFullDiskRefusesPublishesOnlyAndOnlyWhileItIsFull(t *testing.T) {
	for name, adjust := range map[string]func(*Options){"written": func(*Options) {}, "synced": strict} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, adjust)
				tp := getTopic(t, b, "t")
				c := getChannel(t, b, "t", "c")
				must(t, publish(tp, "1", "2"))
				disk.Limit(disk.Used())
				err := publish(tp, "refused")
				if err == nil || !strings.Contains(err.Error(), "no space left") {
					t.Fatalf("publish: %v", err)
				}
				if err := b.Health(); err == nil || !strings.Contains(err.Error(), "no space left") {
					t.Errorf("health: %v", err)
				}
				k := subscribe(t, c, 10)
				k.finish(t, k.takeAll()...)
				if d := c.Stats().Depth; d != 0 {
					t.Errorf("depth %d", d)
				}
				<-time.After(3 * time.Second)
				if publish(tp, "refused too") == nil {
					t.Error("a full disk took a message")
				}
				disk.Limit(-1)
				<-time.After(3 * time.Second)
				if err := b.Health(); err != nil {
					t.Errorf("health: %v", err)
				}
				must(t, publish(tp, "3"))
				wantDrained(t, c, "3")
				k.Close()
				must(t, b.Close())
				b = open(t, disk, adjust)
				wantDrained(t, getChannel(t, b, "t", "c"), "3")
				must(t, b.Close())
			})
		})
	}
}

// failSyncs makes the syncs of topics' segments fail.
func failSyncs(disk *crashfs.FS) {
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.Contains(name, "/topics/") {
			return errIO
		}
		return nil
	})
}

func TestFailedSyncRefusesWhatItWasToCover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, strict)
		tp := getTopic(t, b, "t")
		c := getChannel(t, b, "t", "c")
		must(t, publish(tp, "1"))
		failSyncs(disk)
		var publishers sync.WaitGroup
		for range 20 {
			publishers.Go(func() {
				if err := publish(tp, "refused"); !errors.Is(err, errIO) {
					t.Errorf("publish: %v", err)
				}
			})
		}
		publishers.Wait()
		if err := b.Health(); !errors.Is(err, errIO) {
			t.Errorf("health: %v", err)
		}
		disk.Fail(nil)
		<-time.After(time.Second)
		must(t, publish(tp, "2"))
		wantDrained(t, c, "1", "2")
		disk.Crash(crashfs.DropAll)
		_ = b.Close()
		b = open(t, disk, strict)
		wantDrained(t, getChannel(t, b, "t", "c"), "1", "2")
		must(t, b.Close())
	})
}

func TestFailedBackgroundSyncKeepsWhatWasOKd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		tp := getTopic(t, b, "t")
		c := getChannel(t, b, "t", "c")
		failSyncs(disk)
		must(t, publish(tp, "1"))
		<-time.After(3 * time.Second)
		if err := b.Health(); !errors.Is(err, errIO) {
			t.Errorf("health: %v", err)
		}
		if err := publish(tp, "refused"); !errors.Is(err, errIO) {
			t.Errorf("publish: %v", err)
		}
		disk.Fail(nil)
		<-time.After(time.Second)
		must(t, publish(tp, "2"))
		wantDrained(t, c, "1", "2")
		kill(disk, b)
		b = open(t, disk)
		wantDrained(t, getChannel(t, b, "t", "c"), "1", "2")
		must(t, b.Close())
	})
}

func TestTopicDeletedWhileItRefusesLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		tp := getTopic(t, b, "t")
		disk.Fail(func(op crashfs.Op, name string) error {
			if (op == crashfs.OpWrite || op == crashfs.OpCreate) && strings.Contains(name, "/topics/") {
				return errIO
			}
			return nil
		})
		if publish(tp, "1") == nil {
			t.Error("published")
		}
		must(t, b.DeleteTopic("t"))
		if err := b.Health(); err != nil {
			t.Error(err)
		}
		disk.Fail(nil)
		<-time.After(3 * time.Second)
		must(t, b.Close())
		if dirs := topicDirs(t, disk); len(dirs) != 0 {
			t.Errorf("left: %q", dirs)
		}
	})
}

func TestDamageLosesTheDamagedMessageOnlyAndIsCounted(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, func(o *Options) { o.MemQueueSize = 0 })
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	must(t, publish(tp, numbered("m", 10)...))
	var segment crashfs.Info
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".seg") {
			segment = f
		}
	}
	const head = 4096 + 64
	record := (segment.Size - head) / 10
	must(t, disk.FlipBit(segment.Name, head+3*record+record-1))
	want := slices.Delete(numbered("m", 10), 3, 4)
	wantDrained(t, c, want...)
	if n := b.Damage().Messages; n != 1 {
		t.Errorf("%d damaged records", n)
	}
	if s := c.Stats(); s.Depth != 9 {
		t.Errorf("depth %d", s.Depth)
	}
	must(t, b.Close())
	b = open(t, disk)
	wantDrained(t, getChannel(t, b, "t", "c"), want...)
	must(t, b.Close())
}

func TestSecondBrokerOnADirectoryIsRefused(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	_, err := Open(testOptions(disk.Mount()))
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "failed to lock data-path") {
		t.Errorf("%v", err)
	}
	must(t, b.Close())
	must(t, open(t, disk).Close())
}

// exactness sets up a channel with messages in all states and says what must
// be the same after a restart.
func exactness(t *testing.T, b *Broker) (check func(*testing.T, *Broker)) {
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	must(t, publish(tp, numbered("m", 10)...))
	must(t, publishDeferred(tp, "deferred", time.Hour))
	k := subscribe(t, c, 6)
	ds := k.takeAll()
	k.finish(t, ds[0], ds[2])
	k.answer(channel.Requeue, 30*time.Minute, ds[1])
	held := ds[3:]
	for range 3 {
		k.answer(channel.Requeue, 0, held...)
		held = k.takeAll()
	}
	k.Close()
	want := c.Stats()
	attempts := make(map[string]uint16)
	note := subscribe(t, c, 100)
	for _, d := range note.takeAll() {
		attempts[d.body] = d.attempts
	}
	note.Close()
	return func(t *testing.T, b *Broker) {
		c := getChannel(t, b, "t", "c")
		s := c.Stats()
		if s.Depth != want.Depth || s.Deferred != want.Deferred || s.InFlight != 0 {
			t.Errorf("depth %d, deferred %d, in flight %d; want %d, %d, 0", s.Depth, s.Deferred, s.InFlight, want.Depth, want.Deferred)
		}
		k := subscribe(t, c, 100)
		got := k.takeAll()
		for _, d := range got {
			if d.attempts != attempts[d.body]+1 {
				t.Errorf("%s: attempt %d, want %d", d.body, d.attempts, attempts[d.body]+1)
			}
			attempts[d.body] = d.attempts
		}
		if len(got) != len(attempts) {
			t.Errorf("%d messages, want %d", len(got), len(attempts))
		}
		k.Close()
	}
}

func TestCleanRestartIsExact(t *testing.T) {
	t.Run("test file system", func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		check := exactness(t, b)
		for range 3 {
			must(t, b.Close())
			b = open(t, disk)
			check(t, b)
		}
		must(t, b.Close())
	})
	t.Run("real file system", func(t *testing.T) {
		o := testOptions(vfs.OS)
		o.DataPath = t.TempDir()
		b, err := Open(o)
		must(t, err)
		check := exactness(t, b)
		for range 3 {
			must(t, b.Close())
			b, err = Open(o)
			must(t, err)
			check(t, b)
		}
		must(t, b.Close())
	})
}

func TestKillAfterAFlushIsExact(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	check := exactness(t, b)
	must(t, b.journal.Flush())
	kill(disk, b)
	b = open(t, disk)
	check(t, b)
	must(t, b.Close())
}

func TestUnknownDirectoriesAreKeptAndWhatDeletionsLeftIsNot(t *testing.T) {
	disk := newDisk(t, 1)
	must(t, disk.WriteFile(dataPath+"/topics/gone-ffffffffffffff00/x.seg", []byte("precious")))
	must(t, disk.WriteFile(dataPath+"/topics/.deleted-old-0000000000000001/x.seg", []byte("x")))
	b := open(t, disk)
	b.background.Wait()
	if got := topicDirs(t, disk); !slices.Equal(got, []string{"gone-ffffffffffffff00"}) {
		t.Errorf("%q", got)
	}
	if tp := getTopic(t, b, "t"); tp.Incarnation() <= 0xffffffffffffff00 {
		t.Errorf("incarnation %x", tp.Incarnation())
	}
	must(t, b.Close())
}

func TestNamesThatDifferByCaseOrAreDotsAreApart(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	names := []string{"..", ".", "A", "a", "a.b", "a-b_C"}
	for _, name := range names {
		must(t, publish(getTopic(t, b, name), name))
	}
	must(t, b.Close())
	if dirs := topicDirs(t, disk); len(dirs) != len(names) || filepath.Base(dirs[0]) != dirs[0] {
		t.Errorf("%q", dirs)
	}
	b = open(t, disk)
	for _, name := range names {
		wantDrained(t, getChannel(t, b, name, "c"), name)
	}
	must(t, b.Close())
}

func TestIncarnationsAreNeverGivenOutTwice(t *testing.T) {
	disk := newDisk(t, 1)
	seen := make(map[uint64]bool)
	for range 3 {
		b := open(t, disk)
		for range 3 {
			tp := getTopic(t, b, "t")
			for _, n := range []uint64{tp.Incarnation(), getChannel(t, b, "t", "c").Incarnation()} {
				if seen[n] {
					t.Errorf("%d again", n)
				}
				seen[n] = true
			}
			must(t, b.DeleteTopic("t"))
		}
		must(t, b.Close())
	}
}

func TestMetadataIsWrittenSoonAfterAChangeAndNeverAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		getChannel(t, b, "t", "c")
		<-time.After(2 * time.Second)
		text, err := disk.ReadFile(dataPath + "/metadata.json")
		must(t, err)
		if !strings.Contains(string(text), `"name": "c"`) {
			t.Errorf("%s", text)
		}
		getChannel(t, b, "t", "d")
		must(t, b.Close())
		before, _ := disk.ReadFile(dataPath + "/metadata.json")
		disk.Fail(func(op crashfs.Op, name string) error {
			t.Errorf("%s %s after Close", op, name)
			return nil
		})
		<-time.After(time.Minute)
		if !strings.Contains(string(before), `"name": "d"`) {
			t.Errorf("%s", before)
		}
	})
}

func TestTopologyMayChangeWhileTheBrokerCloses(t *testing.T) {
	disk := newDisk(t, 1)
	for range 10 {
		b := open(t, disk)
		start := make(chan struct{})
		var workers sync.WaitGroup
		for _, name := range []string{"a", "b", "c#ephemeral", "d"} {
			workers.Go(func() {
				<-start
				for range 100 {
					tp, err := b.Topic(name)
					if err != nil {
						continue
					}
					if c, err := tp.Channel("c#ephemeral"); err == nil {
						_ = publish(tp, "x")
						if k, err := trySubscribe(c, 1); err == nil {
							k.Close()
						}
						tp.ConsumerLeft(c)
					}
					_ = b.DeleteTopic(name)
				}
			})
		}
		workers.Go(func() { <-start; _ = b.Close() })
		close(start)
		workers.Wait()
		if _, err := b.Topic("late"); err != channel.ErrExiting {
			t.Errorf("after Close: %v", err)
		}
	}
	b := open(t, disk)
	for _, tp := range b.Topics() {
		must(t, b.DeleteTopic(tp.Name()))
	}
	must(t, b.Close())
	if dirs := topicDirs(t, disk); len(dirs) != 0 {
		t.Errorf("left: %q", dirs)
	}
}

func TestUnreadableMessagesWaitAndShowInHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, func(o *Options) { o.MemQueueSize = 0 })
		tp := getTopic(t, b, "t")
		c := getChannel(t, b, "t", "c")
		must(t, publish(tp, "1", "2"))
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpRead && strings.HasSuffix(name, ".seg") {
				return syscall.EIO
			}
			return nil
		})
		k := subscribe(t, c, 10)
		if ds := k.take(); len(ds) > 0 {
			t.Fatalf("taken: %v", bodies(ds))
		}
		if err := b.Health(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "channel c") {
			t.Errorf("health: %v", err)
		}
		if s := c.Stats(); s.Depth != 2 || s.InFlight != 0 {
			t.Errorf("depth %d, in flight %d", s.Depth, s.InFlight)
		}
		disk.Fail(nil)
		<-time.After(time.Second)
		if ds := k.take(); !slices.Equal(bodies(ds), []string{"1", "2"}) || ds[0].attempts != 1 {
			t.Errorf("taken: %v", ds)
		}
		if err := b.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
		k.Close()
		must(t, b.Close())
	})
}

func TestHealthForgetsAnUnreadableChannelThatIsDeleted(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, func(o *Options) { o.MemQueueSize = 0 })
	defer b.Close()
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	must(t, publish(tp, "1"))
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRead && strings.HasSuffix(name, ".seg") {
			return syscall.EIO
		}
		return nil
	})
	subscribe(t, c, 10).take()
	if b.Health() == nil {
		t.Error("an unreadable log does not show in health")
	}
	must(t, tp.DeleteChannel("c"))
	if err := b.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
}

func TestFullDiskIsUsableAgainOnceItsMessagesAreDone(t *testing.T) {
	for name, adjust := range map[string]func(*Options){"written": func(*Options) {}, "synced": strict} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, adjust)
				tp := getTopic(t, b, "t")
				c := getChannel(t, b, "t", "c")
				disk.Limit(disk.Used() + 900<<10) // less than a segment
				body := strings.Repeat("x", 100<<10)
				for publish(tp, body) == nil {
				}
				<-time.After(3 * time.Second)
				if b.Health() == nil {
					t.Error("the disk is full of messages and nothing says so")
				}
				k := subscribe(t, c, 100)
				k.finish(t, k.takeAll()...)
				k.Close()
				<-time.After(3 * time.Second)
				if err := b.Health(); err != nil {
					t.Errorf("health: %v", err)
				}
				must(t, publish(tp, body))
				must(t, b.Close())
			})
		})
	}
}
