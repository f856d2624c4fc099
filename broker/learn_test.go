package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
	"qmq/topic"
)

func TestWhatIsPausedElsewhereIsPausedHereBeforeAMessageIsGivenOut(t *testing.T) {
	var up atomic.Bool
	for name, late := range map[string]bool{"at once": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			up.Store(!late)
			d := &directory{paused: []string{"held", "own"}}
			d.answer = func(context.Context, string) ([]string, error) {
				if !up.Load() {
					return nil, errNobody
				}
				return []string{"held", "own", "runs"}, nil
			}
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, with(d))
				own := getChannel(t, b, "t", "own")
				tp := getTopic(t, b, "t")
				must(t, publish(tp, "1", "2"))
				synctest.Wait()
				up.Store(true)
				time.Sleep(maxLearnPause)
				synctest.Wait()
				check := func(tp *topic.Topic) {
					t.Helper()
					for _, c := range tp.Channels() {
						if paused := c.Paused(); paused == (c.Name() == "runs") {
							t.Errorf("%s is paused: %t", c.Name(), paused)
						}
						if s := c.Stats(); s.Depth != 2 {
							t.Errorf("%s has %d messages", c.Name(), s.Depth)
						}
					}
					wantNames(t, tp, "held", "own", "runs")
					if tp.Paused() {
						t.Error("the topic is paused")
					}
				}
				check(tp)
				k := subscribe(t, own, 10)
				if ds := k.takeAll(); len(ds) != 0 {
					t.Errorf("a paused channel gave %d messages", len(ds))
				}
				k.Close()
				kill(disk, b)
				b = open(t, disk, with(d))
				tp, _ = b.Existing("t")
				check(tp)
				must(t, b.Close())
			})
		})
	}
}

func TestTopicThatIsPausedElsewhereGivesNothingOut(t *testing.T) {
	d := says("c")
	d.paused = []string{""}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		tp := getTopic(t, b, "t")
		must(t, publish(tp, "1"))
		time.Sleep(2 * maxHold)
		synctest.Wait()
		wantNames(t, tp, "c")
		if s := tp.Stats(); !tp.Paused() || s.Depth != 1 {
			t.Errorf("paused is %t, %d messages wait", tp.Paused(), s.Depth)
		}
		must(t, tp.Unpause())
		c, _ := tp.ExistingChannel("c")
		wantDrained(t, c, "1")
	})
}

func TestChannelLearntLateStartsAtTheFirstMessage(t *testing.T) {
	var mu sync.Mutex
	up := false
	d := &directory{}
	d.answer = func(context.Context, string) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			return nil, errNobody
		}
		return []string{"own", "learnt"}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, with(d))
		tp := getTopic(t, b, "t")
		unused := getTopic(t, b, "unused")
		must(t, publish(unused, "0"))
		own := getChannel(t, b, "t", "own")
		must(t, publish(tp, "1", "2"))
		must(t, publishDeferred(tp, "deferred", time.Hour))
		synctest.Wait()
		k := subscribe(t, own, 10)
		k.finish(t, k.takeAll()...)
		k.Close()
		time.Sleep(time.Hour / 2)
		mu.Lock()
		up = true
		mu.Unlock()
		must(t, publish(tp, "3"))
		time.Sleep(maxLearnPause)
		synctest.Wait()
		wantNames(t, tp, "learnt", "own")
		learnt, _ := tp.ExistingChannel("learnt")
		if s := learnt.Stats(); s.Depth != 3 || s.Deferred != 1 {
			t.Errorf("learnt channel has %d messages and %d deferred, want 3 and 1", s.Depth, s.Deferred)
		}
		for _, c := range unused.Channels() {
			wantDrained(t, c, "0")
		}
		if s := own.Stats(); s.Depth != 1 || s.Deferred != 1 {
			t.Errorf("its own channel has %d messages and %d deferred, want 1 and 1", s.Depth, s.Deferred)
		}
		wantNames(t, unused, "learnt", "own")
		asked := d.timesAsked()
		time.Sleep(maxLearnPause)
		if again := d.timesAsked(); again != asked {
			t.Errorf("asked %d times after the answer", again-asked)
		}
		kill(disk, b)

		b = open(t, disk, with(d))
		tp, _ = b.Existing("t")
		wantNames(t, tp, "learnt", "own")
		learnt, _ = tp.ExistingChannel("learnt")
		if s := learnt.Stats(); s.Depth != 3 || s.Deferred != 1 {
			t.Errorf("after a restart it has %d messages and %d deferred, want 3 and 1", s.Depth, s.Deferred)
		}
		must(t, b.Close())
	})
}

