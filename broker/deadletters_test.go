package broker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// configureChannel sets settings of a channel as the API does.
func configureChannel(b *Broker, topicName, name, body string) error {
	return b.Change(Change{Op: state.ConfigureChannel, Topic: topicName, Channel: name, Settings: body})
}

// lettersOf lists the dead letters of a topic, as bodies with where they come from.
func lettersOf(t testing.TB, b *Broker, name string) (list []string) {
	t.Helper()
	l, release, err := b.Look(name)
	must(t, err)
	defer release()
	_, err = l.Each(0, func(v message.View) error {
		if d, ok := v.DeadLetter(); ok {
			list = append(list, fmt.Sprintf("%s of %s/%s after %d: %v", v.Body, d.Topic, d.Channel, d.Attempts, d.Reason))
		}
		return nil
	})
	must(t, err)
	return list
}

func TestDeadLettersGoToTheTopicThatTheSettingNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1), func(o *Options) { o.NoAutoCreate = true })
		c := getChannel(t, b, "t", "c")
		must(t, configureChannel(b, "t", "c", `{"max_attempts": 2, "dead_letter_topic": "dead"}`))
		if _, ok := b.Existing("dead"); !ok {
			t.Fatal("setting it made no topic")
		}
		must(t, publish(getTopic(t, b, "t"), "a", "b"))
		k := subscribe(t, c, 10)
		for range 2 {
			k.answer(channel.Requeue, 0, k.takeAll()...)
		}
		synctest.Wait()
		want := []string{"a of t/c after 2: requeue", "b of t/c after 2: requeue"}
		if got := lettersOf(t, b, "dead"); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		wantDrained(t, getChannel(t, b, "dead", "any"), "a", "b")
		must(t, b.DeleteTopic("dead"))
		must(t, publish(getTopic(t, b, "t"), "c"))
		for range 2 {
			k.answer(channel.Requeue, 0, k.takeAll()...)
		}
		synctest.Wait()
		if got := lettersOf(t, b, "dead"); len(got) != 1 { // it was made again
			t.Errorf("%q", got)
		}
		k.Close()
		must(t, b.Close())
	})
}

func TestDeadLettersThatWouldGoRoundAreRefused(t *testing.T) {
	b := open(t, newDisk(t, 1))
	for _, name := range []string{"a", "b", "c"} {
		getChannel(t, b, name, "ch")
	}
	set := func(from, to string) error {
		return configureChannel(b, from, "ch", fmt.Sprintf(`{"max_attempts": 3, "dead_letter_topic": %q}`, to))
	}
	must(t, set("a", "b"))
	must(t, set("b", "c"))
	for _, way := range []struct{ from, to, says string }{
		{"a", "a", "another topic"},
		{"b", "a", "from b to a to b"},
		{"c", "a", "from c to a to b to c"},
	} {
		err := set(way.from, way.to)
		var mistakes settings.Mistakes
		if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), way.says) {
			t.Errorf("from %s to %s: %v", way.from, way.to, err)
		}
	}
	must(t, set("a", "d"))
	must(t, set("c", "a"))
	for _, bad := range []string{
		`{"max_attempts": 3, "dead_letter_topic": ""}`, `{"dead_letter_topic": "x#ephemeral"}`, `{"dead_letter_topic": "no name"}`, `{"max_attempts": 70000}`,
	} {
		var mistakes settings.Mistakes
		if err := configureChannel(b, "b", "ch", bad); !errors.As(err, &mistakes) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	must(t, b.Close())
}

func TestDeadLettersThatPatternsWouldBringBackAreRefused(t *testing.T) {
	var rules settings.Rules
	must(t, rules.AddChannels("a/*", map[string]any{"max_attempts": int64(3), "dead_letter_topic": "b"}))
	b := open(t, newDisk(t, 1), func(o *Options) { o.Settings = &rules })
	getChannel(t, b, "b", "ch")
	getTopic(t, b, "a") // whose channels are still to come
	err := configureChannel(b, "b", "ch", `{"max_attempts": 3, "dead_letter_topic": "a"}`)
	var mistakes settings.Mistakes
	if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), "from b to a to b") {
		t.Error(err)
	}
	must(t, b.Close())
}

