package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

func (d *directory) TakingChanged() {}

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

func namesOfChannels(tp *topic.Topic) (list []string) {
	for _, c := range tp.Channels() {
		list = append(list, c.Name())
	}
	return list
}

func wantNames(t *testing.T, tp *topic.Topic, want ...string) {
	t.Helper()
	if got := namesOfChannels(tp); !slices.Equal(got, want) {
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
		time.Sleep(maxHold - time.Nanosecond)
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

func TestTopicPausedWhileItIsHeldStaysPaused(t *testing.T) {
	inBubble(t, silent(), func(t *testing.T, b *Broker) {
		tp := getTopic(t, b, "t")
		own := getChannel(t, b, "t", "own")
		must(t, publish(tp, "1"))
		must(t, tp.Pause())
		time.Sleep(2 * maxHold)
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
		time.Sleep(maxHold)
		synctest.Wait()
		wantDrained(t, own, "1")
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
		time.Sleep(maxLearnPause)
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
		time.Sleep(maxLearnPause + maxQuestion)
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
		time.Sleep(maxHold)
		first := d.timesAsked()
		time.Sleep(10 * maxLearnPause)
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
