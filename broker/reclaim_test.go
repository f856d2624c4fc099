package broker

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// segmentFiles is how long the segment files of all topics are, all together.
func segmentFiles(disk *crashfs.FS) (n int64) {
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, dataPath+"/topics/") && strings.HasSuffix(f.Name, ".seg") {
			n += f.Size
		}
	}
	return n
}

// inMemory is how long the files of ephemeral topics are, all together.
func inMemory(t *testing.T, b *Broker) (n int64) {
	t.Helper()
	var sum func(fsys vfs.FS, dir string)
	sum = func(fsys vfs.FS, dir string) {
		entries, err := fsys.ReadDir(dir)
		if err != nil {
			return // it is being removed
		}
		for _, e := range entries {
			if e.IsDir() {
				sum(fsys, filepath.Join(dir, e.Name()))
				continue
			}
			info, err := e.Info()
			must(t, err)
			n += info.Size()
		}
	}
	sum(b.memory.FS(), b.topicsDir())
	return n
}

func large(o *Options) { o.SegmentBytes = 100 << 20 }

// consumeAll takes and finishes what a channel has now.
func consumeAll(t *testing.T, k *consumer) (n int) {
	t.Helper()
	for {
		ds := k.take()
		if len(ds) == 0 {
			return n
		}
		k.finish(t, ds...)
		n += len(ds)
	}
}

func TestFinishedSegmentIsGivenBackWhenItsTopicIsIdle(t *testing.T) {
	for name, adjust := range map[string]func(*Options){"written": func(*Options) {}, "synced": strict} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, large, adjust)
				for i := range 20 {
					tp := getTopic(t, b, fmt.Sprint("t", i))
					k := subscribe(t, getChannel(t, b, tp.Name(), "c"), 1000)
					for range 15 {
						must(t, publish(tp, strings.Repeat("x", 100<<10)))
					}
					consumeAll(t, k)
					k.Close()
				}
				<-time.After(3 * time.Second)
				synctest.Wait()
				if n := segmentFiles(disk); n > 20*8<<10 {
					t.Errorf("%d bytes of which nobody needs any", n)
				}
				must(t, publish(getTopic(t, b, "t0"), "after"))
				kill(disk, b)
				b = open(t, disk, adjust)
				wantDrained(t, getChannel(t, b, "t0", "c"), "after")
				if d := b.Damage(); d.Messages != 0 {
					t.Errorf("%d messages are said to be damaged", d.Messages)
				}
				must(t, b.Close())
			})
		})
	}
}

// A topic with little in it is left alone, and one at work is not looked at for
// the sake of a few bytes.
func TestSmallFinishedSegmentStaysUntilRoomIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, large)
		for i := range 10 {
			tp := getTopic(t, b, fmt.Sprint("t", i))
			k := subscribe(t, getChannel(t, b, tp.Name(), "c"), 1000)
			for range 9 {
				must(t, publish(tp, strings.Repeat("x", 100<<10)))
			}
			consumeAll(t, k)
			k.Close()
		}
		<-time.After(5 * time.Second)
		if n := segments(t, disk); n != 10 {
			t.Errorf("%d segments of 10 topics", n)
		}
		disk.Limit(disk.Used() + 50<<10)
		tp := getTopic(t, b, "new")
		getChannel(t, b, "new", "c")
		for i := range 60 {
			if err := publish(tp, strings.Repeat("y", 100<<10)); err != nil {
				t.Fatalf("message %d is refused, though everything before was finished: %v", i, err)
			}
		}
		if err := b.Health(); err != nil {
			t.Error(err)
		}
		must(t, b.Close())
		b = open(t, disk, large)
		if d := b.Damage(); d.Messages != 0 {
			t.Errorf("%d messages are said to be damaged", d.Messages)
		}
		c := getChannel(t, b, "new", "c")
		if d := c.Stats().Depth; d != 60 {
			t.Errorf("depth %d", d)
		}
		must(t, b.Close())
	})
}