// TestLearntChannelStartsWithWhatIsStillThere lets another channel finish whole
// segments before the channel is learnt, and while it is.
func TestLearntChannelStartsWithWhatIsStillThere(t *testing.T) {
	b := open(t, newDisk(t, 1), func(o *Options) { o.SegmentBytes, o.MemQueueSize = 1<<10, 1 })
	defer func() { must(t, b.Close()) }()
	tp := getTopic(t, b, "t")
	own := getChannel(t, b, "t", "own")
	all := numbered("a message of some length ", 200)
	must(t, publish(tp, all...))
	k := subscribe(t, own, 1000)
	defer k.Close()
	ds := k.takeAll()
	k.finish(t, ds[:100]...)
	var finishing sync.WaitGroup
	finishing.Go(func() { k.finish(t, ds[100:]...) })
	must(t, tp.Learn("learnt"))
	finishing.Wait()
	learnt, _ := tp.ExistingChannel("learnt")
	l := subscribe(t, learnt, 1000)
	defer l.Close()
	got := bodies(l.takeAll())
	if len(got) == 0 || len(got) >= 200 || !slices.Equal(got, all[200-len(got):]) {
		t.Errorf("learnt channel has %d messages %.200q", len(got), got)
	}
	if d := b.Damage().Messages; d != 0 {
		t.Errorf("%d messages are called lost", d)
	}
}

// TestChannelIsNotLearntWhileSegmentsAreBeingLetGo lets a channel be learnt
// when the first of many segments is removed.
func TestChannelIsNotLearntWhileSegmentsAreBeingLetGo(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk, func(o *Options) { o.SegmentBytes, o.MemQueueSize = 1<<10, 1 })
	defer func() { must(t, b.Close()) }()
	tp := getTopic(t, b, "t")
	own := getChannel(t, b, "t", "own")
	all := numbered("a message of some length ", 200)
	must(t, publish(tp, all...))
	learnt := make(chan error, 1)
	learn := sync.OnceFunc(func() {
		done := make(chan struct{})
		go func() {
			learnt <- tp.Learn("learnt")
			close(done)
		}()
		select {
		case <-done: // too soon
		case <-time.After(20 * time.Millisecond):
		}
	})
	disk.Fail(func(op crashfs.Op, name string) error {
		if (op == crashfs.OpRemove || op == crashfs.OpRename) && strings.HasSuffix(name, ".seg") {
			learn()
		}
		return nil
	})
	k := subscribe(t, own, 1000)
	defer k.Close()
	k.finish(t, k.takeAll()[:150]...)
	must(t, <-learnt)
	c, _ := tp.ExistingChannel("learnt")
	l := subscribe(t, c, 1000)
	defer l.Close()
	got := bodies(l.takeAll())
	if len(got) < 50 || len(got) > 100 || !slices.Equal(got, all[200-len(got):]) {
		t.Errorf("learnt channel has %d messages %.200q", len(got), got)
	}
	if d := b.Damage().Messages; d != 0 {
		t.Errorf("%d messages are called lost", d)
	}
}

