package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
	"qmq/topic"
)

func wantDepth(t *testing.T, tp *topic.Topic, want int64) {
	t.Helper()
	if got := tp.Stats().Depth; got != want {
		t.Errorf("topic depth %d, want %d", got, want)
	}
}

func TestFirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd(t *testing.T) {
	b := open(t, newDisk(t, 1))
	tp := getTopic(t, b, "t")
	must(t, publish(tp, "1", "2", "3"))
	wantDepth(t, tp, 3)
	first := getChannel(t, b, "t", "first")
	wantDepth(t, tp, 0)
	second := getChannel(t, b, "t", "second")
	must(t, publish(tp, "4"))
	wantDrained(t, first, "1", "2", "3", "4")
	wantDrained(t, second, "4")
	must(t, tp.DeleteChannel("first"))
	must(t, tp.DeleteChannel("second"))
	must(t, publish(tp, "5"))
	wantDepth(t, tp, 1)
	wantDrained(t, getChannel(t, b, "t", "third"), "5")
	must(t, b.Close())
}

func TestPausedTopicCollectsForChannelsCreatedMeanwhile(t *testing.T) {
	b := open(t, newDisk(t, 1))
	tp := getTopic(t, b, "t")
	old := getChannel(t, b, "t", "old")
	must(t, publish(tp, "before"))
	must(t, tp.Pause())
	must(t, tp.Pause())
	must(t, publish(tp, "during"))
	young := getChannel(t, b, "t", "young")
	must(t, publish(tp, "during too"))
	wantDepth(t, tp, 2)
	wantDrained(t, old, "before")
	wantDrained(t, young)
	must(t, tp.Unpause())
	wantDepth(t, tp, 0)
	wantDrained(t, old, "before", "during", "during too")
	wantDrained(t, young, "during", "during too")
	must(t, b.Close())
}

func TestPausesSurviveARestart(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	getChannel(t, b, "t", "c")
	must(t, tp.PauseChannel("c"))
	must(t, publish(tp, "1"))
	must(t, tp.Pause())
	must(t, publish(tp, "2"))
	for _, end := range []func(){func() { kill(disk, b) }, func() { must(t, b.Close()) }} {
		end()
		b = open(t, disk)
		tp = getTopic(t, b, "t")
		c, ok := tp.ExistingChannel("c")
		if !ok || !c.Paused() || !tp.Paused() {
			t.Fatalf("channel there %v, paused %v, topic paused %v", ok, ok && c.Paused(), tp.Paused())
		}
		wantDepth(t, tp, 1)
		if d := c.Stats().Depth; d != 1 {
			t.Errorf("channel depth %d, want 1", d)
		}
	}
	must(t, tp.Unpause())
	must(t, tp.UnpauseChannel("c"))
	wantDrained(t, getChannel(t, b, "t", "c"), "1", "2")
	must(t, b.Close())
}

func TestEmptyTopicDropsWhatWaitsInItOnly(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	getChannel(t, b, "t", "c")
	must(t, publish(tp, "kept"))
	must(t, tp.Pause())
	must(t, publish(tp, "dropped"))
	must(t, publishDeferred(tp, "dropped too", time.Millisecond))
	must(t, tp.Empty())
	wantDepth(t, tp, 0)
	must(t, publish(tp, "after"))
	wantDepth(t, tp, 1)
	kill(disk, b)
	b = open(t, disk)
	tp = getTopic(t, b, "t")
	wantDepth(t, tp, 1)
	must(t, tp.Unpause())
	wantDrained(t, getChannel(t, b, "t", "c"), "kept", "after")
	must(t, b.Close())
}

func TestEmptyChannelDropsWaitingInFlightAndDeferred(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	other := getChannel(t, b, "t", "other")
	must(t, publish(tp, "1", "2", "3"))
	must(t, publishDeferred(tp, "4", time.Hour))
	k := subscribe(t, c, 2)
	inFlight := k.takeAll()
	must(t, tp.EmptyChannel("c"))
	if err := k.answer(channel.Finish, 0, inFlight[0])[0]; err != channel.ErrNotInFlight {
		t.Errorf("FIN of a dropped message: %v", err)
	}
	if s := c.Stats(); s.Depth != 0 || s.Deferred != 0 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
	kill(disk, b)
	b = open(t, disk)
	wantDrained(t, getChannel(t, b, "t", "c"))
	if s := getChannel(t, b, "t", "other").Stats(); s.Depth != 3 || s.Deferred != 1 {
		t.Errorf("other channel: %+v", s)
	}
	_ = other
	must(t, b.Close())
}