// What everybody has finished goes, whatever lies before it.
func TestFinishedSegmentsBehindAHeldMessageAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, func(o *Options) { o.SegmentBytes = 64 << 10 })
		tp := getTopic(t, b, "t")
		k := subscribe(t, getChannel(t, b, "t", "c"), 1000)
		must(t, publish(tp, "held"))
		held := k.take()
		for range 100 {
			must(t, publish(tp, strings.Repeat("x", 20<<10)))
		}
		consumeAll(t, k)
		<-time.After(3 * time.Second)
		synctest.Wait()
		if n := segmentFiles(disk); n > 3*64<<10 {
			t.Errorf("%d bytes for one message", n)
		}
		// A channel that comes late gets no number that is gone.
		must(t, tp.Learn("late"))
		kill(disk, b)
		b = open(t, disk)
		if d := b.Damage(); d.Messages != 0 {
			t.Errorf("%d messages are said to be damaged", d.Messages)
		}
		wantDrained(t, getChannel(t, b, "t", "c"), bodies(held)...)
		must(t, b.Close())
	})
}

func TestEphemeralTopicHoldsNothingThatIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1), large)
		tp := getTopic(t, b, "t#ephemeral")
		k := subscribe(t, getChannel(t, b, "t#ephemeral", "c"), 1000)
		for i := range 300 {
			must(t, publish(tp, strings.Repeat("x", 20<<10)))
			consumeAll(t, k)
			if n := inMemory(t, b); n > 64<<10 {
				t.Fatalf("%d bytes of which nobody needs any, after %d messages", n, i+1)
			}
		}
		// One message that comes back later holds itself and what shares its segment.
		must(t, publish(tp, "later"))
		k.answer(channel.Requeue, time.Minute, k.take()...)
		for range 300 {
			must(t, publish(tp, strings.Repeat("x", 20<<10)))
			consumeAll(t, k)
		}
		<-time.After(3 * time.Second)
		synctest.Wait()
		if n := inMemory(t, b); n > 600<<10 {
			t.Errorf("%d bytes for one message", n)
		}
		<-time.After(time.Minute)
		if got := bodies(k.takeAll()); len(got) != 1 || got[0] != "later" {
			t.Errorf("%q", got)
		}
		k.Close()
		must(t, b.Close())
	})
}

func TestEphemeralTopicsAndHotTailsShareOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget, size = 4 << 20, 10 << 10
		b := open(t, newDisk(t, 1), large, func(o *Options) { o.HotBytes = budget })
		// Hot tails take all of it, and give way.
		must(t, publish(getTopic(t, b, "disk"), numbered(strings.Repeat("d", size), 500)...))
		var consumers []*consumer
		published := 0
		for i := range 3 {
			tp := getTopic(t, b, fmt.Sprintf("t%d#ephemeral", i))
			consumers = append(consumers, subscribe(t, getChannel(t, b, tp.Name(), "c"), 0))
			must(t, publish(tp, numbered(strings.Repeat("m", size), 300)...))
			published += 300
			if s := tp.Stats(); s.MessageCount != 300 {
				t.Errorf("%d messages were published", s.MessageCount)
			}
		}
		if n := inMemory(t, b); n > budget+100<<10 || n < budget/2 {
			t.Errorf("%d bytes in memory, the budget is %d", n, budget)
		}
		got, dropped := 0, uint64(0)
		for i, k := range consumers {
			k.SetReady(1000)
			got += consumeAll(t, k)
			dropped += getTopic(t, b, fmt.Sprintf("t%d#ephemeral", i)).Stats().Dropped
		}
		if got+int(dropped) != published || dropped == 0 {
			t.Errorf("%d of %d messages came, %d are counted as dropped", got, published, dropped)
		}
		// There is room again.
		must(t, publish(getTopic(t, b, "t0#ephemeral"), "more"))
		if n := consumeAll(t, consumers[0]); n != 1 {
			t.Errorf("%d messages", n)
		}
		for i, k := range consumers {
			k.Close()
			must(t, b.DeleteTopic(fmt.Sprintf("t%d#ephemeral", i)))
		}
		synctest.Wait()
		must(t, publish(getTopic(t, b, "again#ephemeral"), strings.Repeat("x", budget/2)))
		if s := getTopic(t, b, "again#ephemeral").Stats(); s.Dropped != 0 {
			t.Error("what deleted topics held is still counted")
		}
		must(t, b.Close())
	})
}
