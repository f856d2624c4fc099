package topic

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

// letterbox stands for another topic.
type letterbox struct {
	mu      sync.Mutex
	err     error
	letters []string // as topic, body and where it comes from
}

func (l *letterbox) publish(_, _, to string, letters func(*Stamp) *diskqueue.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for raw := letters(nil).AppendRecords(nil); len(raw) > 0; {
		n, _ := message.Size(raw)
		v := message.Decode(raw)
		d, ok := v.DeadLetter()
		l.letters = append(l.letters, fmt.Sprintf("%s: %s %v %s/%s %d %v", to, v.Body, ok, d.Topic, d.Channel, d.Attempts, d.Reason))
		raw = raw[n:]
	}
	return nil
}

func (l *letterbox) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *letterbox) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.letters, "\n")
}

func deadLetters(l *letterbox) setting {
	return func(b *bench) {
		b.options.Common.DeadLetters = NewDeadLetters(func() int64 { return time.Now().UnixNano() }, l.publish, quiet)
	}
}

func TestDeadLetterSaysWhereItComesFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &letterbox{}
		b := newBench(t, crashfs.New(1), "/d", deadLetters(l))
		c := b.channel(t, "c")
		must(t, b.ConfigureChannel("c", []byte(`{"max_attempts":1,"dead_letter_topic":"dead"}`)))
		other := b.channel(t, "other")
		must(t, b.send("a", strings.Repeat("b", 10_000)))
		k := subscribe(t, c)
		k.requeue(t, 0, k.takeAll()...)
		synctest.Wait()
		if got := l.String(); got != "" {
			t.Fatalf("before it has begun: %q", got)
		}
		b.o.Common.DeadLetters.Begin()
		synctest.Wait()
		want := "dead: a true t/c 1 requeue\ndead: " + strings.Repeat("b", 10_000) + " true t/c 1 requeue"
		if got := l.String(); got != want {
			t.Fatalf("%.300q", got)
		}
		if c.Floor() != b.fanout.committed() {
			t.Error("they are not finished")
		}
		wantWaiting(t, other, "a", strings.Repeat("b", 10_000))
		k.Close()
		b.o.Common.DeadLetters.Close()
		b.close(t)
	})
}

func TestStoppedTopicKeepsItsDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &letterbox{err: errors.New("no room")}
		b := newBench(t, crashfs.New(1), "/d", deadLetters(l))
		b.o.Common.DeadLetters.Begin()
		c := b.channel(t, "c")
		must(t, b.ConfigureChannel("c", []byte(`{"max_attempts":1,"dead_letter_topic":"dead"}`)))
		must(t, b.send("a"))
		k := subscribe(t, c)
		k.requeue(t, 0, k.takeAll()...)
		synctest.Wait()
		k.Close()
		b.restart(t)
		synctest.Wait()
		c = b.channel(t, "c")
		k = subscribe(t, c)
		if ds := k.takeAll(); len(ds) > 0 {
			t.Fatalf("%q is delivered", bodies(ds))
		}
		l.fail(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := l.String(); got != "dead: a true t/c 1 requeue" {
			t.Fatalf("%q", got)
		}
		k.Close()
		b.o.Common.DeadLetters.Close()
		b.close(t)
	})
}

// sendOnly publishes a message for one channel.
func (b *bench) sendOnly(body, channel string) error {
	var batch diskqueue.Batch
	batch.Add(&message.Meta{Timestamp: 1, OnlyFor: channel}, []byte(body))
	return b.Publish(&batch)
}

func TestMessageForOneChannelIsInNoOther(t *testing.T) {
	b := newBench(t, crashfs.New(1), "/d")
	one, other := b.channel(t, "one"), b.channel(t, "other")
	must(t, b.send("a"))
	must(t, b.sendOnly("b", "one"))
	must(t, b.send("c"))
	if s := other.Stats(); s.Depth != 2 || s.MessageCount != 2 {
		t.Errorf("%+v", s)
	}
	wantWaiting(t, one, "a", "b", "c")
	wantWaiting(t, other, "a", "c")
	b.restart(t)
	wantWaiting(t, b.channel(t, "one"), "a", "b", "c")
	wantWaiting(t, b.channel(t, "other"), "a", "c")
	b.close(t)
}

