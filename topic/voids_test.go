package topic

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// segmentOf is the file of the log's first segment.
func segmentOf(t *testing.T, disk *crashfs.FS) (name string, bytes int64) {
	t.Helper()
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".seg") {
			return f.Name, f.Size
		}
	}
	t.Fatal("no segment")
	return "", 0
}

// TestDamagedMessagesAreLostForAllChannelsAndToldOnce: the others are delivered.
func TestDamagedMessagesAreLostForAllChannelsAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", nothingHot)
		one, two := b.channel(t, "one"), b.channel(t, "two")
		must(t, b.send(numbered("message ", 5)...))
		name, _ := segmentOf(t, disk)
		data, err := disk.ReadFile(name)
		must(t, err)
		must(t, disk.FlipBit(name, int64(strings.Index(string(data), "message 2"))))
		want := []string{"message 0", "message 1", "message 3", "message 4"}
		wantWaiting(t, one, want...)
		wantWaiting(t, two, want...)
		if b.lost != 1 {
			t.Errorf("%d messages are said to be lost", b.lost)
		}
		if d := two.Stats().Depth; d != 4 {
			t.Errorf("depth %d", d)
		}
		b.close(t)
	})
}

// TestMessagesThatCannotBeReadNowComeLater, and it is told when they cannot and when
// they can again.
func TestMessagesThatCannotBeReadNowComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", nothingHot)
		c := b.channel(t, "c")
		must(t, b.send("m"))
		disk.Fail(onLog(crashfs.OpOpen, func() error { return errIO }))
		disk.Fail(onLog(crashfs.OpRead, func() error { return errIO }))
		k := subscribe(t, c)
		if got := k.takeAll(); len(got) != 0 {
			t.Errorf("read %q", bodies(got))
		}
		disk.Fail(nil)
		var got []string
		for range 100 {
			<-time.After(100 * time.Millisecond)
			if got = append(got, bodies(k.takeAll())...); len(got) > 0 {
				break
			}
		}
		if !slices.Equal(got, []string{"m"}) {
			t.Errorf("got %q", got)
		}
		k.Close()
		synctest.Wait()
		told := b.told()
		if len(told) < 3 || !strings.Contains(told[1], errIO.Error()) || told[len(told)-1] != fmt.Sprintf("read c: %v", error(nil)) {
			t.Errorf("told %q", told)
		}
		b.close(t)
	})
}

// TestDroppedTopicTellsOfNoDamage: its files are about to go.
func TestDroppedTopicTellsOfNoDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d")
		b.channel(t, "c")
		must(t, b.send("m"))
		b.Drop()
		b.told()
		b.Topic.noteLost(b.o.Log.Start(), b.o.Log.End())
		b.readFailed("c", errors.New("no such file"))
		if got := b.told(); len(got) != 0 || b.lost != 0 {
			t.Errorf("told %q, %d lost", got, b.lost)
		}
		b.Discard()
		b.abandon()
	})
}

// TestDelaysThatCannotBeReadAreLostAndTheMessagesAreNot.
func TestDelaysThatCannotBeReadAreLostAndTheMessagesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := crashfs.New(1)
		b := newBench(t, disk, "/d", smallSegments, nothingHot)
		must(t, b.sendLater("later", time.Hour))
		must(t, b.Publish(batchOf(10, 20<<10)))
		b.restart(t) // the list of deferred messages is on the disk now
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpOpen || op == crashfs.OpRead {
				return errIO
			}
			return nil
		})
		c := b.channel(t, "c")
		disk.Fail(nil)
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if n := c.Stats(); n.Depth != 11 || n.Deferred != 0 {
			t.Errorf("depth %d, deferred %d", n.Depth, n.Deferred)
		}
		b.close(t)
	})
}
