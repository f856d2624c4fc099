package broker

import (
	"context"
	"errors"
	"fmt"
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

// directory is a Directory whose answers a test decides on.
type directory struct {
	answer func(ctx context.Context, topic string) ([]string, error)
	paused []string // what is paused elsewhere; "" is the topic itself
	alone  bool
	told   func(event string) // called with what is told, unless nil

	mu     sync.Mutex // guards what follows
	asked  []string
	events []string
}

func (d *directory) note(event, topic, channel string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	event += topic + "/" + channel
	d.events = append(d.events, event)
	if d.told != nil {
		d.told(event)
	}
}

func (d *directory) Register(topic string, _ uint64, channel string) { d.note("+", topic, channel) }

func (d *directory) Unregister(topic string, _ uint64, channel string) { d.note("-", topic, channel) }

func (d *directory) Alone() bool { return d.alone }

func (d *directory) Elsewhere(ctx context.Context, topic string) (map[string]bool, bool, error) {
	d.mu.Lock()
	d.asked = append(d.asked, topic)
	d.mu.Unlock()
	names, err := d.answer(ctx, topic)
	channels := make(map[string]bool)
	for _, name := range names {
		channels[name] = slices.Contains(d.paused, name)
	}
	return channels, slices.Contains(d.paused, ""), err
}

// seen returns what was told since it was called last.
func (d *directory) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := d.events
	d.events = nil
	return events
}

func (d *directory) timesAsked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

func with(d *directory) func(*Options) {
	return func(o *Options) { o.Directory = d }
}

// says answers with these channels at once.
func says(names ...string) *directory {
	return &directory{answer: func(context.Context, string) ([]string, error) { return names, nil }}
}

var errNobody = errors.New("nobody answers")

// silent never answers.
func silent() *directory {
	return &directory{answer: func(ctx context.Context, _ string) ([]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
}

func names(tp *topic.Topic) (list []string) {
	for _, c := range tp.Channels() {
		list = append(list, c.Name())
	}
	return list
}

func wantNames(t *testing.T, tp *topic.Topic, want ...string) {
	t.Helper()
	if got := names(tp); !slices.Equal(got, want) {
		t.Errorf("channels are %q, want %q", got, want)
	}
}

// inBubble runs a test with a broker on fake time.
func inBubble(t *testing.T, d *directory, test func(t *testing.T, b *Broker)) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1), with(d))
		defer func() { must(t, b.Close()) }()
		test(t, b)
	})
}

func TestNewTopicHasTheChannelsItHasElsewhere(t *testing.T) {
	for _, name := range []string{"t", "t#ephemeral"} {
		inBubble(t, says("a", "b", "gone#ephemeral", "not a name", ""), func(t *testing.T, b *Broker) {
			tp := getTopic(t, b, name)
			must(t, publish(tp, "1", "2"))
			synctest.Wait()
			wantNames(t, tp, "a", "b")
			for _, c := range tp.Channels() {
				wantDrained(t, c, "1", "2")
			}
		})
	}
}

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
				time.Sleep(longestLearnPause)
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
		time.Sleep(2 * longestHold)
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