func TestMessageForOneChannelThatWaitedInThePausedTopicIsInNoOther(t *testing.T) {
	for name, between := range map[string]func(*bench){
		"at once": func(*bench) {}, "after a restart": func(b *bench) { b.restart(t) },
	} {
		b := newBench(t, crashfs.New(1), "/d")
		b.channel(t, "one")
		b.channel(t, "other")
		must(t, b.Pause())
		must(t, b.send("a"))
		must(t, b.sendOnly("b", "one"))
		must(t, b.send("c"))
		between(b)
		must(t, b.Unpause())
		if got := drain(t, b.channel(t, "one")); fmt.Sprint(got) != "[a b c]" {
			t.Errorf("%s: %q", name, got)
		}
		if got := drain(t, b.channel(t, "other")); fmt.Sprint(got) != "[a c]" {
			t.Errorf("%s: %q in the other one", name, got)
		}
		if other := b.channel(t, "other"); other.Floor() != b.fanout.committed() {
			t.Errorf("%s: the other one is not through", name)
		}
		b.close(t)
	}
}

// sendLetters publishes dead letters.
func (b *bench) sendLetters(bodies ...string) error {
	var batch diskqueue.Batch
	for _, body := range bodies {
		batch.Add(&message.Meta{Timestamp: 1, DeadLetter: &message.DeadLetter{Topic: "o", Channel: "c"}}, []byte(body))
	}
	return b.Publish(&batch)
}

// letters lists the topic's dead letters, so many at a time.
func (b *bench) letters(limit int) (list []string, seqs []uint64) {
	for from := uint64(1); from > 0; {
		var err error
		from, err = b.Look().DeadLetters(from, limit, func(id message.ID, v message.View) error {
			list, seqs = append(list, string(v.Body)), append(seqs, v.Seq)
			return nil
		})
		must(b.t, err)
	}
	return list, seqs
}

func ranges(seqs []uint64) (list []seqset.Range) {
	for _, seq := range seqs {
		list = append(list, seqset.Range{From: seq, To: seq + 1})
	}
	return list
}

func TestDeadLettersAreShownAndTakenOut(t *testing.T) {
	b := newBench(t, crashfs.New(1), "/d")
	want := func(want string) []uint64 {
		t.Helper()
		list, seqs := b.letters(2)
		if got := strings.Join(list, " "); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		return seqs
	}
	want("")
	must(t, b.sendLetters("1", "2"))
	must(t, b.send("x"))
	must(t, b.sendLetters("3"))
	b.restart(t)
	must(t, b.sendLetters("4", "5"))
	seqs := want("1 2 3 4 5")
	must(t, b.TakeOut(ranges(seqs[1:2]))) // while it waits for a channel
	want("1 3 4 5")
	if d := b.Stats().Depth; d != 5 {
		t.Errorf("depth %d", d)
	}
	c := b.channel(t, "c")
	k := subscribe(t, c)
	ds := k.takeAll()
	if got := fmt.Sprint(bodies(ds)); got != "[1 x 3 4 5]" {
		t.Fatal(got)
	}
	k.finish(t, ds[0])
	must(t, b.TakeOut(ranges(seqs[2:4])))
	want("5")
	k.Close()
	b.restart(t)
	want("5")
	wantWaiting(t, b.channel(t, "c"), "x", "5")
	b.close(t)
}

func TestDeadLettersThatAreTakenOutOfATopicWithoutChannelLeaveRoom(t *testing.T) {
	b := newBench(t, crashfs.New(1), "/d")
	must(t, b.sendLetters("1", "2", "3"))
	_, seqs := b.letters(10)
	must(t, b.TakeOut(ranges(seqs)))
	if got, end := b.fanout.position(), b.fanout.committed(); got != end {
		t.Errorf("the position is %d, the end %d", got, end)
	}
	b.restart(t)
	if list, _ := b.letters(10); len(list) > 0 || b.Stats().Depth != 0 {
		t.Errorf("%q after a restart", list)
	}
	b.close(t)
}