func TestDeletedAndRecreatedShareNothing(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c")
	must(t, publish(tp, "1", "2"))
	k := subscribe(t, c, 10)
	must(t, tp.DeleteChannel("c"))
	<-k.gone
	if err := tp.DeleteChannel("c"); err != topic.ErrNoChannel {
		t.Error(err)
	}
	if _, err := c.Subscribe(channel.ConsumerOptions{}); err != channel.ErrExiting {
		t.Error(err)
	}
	wantDrained(t, getChannel(t, b, "t", "c"))
	must(t, publish(tp, "3"))
	wantDrained(t, getChannel(t, b, "t", "c"), "3")

	must(t, b.DeleteTopic("t"))
	if err := b.DeleteTopic("t"); err != ErrNoTopic {
		t.Error(err)
	}
	if err := publish(tp, "lost"); err != channel.ErrExiting {
		t.Error(err)
	}
	if _, err := tp.Channel("x"); err != channel.ErrExiting {
		t.Error(err)
	}
	again := getTopic(t, b, "t")
	if n := len(again.Channels()); n != 0 {
		t.Errorf("%d channels", n)
	}
	must(t, publish(again, "4"))
	kill(disk, b)
	b = open(t, disk)
	again = getTopic(t, b, "t")
	wantDepth(t, again, 1)
	wantDrained(t, getChannel(t, b, "t", "c"), "4")
	b.background.Wait() // Close does not wait for removals that it finds under way
	must(t, b.Close())
	if dirs := topicDirs(t, disk); len(dirs) != 1 {
		t.Errorf("directories left: %q", dirs)
	}
}

func topicDirs(t *testing.T, disk *crashfs.FS) (names []string) {
	t.Helper()
	entries, err := disk.ReadDir(dataPath + "/topics")
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDeferredMessagesKeepTheirTimeWhateverComesBetween(t *testing.T) {
	between := map[string]func(*testing.T, *crashfs.FS, *Broker) *Broker{
		"nothing": func(t *testing.T, _ *crashfs.FS, b *Broker) *Broker {
			getChannel(t, b, "t", "c")
			return b
		},
		"pause": func(t *testing.T, _ *crashfs.FS, b *Broker) *Broker {
			tp := getTopic(t, b, "t")
			must(t, tp.Pause())
			getChannel(t, b, "t", "c")
			must(t, tp.Unpause())
			return b
		},
		"kill": func(t *testing.T, disk *crashfs.FS, b *Broker) *Broker {
			getChannel(t, b, "t", "c")
			kill(disk, b)
			return open(t, disk)
		},
		"restart": func(t *testing.T, disk *crashfs.FS, b *Broker) *Broker {
			must(t, b.Close())
			b = open(t, disk)
			getChannel(t, b, "t", "c")
			must(t, b.Close())
			return open(t, disk)
		},
	}
	for name, f := range between {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk)
				start := time.Now()
				tp := getTopic(t, b, "t")
				must(t, publishDeferred(tp, "late", 10*time.Second))
				must(t, publish(tp, "now"))
				b = f(t, disk, b)
				c := getChannel(t, b, "t", "c")
				if s := c.Stats(); s.Depth != 1 || s.Deferred != 1 {
					t.Errorf("%+v", s)
				}
				k := subscribe(t, c, 10)
				if got := bodies(k.takeAll()); !slices.Equal(got, []string{"now"}) {
					t.Errorf("at first %q", got)
				}
				if got := bodies(k.takeWithDeferred()); !slices.Equal(got, []string{"late"}) {
					t.Errorf("then %q", got)
				}
				if d := time.Since(start); d < 10*time.Second || d > 10*time.Second+50*time.Millisecond {
					t.Errorf("after %v", d)
				}
				k.Close()
				must(t, b.Close())
			})
		})
	}
}

func TestFirstChannelGetsTheBacklogOfAllLives(t *testing.T) {
	disk := newDisk(t, 1)
	var want []string
	for life := range 4 {
		b := open(t, disk)
		body := fmt.Sprint("life ", life)
		must(t, publish(getTopic(t, b, "t"), body))
		want = append(want, body)
		wantDepth(t, getTopic(t, b, "t"), int64(life+1))
		if life%2 == 0 {
			kill(disk, b)
		} else {
			must(t, b.Close())
		}
	}
	b := open(t, disk)
	c := getChannel(t, b, "t", "c")
	if d := c.Stats().Depth; d != 4 {
		t.Errorf("depth %d", d)
	}
	wantDrained(t, c, want...)
	must(t, b.Close())
}

func TestWhatNoChannelNeedsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, func(o *Options) { o.SegmentBytes = 4 << 10 })
		tp := getTopic(t, b, "t")
		a, lag := getChannel(t, b, "t", "a"), getChannel(t, b, "t", "lag")
		must(t, publish(tp, numbered(strings.Repeat("x", 100), 500)...))
		k := subscribe(t, a, 1000)
		k.finish(t, k.takeAll()...)
		if n := segments(t, disk); n < 10 {
			t.Errorf("%d segments, though a channel needs them", n)
		}
		wantDrained(t, lag, numbered(strings.Repeat("x", 100), 500)...)
		must(t, tp.DeleteChannel("lag"))
		synctest.Wait() // files go in the background
		if n := segments(t, disk); n > 1 {
			t.Errorf("%d segments after the channel that needed them was deleted", n)
		}
		for range 5 {
			must(t, publish(tp, numbered(strings.Repeat("x", 100), 100)...))
			k.finish(t, k.takeAll()...)
		}
		synctest.Wait()
		if n := segments(t, disk); n > 2 {
			t.Errorf("%d segments that nobody needs", n)
		}
		must(t, b.Close())
	})
}

// segments counts the segment files of all topics.
func segments(t *testing.T, disk *crashfs.FS) (n int) {
	t.Helper()
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, dataPath+"/topics/") && strings.HasSuffix(f.Name, ".seg") {
			n++
		}
	}
	return n
}