func TestNodeAloneHoldsNothingAndAsksNobody(t *testing.T) {
	d := silent()
	d.alone = true
	b := open(t, newDisk(t, 1), with(d))
	own := getChannel(t, b, "t", "own")
	must(t, publish(getTopic(t, b, "t"), "1"))
	if n := own.Stats().Depth; n != 1 {
		t.Errorf("%d messages given out", n)
	}
	must(t, b.Close())
	if n := d.timesAsked(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

func TestPublishIsTakenAtOnceAndWaitsForTheChannels(t *testing.T) {
	release := make(chan struct{})
	d := &directory{answer: func(context.Context, string) ([]string, error) {
		<-release
		return []string{"learnt"}, nil
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		began := time.Now()
		tp := getTopic(t, b, "t")
		own := getChannel(t, b, "t", "own")
		must(t, publish(tp, "1", "2"))
		if took := time.Since(began); took != 0 {
			t.Errorf("waited for %s", took)
		}
		if s := own.Stats(); s.Depth != 0 || tp.Stats().Depth != 2 {
			t.Errorf("%d messages given out before the channels are known", s.Depth)
		}
		close(release)
		synctest.Wait()
		wantNames(t, tp, "learnt", "own")
		for _, c := range tp.Channels() {
			wantDrained(t, c, "1", "2")
		}
	})
}

func TestMessagesAreGivenOutAfterASecondWithoutAnswer(t *testing.T) {
	inBubble(t, silent(), func(t *testing.T, b *Broker) {
		tp := getTopic(t, b, "t")
		own := getChannel(t, b, "t", "own")
		must(t, publish(tp, "1"))
		time.Sleep(longestHold - time.Nanosecond)
		synctest.Wait()
		if d := own.Stats().Depth; d != 0 {
			t.Errorf("%d messages given out before the time", d)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantDrained(t, own, "1")
	})
}

func TestFailedQuestionsHoldNothing(t *testing.T) {
	d := &directory{answer: func(context.Context, string) ([]string, error) { return nil, errNobody }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		own := getChannel(t, b, "t", "own")
		must(t, publish(getTopic(t, b, "t"), "1"))
		synctest.Wait()
		wantDrained(t, own, "1")
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
		time.Sleep(longestLearnPause)
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
		time.Sleep(longestLearnPause)
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
		time.Sleep(longestLearnPause)
		synctest.Wait()
		wantNames(t, tp, "learnt")
		c, _ := tp.ExistingChannel("learnt")
		wantDrained(t, c, "1")
		must(t, b.Close())
	})
}

func TestTopicPausedWhileItIsHeldStaysPaused(t *testing.T) {
	inBubble(t, silent(), func(t *testing.T, b *Broker) {
		tp := getTopic(t, b, "t")
		own := getChannel(t, b, "t", "own")
		must(t, publish(tp, "1"))
		must(t, tp.Pause())
		time.Sleep(2 * longestHold)
		synctest.Wait()
		if d := own.Stats().Depth; d != 0 {
			t.Errorf("a paused topic gave %d messages out", d)
		}
		must(t, tp.Unpause())
		wantDrained(t, own, "1")

		second := getTopic(t, b, "second")
		own = getChannel(t, b, "second", "own")
		must(t, publish(second, "1"))
		must(t, errors.Join(second.Pause(), second.Unpause()))
		if d := own.Stats().Depth; d != 0 {
			t.Errorf("unpausing a held topic gave %d messages out", d)
		}
		time.Sleep(longestHold)
		synctest.Wait()
		wantDrained(t, own, "1")
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
				time.Sleep(firstLearnPause)
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

func TestDeletionAndCloseDoNotWaitForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1), with(silent()))
		began := time.Now()
		must(t, publish(getTopic(t, b, "deleted"), "1"))
		must(t, b.DeleteTopic("deleted"))
		must(t, publish(getTopic(t, b, "deleted"), "2"))
		getChannel(t, b, "stays", "own")
		must(t, publish(getTopic(t, b, "stays"), "3"))
		must(t, b.Close())
		if took := time.Since(began); took != 0 {
			t.Errorf("waited for %s", took)
		}
	})
}

func TestDeletedTopicsAreNotAskedForAgain(t *testing.T) {
	d := &directory{answer: func(context.Context, string) ([]string, error) { return nil, errNobody }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for i := range 10 {
			getTopic(t, b, fmt.Sprintf("stays%d", i))
		}
		for i := range 100 {
			getTopic(t, b, "t")
			if i%2 == 0 {
				synctest.Wait()
			}
			must(t, b.DeleteTopic("t"))
		}
		remembered := func() (n int, asks bool) {
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.unlearnt), b.unlearnt != nil
		}
		if n, _ := remembered(); n != 10 {
			t.Errorf("%d topics are remembered", n)
		}
		for i := range 10 {
			must(t, b.DeleteTopic(fmt.Sprintf("stays%d", i)))
		}
		time.Sleep(longestLearnPause)
		if n, asks := remembered(); n != 0 || asks {
			t.Errorf("%d deleted topics are remembered", n)
		}
	})
}

// TestQuestionThatHangsIsGivenUpAndAskedAgain has directories that take
// questions and answer none of them, until they are well again.
func TestQuestionThatHangsIsGivenUpAndAskedAgain(t *testing.T) {
	var well atomic.Bool
	hangs := silent().answer
	d := &directory{}
	d.answer = func(ctx context.Context, topic string) ([]string, error) {
		if well.Load() {
			return []string{"learnt"}, nil
		}
		return hangs(ctx, topic)
	}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		tp := getTopic(t, b, "t")
		must(t, publish(tp, "1"))
		time.Sleep(time.Hour)
		well.Store(true)
		time.Sleep(longestLearnPause + longestQuestion)
		synctest.Wait()
		wantNames(t, tp, "learnt")
		for _, c := range tp.Channels() {
			wantDrained(t, c, "1")
		}
	})
}

func TestOneQuestionAtATimeWhileNobodyAnswers(t *testing.T) {
	d := &directory{answer: func(context.Context, string) ([]string, error) { return nil, errNobody }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for i := range 100 {
			getTopic(t, b, fmt.Sprintf("t%d", i))
		}
		time.Sleep(longestHold)
		first := d.timesAsked()
		time.Sleep(10 * longestLearnPause)
		if n := d.timesAsked() - first; n > 15 {
			t.Errorf("asked %d times in 150 s", n)
		}
	})
}