// TestPatternThatClosesARoundLaterIsNotFollowed: what was set at run time goes on, and what
// the pattern has given up stays where it is, which is told, until a setting opens the round.
func TestPatternThatClosesARoundLaterIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		for _, name := range []string{"a", "b"} {
			getChannel(t, b, name, "ch")
		}
		must(t, configureChannel(b, "a", "ch", `{"max_attempts": 1, "dead_letter_topic": "b"}`))
		must(t, b.Close())

		var rules settings.Rules
		must(t, rules.AddChannels("b/*", map[string]any{"max_attempts": int64(1), "dead_letter_topic": "a"}))
		var log bytes.Buffer
		b = open(t, disk, func(o *Options) {
			o.Settings, o.Logger = &rules, slog.New(slog.NewTextHandler(&log, nil))
		})
		if n := strings.Count(log.String(), "keeps what it gives up"); n != 1 || !strings.Contains(log.String(), "from b to a to b") {
			t.Errorf("%d are told of: %s", n, log.String())
		}
		must(t, publish(getTopic(t, b, "a"), "x"))
		ofA, ofB := getChannel(t, b, "a", "ch"), getChannel(t, b, "b", "ch")
		for _, c := range []*channel.Channel{ofA, ofB} {
			k := subscribe(t, c, 10)
			k.answer(channel.Requeue, 0, k.takeAll()...)
			k.Close()
			time.Sleep(time.Minute)
		}
		if s := ofB.Stats(); ofA.Stats().Spent != 0 || s.Spent != 1 || s.SpentError == nil || !strings.Contains(s.SpentError.Error(), "from b to a to b") {
			t.Errorf("b keeps %d: %v", s.Spent, s.SpentError)
		}
		must(t, configureChannel(b, "b", "ch", `{"dead_letter_topic": "c"}`))
		synctest.Wait()
		if got := lettersOf(t, b, "c"); !slices.Equal(got, []string{"x of b/ch after 1: requeue"}) {
			t.Errorf("then %q", got)
		}
		must(t, b.Close())
	})
}

// TestOnlyAChangeOfTheRouteOfDeadLettersIsJudgedByIt: where a pattern closes a round, all else
// of a channel in it can be changed, and so can what opens it; nothing that closes it again.
func TestOnlyAChangeOfTheRouteOfDeadLettersIsJudgedByIt(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	for _, name := range []string{"a", "b"} {
		getChannel(t, b, name, "ch")
	}
	must(t, configureChannel(b, "a", "ch", `{"max_attempts": 1, "dead_letter_topic": "b"}`))
	must(t, b.Close())
	var rules settings.Rules
	must(t, rules.AddChannels("b/*", map[string]any{"max_attempts": int64(1), "dead_letter_topic": "a"}))
	b = open(t, disk, func(o *Options) { o.Settings = &rules })
	for _, step := range []struct {
		topic, change, refused string
		to                     string // where those of the channel go then
	}{
		{"b", `{"max_in_flight": 5}`, "", "a"},
		{"b", `{"max_attempts": 7}`, "", "a"},
		{"a", `{"max_attempts": 7}`, "", "b"},
		{"b", `{"dead_letter_topic": "a"}`, "from b to a to b", "a"},
		{"a", `{"dead_letter_topic": "b"}`, "from a to b to a", "b"},
		{"b", `{"dead_letter_topic": "c"}`, "", "c"},
		{"b", `{"dead_letter_topic": null}`, "from b to a to b", "c"},
		{"a", `{"dead_letter_topic": "d"}`, "", "d"},
		{"b", `{"dead_letter_topic": "a"}`, "", "a"},
		{"a", `{"dead_letter_topic": "b"}`, "from a to b to a", "d"},
	} {
		err := configureChannel(b, step.topic, "ch", step.change)
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("%s %s: %v", step.topic, step.change, err)
		}
		_, inForce, err := b.ChannelConfig(step.topic, "ch")
		must(t, err)
		if to := inForce.Effective().DeadLetterTopic; to != step.to {
			t.Errorf("after %s %s: to %q", step.topic, step.change, to)
		}
	}
	must(t, b.Close())
}