func TestLearntChannelHasNothingOfWhatTheTopicWasEmptiedOf(t *testing.T) {
	b := open(t, newDisk(t, 1))
	tp := getTopic(t, b, "t")
	must(t, publish(tp, "1", "2"))
	must(t, tp.Empty())
	must(t, publish(tp, "3"))
	must(t, tp.Learn("learnt"))
	must(t, tp.Learn("learnt"))
	c, _ := tp.ExistingChannel("learnt")
	if s := c.Stats(); s.Depth != 1 || s.MessageCount != 1 {
		t.Errorf("it has %d messages and counts %d", s.Depth, s.MessageCount)
	}
	wantDrained(t, c, "3")
	must(t, b.Close())
}

func TestChannelWhoseCreationCannotBeJournalledIsNotLearnt(t *testing.T) {
	disk := newDisk(t, 1)
	up := make(chan struct{})
	d := &directory{answer: func(context.Context, string) ([]string, error) {
		<-up
		return []string{"learnt"}, nil
	}}
	synctest.Test(t, func(t *testing.T) {
		b := open(t, disk, with(d))
		tp := getTopic(t, b, "t")
		must(t, publish(tp, "1"))
		failJournal(disk)
		close(up)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantNames(t, tp)
		disk.Fail(nil)
		time.Sleep(maxLearnPause)
		synctest.Wait()
		wantNames(t, tp, "learnt")
		c, _ := tp.ExistingChannel("learnt")
		wantDrained(t, c, "1")
		must(t, b.Close())
	})
}

// TestRestartForgetsNoChannelThatWasNotLearntYet ends the daemon in good order
// or not, while the topic is held or later.
func TestRestartForgetsNoChannelThatWasNotLearntYet(t *testing.T) {
	for name, test := range map[string]struct {
		after time.Duration
		stop  func(*crashfs.FS, *Broker)
	}{
		"killed while held": {0, kill},
		"killed later":      {time.Hour, kill},
		"stopped":           {time.Hour, func(_ *crashfs.FS, b *Broker) { must(t, b.Close()) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk, with(silent()))
				tp := getTopic(t, b, "t")
				getChannel(t, b, "t", "own")
				must(t, publish(tp, "1", "2"))
				must(t, publish(getTopic(t, b, "alone"), "3"))
				gone := getTopic(t, b, "gone")
				must(t, publish(gone, "4"))
				must(t, b.DeleteTopic("gone"))
				time.Sleep(test.after)
				synctest.Wait()
				for range 2 { // the directories hang for a while longer
					test.stop(disk, b)
					b = open(t, disk, with(silent()))
					time.Sleep(test.after)
				}
				test.stop(disk, b)

				d := says("own", "learnt")
				b = open(t, disk, with(d))
				time.Sleep(minLearnPause)
				synctest.Wait()
				for topic, bodies := range map[string][]string{"t": {"1", "2"}, "alone": {"3"}} {
					tp, _ := b.Existing(topic)
					wantNames(t, tp, "learnt", "own")
					for _, c := range tp.Channels() {
						wantDrained(t, c, bodies...)
					}
				}
				if n := d.timesAsked(); n != 2 {
					t.Errorf("asked %d times", n)
				}
				test.stop(disk, b)

				d = says("own", "learnt", "later")
				b = open(t, disk, with(d))
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := d.timesAsked(); n != 0 {
					t.Errorf("asked %d times for what is learnt", n)
				}
				must(t, b.Close())
			})
		})
	}
}

func TestTopicOfANodeAloneIsNotAskedForAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		d := silent()
		d.alone = true
		b := open(t, disk, with(d))
		must(t, publish(getTopic(t, b, "t"), "1"))
		kill(disk, b)
		d = says("c")
		b = open(t, disk, with(d))
		time.Sleep(time.Minute)
		if n := d.timesAsked(); n != 0 {
			t.Errorf("asked %d times", n)
		}
		must(t, b.Close())
	})
}
