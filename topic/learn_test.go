package topic

import (
	"slices"
	"testing"
	"testing/synctest"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
)

// TestHeldTopicGivesItsMessagesToWhatItLearns, and not to the first channel alone.
func TestHeldTopicGivesItsMessagesToWhatItLearns(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		b.retry(t, func() error { return b.send("m") })
		wantWaiting(t, c)
		must(t, b.Learn("learnt"))
		must(t, b.LearnPaused("paused"))
		b.Release()
		b.Release()
		learnt, _ := b.ExistingChannel("learnt")
		paused, _ := b.ExistingChannel("paused")
		for _, c := range []*channel.Channel{c, learnt, paused} {
			if d := c.Stats().Depth; d != 1 {
				t.Errorf("channel %s has %d messages", c.Name(), d)
			}
		}
		wantWaiting(t, paused)
		if b.Stats().Depth != 0 || !paused.Paused() {
			t.Errorf("%+v", b.Stats())
		}
		b.close(t)
	}, held)
}

// TestChannelLearntLateGetsWhatIsStillThere, as far as others are not done with it,
// and once what is published meanwhile.
func TestChannelLearntLateGetsWhatIsStillThere(t *testing.T) {
	withEachCommitter(t, func(t *testing.T, _ *crashfs.FS, b *bench) {
		c := b.channel(t, "c")
		for _, body := range []string{"1", "2", "3"} {
			b.retry(t, func() error { return b.send(body) })
		}
		must(t, b.Pause())
		b.retry(t, func() error { return b.send("waits") })
		must(t, b.Learn("learnt"))
		must(t, b.Learn("learnt"))
		must(t, b.Learn("c"))
		learnt, _ := b.ExistingChannel("learnt")
		if d := learnt.Stats().Depth; d != 3 {
			t.Errorf("%d messages while the topic is paused", d)
		}
		must(t, b.Unpause())
		wantWaiting(t, learnt, "1", "2", "3", "waits")
		wantWaiting(t, c, "1", "2", "3", "waits")
		if got := b.told(); !slices.Equal(got, []string{"register c", "register learnt"}) {
			t.Errorf("told %q", got)
		}
		must(t, b.LearnPaused("c"))
		if !c.Paused() {
			t.Error("a channel that is paused elsewhere is not")
		}
		b.close(t)
	})
}

// TestChannelLearntLateKeepsTheSegmentsThatItStartsWith from being given back.
func TestChannelLearntLateKeepsTheSegmentsThatItStartsWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", smallSegments)
		c := b.channel(t, "c")
		for range 10 {
			must(t, b.Publish(batchOf(1, 20<<10)))
		}
		drain(t, c) // all but the last segment may go now
		must(t, b.Learn("learnt"))
		learnt, _ := b.ExistingChannel("learnt")
		had := learnt.Stats().Depth
		if had == 0 || had > 4 {
			t.Errorf("it begins with %d messages", had)
		}
		for range 10 {
			must(t, b.Publish(batchOf(1, 20<<10)))
			drain(t, c)
		}
		if n := len(drain(t, learnt)); int64(n) != had+10 {
			t.Errorf("it got %d messages, not %d", n, had+10)
		}
		b.close(t)
	})
}

func TestTopicThatEndsLearnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crashfs.New(1), "/d", held)
		must(t, b.send("m"))
		b.Refuse()
		if err := b.Learn("c"); err != channel.ErrExiting {
			t.Error(err)
		}
		b.Release()
		b.close(t)
	})
}