func TestFullDiskKeepsDeadLettersWhereTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		c := getChannel(t, b, "t", "c")
		must(t, configureChannel(b, "t", "c", `{"max_attempts": 1, "dead_letter_topic": "dead"}`))
		must(t, publish(getTopic(t, b, "t"), "a"))
		var full atomic.Bool
		full.Store(true)
		disk.Fail(func(op crashfs.Op, path string) error {
			if full.Load() && strings.Contains(path, "/dead-") && (op == crashfs.OpWrite || op == crashfs.OpCreate) {
				return syscall.ENOSPC
			}
			return nil
		})
		k := subscribe(t, c, 10)
		k.answer(channel.Requeue, 0, k.takeAll()...)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := c.Stats(); s.Spent != 1 || s.SpentError == nil || c.Floor() == c.Cursor() {
			t.Fatalf("%+v", s)
		}
		full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := lettersOf(t, b, "dead"); len(got) != 1 || c.Stats().Spent != 0 {
			t.Fatalf("%q, %+v", got, c.Stats())
		}
		k.Close()
		must(t, b.Close())
	})
}

// TestEveryMessageIsADeadLetterOrStillThereWhereverItStops kills the process at each
// operation on the disk on the way of messages to the dead-letter topic.
func TestEveryMessageIsADeadLetterOrStillThereWhereverItStops(t *testing.T) {
	for at, ended := 0, false; !ended; at++ {
		synctest.Test(t, func(t *testing.T) { ended = killedOnTheWay(t, at) })
	}
}

// killedOnTheWay kills the process at an operation; ended says that there were fewer.
func killedOnTheWay(t *testing.T, at int) (ended bool) {
	disk := newDisk(t, uint64(at))
	b := open(t, disk)
	c := getChannel(t, b, "t", "c")
	must(t, configureChannel(b, "t", "c", `{"max_attempts": 2, "dead_letter_topic": "dead"}`))
	bodies := numbered("m", 6)
	must(t, publish(getTopic(t, b, "t"), bodies...))
	k := subscribe(t, c, 10)
	k.answer(channel.Requeue, 0, k.takeAll()...)
	time.Sleep(time.Second)
	synctest.Wait()
	var operations atomic.Int64
	disk.Fail(func(crashfs.Op, string) error {
		if operations.Add(1) == int64(at)+1 {
			disk.Kill()
		}
		return nil
	})
	ds := k.takeAll()
	k.answer(channel.Requeue, time.Minute, ds[:3]...)
	time.Sleep(2 * time.Minute) // the others time out
	synctest.Wait()
	ended = operations.Load() <= int64(at)
	disk.Fail(nil)
	kill(disk, b)

	b = open(t, disk)
	left := map[string]bool{}
	c = getChannel(t, b, "t", "c")
	k = subscribe(t, c, 10)
	for range 3 { // what was given up with the process is given up again, or is tried again first
		k.answer(channel.Requeue, 0, k.takeAll()...)
		time.Sleep(time.Second)
		synctest.Wait()
	}
	for _, l := range lettersOf(t, b, "dead") {
		body, _, _ := strings.Cut(l, " ")
		left[body] = true
	}
	if len(left) != len(bodies) || c.Stats().Depth != 0 || c.Stats().Spent != 0 {
		t.Errorf("killed at operation %d: dead letters %q, %+v", at, lettersOf(t, b, "dead"), c.Stats())
	}
	k.Close()
	must(t, b.Close())
	return ended
}