func TestDirectoryIsToldInOrder(t *testing.T) {
	d := says()
	disk := newDisk(t, 1)
	b := open(t, disk, with(d))
	want := func(events ...string) {
		t.Helper()
		if got := d.seen(); !slices.Equal(got, events) {
			t.Errorf("told %q, want %q", got, events)
		}
	}
	tp := getTopic(t, b, "t")
	getChannel(t, b, "t", "c")
	c := getChannel(t, b, "t", "e#ephemeral")
	want("+t/", "+t/c", "+t/e#ephemeral")
	subscribe(t, c, 1).Close()
	tp.ConsumerLeft(c)
	must(t, tp.DeleteChannel("c"))
	getChannel(t, b, "t", "c")
	want("-t/e#ephemeral", "-t/c", "+t/c")
	must(t, b.DeleteTopic("t"))
	getTopic(t, b, "t")
	want("-t/", "+t/")
	getChannel(t, b, "t", "c")
	d.seen()
	must(t, b.Close())
	want()
	b = open(t, disk, with(d))
	want("+t/", "+t/c")
	failJournal(disk)
	if err := b.DeleteTopic("t"); err == nil {
		t.Error("deleted")
	}
	if _, err := b.Topic("u"); err == nil {
		t.Error("created")
	}
	want()
	disk.Fail(nil)
	must(t, b.Close())
}

// TestChannelsLearntUnderLoadGetEveryMessageOnce: while publishers publish, some
// with delay, a consumer finishes what its channel gets and the topic is paused
// and unpaused, two channels are learnt, before the topic is released in one
// case and after the first question failed in the other.
func TestChannelsLearntUnderLoadGetEveryMessageOnce(t *testing.T) {
	const count = 2700
	var all, soon []string // soon are those that are not deferred
	for n, body := range numbered("a message of some length ", count) {
		all = append(all, body)
		if n%7 != 0 {
			soon = append(soon, body)
		}
	}
	slices.Sort(soon)
	for name, test := range map[string]struct {
		first        error // of the first question
		segmentBytes int64 // that let nothing go which channels learnt later need
	}{
		"held": {nil, 1 << 10},
		"late": {errNobody, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			busy, learnt := make(chan struct{}), make(chan struct{})
			var asked atomic.Int64
			d := &directory{answer: func(context.Context, string) ([]string, error) {
				if n := asked.Add(1); n == 1 && test.first != nil {
					return nil, test.first
				}
				<-busy
				return []string{"a", "b"}, nil
			}}
			d.told = func(event string) {
				if event == "+t/b" {
					close(learnt)
				}
			}
			b := open(t, newDisk(t, 1), with(d), func(o *Options) { o.SegmentBytes = test.segmentBytes })
			defer func() { must(t, b.Close()) }()
			tp := getTopic(t, b, "t")
			own := getChannel(t, b, "t", "own")
			k := subscribe(t, own, 1<<20)
			var publishing, other sync.WaitGroup
			published := make(chan struct{})
			for i := range 3 {
				publishing.Go(func() {
					for n := i; n < count; n += 3 {
						if n == count/3+i {
							<-busy
						}
						if n%7 == 0 {
							must(t, publishDeferred(tp, all[n], time.Hour))
						} else {
							must(t, publish(tp, all[n]))
						}
						if n == count/6 {
							close(busy)
						}
					}
				})
			}
			other.Go(func() {
				for open := true; open; {
					select {
					case <-published:
						open = false
					default:
					}
					must(t, errors.Join(tp.Pause(), tp.Unpause()))
				}
			})
			var mine []string
			other.Go(func() {
				for len(mine) < len(soon) {
					ds := k.takeAll()
					k.finish(t, ds...)
					if mine = append(mine, bodies(ds)...); len(ds) == 0 {
						<-k.wake
					}
				}
			})
			publishing.Wait()
			close(published)
			other.Wait()
			k.Close()
			<-learnt
			for _, c := range tp.Channels() {
				got := mine
				if c != own {
					k := subscribe(t, c, 1<<20)
					got = bodies(k.takeAll())
					k.Close()
				}
				if slices.Sort(got); !slices.Equal(got, soon) {
					t.Errorf("%s got %d messages, want %d", c.Name(), len(got), len(soon))
				}
				if s := c.Stats(); s.Deferred != count-len(soon) {
					t.Errorf("%s has %d deferred messages, want %d", c.Name(), s.Deferred, count-len(soon))
				}
			}
		})
	}
}
