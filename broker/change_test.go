package broker

import (
	"errors"
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

// changes are all changes of the topology, of topics that standing makes.
var changes = map[string]func(b *Broker) error{
	"create a topic":           func(b *Broker) error { _, err := b.Topic("new"); return err },
	"delete a topic":           func(b *Broker) error { return b.DeleteTopic("busy") },
	"pause a topic":            func(b *Broker) error { return existing(b, "busy").Pause() },
	"unpause a topic":          func(b *Broker) error { return existing(b, "paused").Unpause() },
	"empty a topic":            func(b *Broker) error { return existing(b, "paused").Empty() },
	"empty without channels":   func(b *Broker) error { return existing(b, "lone").Empty() },
	"create the first channel": func(b *Broker) error { _, err := existing(b, "lone").Channel("c"); return err },
	"create another channel":   func(b *Broker) error { _, err := existing(b, "busy").Channel("c"); return err },
	"create while paused":      func(b *Broker) error { _, err := existing(b, "paused").Channel("c"); return err },
	"learn a channel":          func(b *Broker) error { return existing(b, "busy").Learn("c") },
	"delete a channel":         func(b *Broker) error { return existing(b, "busy").DeleteChannel("b") },
	"delete the last channel":  func(b *Broker) error { return existing(b, "single").DeleteChannel("a") },
	"pause a channel":          func(b *Broker) error { return existing(b, "busy").PauseChannel("a") },
	"unpause a channel":        func(b *Broker) error { return existing(b, "busy").UnpauseChannel("b") },
	"empty a channel":          func(b *Broker) error { return existing(b, "busy").EmptyChannel("a") },
	"empty the only channel":   func(b *Broker) error { return existing(b, "single").EmptyChannel("a") },
	"empty while topic paused": func(b *Broker) error { return existing(b, "paused").EmptyChannel("a") },
	"set of a topic":           func(b *Broker) error { return existing(b, "busy").Configure([]byte(`{"max_age": "1h"}`)) },
	"set of a channel": func(b *Broker) error {
		return existing(b, "busy").ConfigureChannel("a", []byte(`{"rate": 5}`))
	},
	"delete while topic paused": func(b *Broker) error { return existing(b, "paused").DeleteChannel("a") },
}

func existing(b *Broker, name string) *topic.Topic {
	t, ok := b.Existing(name)
	if !ok {
		panic("no topic " + name)
	}
	return t
}

// makeTopics makes the topics that changes are about.
func makeTopics(t *testing.T, b *Broker) {
	getChannel(t, b, "other", "a") // which no change is about
	getChannel(t, b, "busy", "a")
	getChannel(t, b, "busy", "b")
	must(t, existing(b, "busy").PauseChannel("b"))
	getChannel(t, b, "single", "a")
	getTopic(t, b, "lone")
	getChannel(t, b, "paused", "a")
	for _, name := range []string{"other", "busy", "single", "lone", "paused"} {
		must(t, publish(existing(b, name), "1", "2"))
		must(t, publishDeferred(existing(b, name), "deferred", time.Hour))
	}
	must(t, existing(b, "paused").Pause())
	must(t, publish(existing(b, "paused"), "3"))
	must(t, b.journal.Flush())
}

// work publishes to every topic and finishes a message of every channel that
// gives one out. It must not be held up by the journal.
func work(t *testing.T, b *Broker) {
	for _, name := range []string{"other", "busy", "single", "lone", "paused"} {
		tp := existing(b, name)
		must(t, publish(tp, "meanwhile"))
		must(t, publishDeferred(tp, "deferred meanwhile", time.Hour))
		for _, c := range tp.Channels() {
			k := subscribe(t, c, 1)
			k.finish(t, k.take()...)
			k.Close()
		}
	}
	for _, name := range []string{"other", "busy"} {
		k := subscribe(t, existingChannel(b, name, "a"), 10)
		if !slices.Contains(bodies(k.takeAll()), "meanwhile") && !strings.HasSuffix(t.Name(), "/pause_a_topic") {
			t.Errorf("%s: what was published while the journal hangs was not given out", name)
		}
		k.Close()
	}
}

func existingChannel(b *Broker, topicName, name string) *channel.Channel {
	c, ok := existing(b, topicName).ExistingChannel(name)
	if !ok {
		panic("no channel " + name)
	}
	return c
}

// look is what is to be seen of a broker, and what a channel would get that
// were made now.
func look(t *testing.T, b *Broker) string {
	var s strings.Builder
	for _, tp := range b.Topics() {
		st := tp.Stats()
		set, _ := tp.Config()
		fmt.Fprintf(&s, "%s: depth %d, paused %v, set %s\n", tp.Name(), st.Depth, st.Paused, set)
		for _, c := range tp.Channels() {
			paused, deferred := c.Paused(), c.Stats().Deferred
			set, _, err := tp.ChannelConfig(c.Name())
			must(t, err)
			c.Unpause()
			k := subscribe(t, c, 1000)
			got := bodies(k.takeAll())
			k.Close()
			slices.Sort(got)
			if paused {
				c.Pause()
			}
			fmt.Fprintf(&s, "  %s: %q, deferred %d, paused %v, set %s\n", c.Name(), got, deferred, paused, set)
		}
	}
	return s.String()
}

// hang holds the journal's writes up until release is called, with the error
// that they end with then. It returns when the first one hangs.
func hang(t *testing.T, disk *crashfs.FS) (hanging <-chan struct{}, release func(error)) {
	hangs, result := make(chan struct{}, 1), make(chan error)
	var ended error
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRead || !strings.Contains(name, "/journal/") {
			return nil
		}
		select {
		case hangs <- struct{}{}:
		default:
		}
		if err, ok := <-result; ok {
			ended = err
		}
		return ended
	})
	return hangs, func(err error) {
		result <- err
		close(result)
	}
}

func eachChange(t *testing.T, test func(t *testing.T, disk *crashfs.FS, b *Broker, change func(*Broker) error)) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk(t, 1)
				b := open(t, disk)
				makeTopics(t, b)
				test(t, disk, b, change)
			})
		})
	}
}

func begin(b *Broker, change func(*Broker) error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- change(b) }()
	return done
}

func TestChangeAppliesWhatItsEntrySaysWhateverCameMeanwhile(t *testing.T) {
	eachChange(t, func(t *testing.T, disk *crashfs.FS, b *Broker, change func(*Broker) error) {
		hanging, release := hang(t, disk)
		done := begin(b, change)
		<-hanging
		work(t, b)
		release(nil)
		must(t, <-done)
		must(t, b.journal.Flush())
		want := look(t, b)
		kill(disk, b)
		disk.Fail(nil)
		b = open(t, disk)
		if got := look(t, b); got != want {
			t.Errorf("after a kill:\n%swant:\n%s", got, want)
		}
		must(t, b.Close())
	})
}

func TestChangeThatTheJournalRefusesHasChangedNothing(t *testing.T) {
	eachChange(t, func(t *testing.T, disk *crashfs.FS, b *Broker, change func(*Broker) error) {
		hanging, release := hang(t, disk)
		done := begin(b, change)
		<-hanging
		before := look(t, b)
		release(errIO)
		if err := <-done; !errors.Is(err, errIO) {
			t.Errorf("not refused: %v", err)
		}
		if got := look(t, b); got != before {
			t.Errorf("after the refusal:\n%swant:\n%s", got, before)
		}
		disk.Fail(nil)
		kill(disk, b)
		b = open(t, disk)
		if got := look(t, b); got != before {
			t.Errorf("after the refusal and a kill:\n%swant:\n%s", got, before)
		}
		must(t, b.Close())
	})
}

// TestRefusedChangeKeepsWhatCameMeanwhile wants the change to leave no trace in
// what was published while it was tried.
func TestRefusedChangeKeepsWhatCameMeanwhile(t *testing.T) {
	eachChange(t, func(t *testing.T, disk *crashfs.FS, b *Broker, change func(*Broker) error) {
		hanging, release := hang(t, disk)
		done := begin(b, change)
		<-hanging
		work(t, b)
		release(errIO)
		if err := <-done; !errors.Is(err, errIO) {
			t.Errorf("not refused: %v", err)
		}
		got := look(t, b)
		disk.Fail(nil)
		must(t, b.Close())

		disk = newDisk(t, 1)
		b = open(t, disk)
		makeTopics(t, b)
		work(t, b)
		if want := look(t, b); got != want {
			t.Errorf("after the refusal:\n%swant, as without it:\n%s", got, want)
		}
		must(t, b.Close())
	})
}

func TestKillWhileAChangeIsBeingJournalledLosesNothingAnswered(t *testing.T) {
	eachChange(t, func(t *testing.T, disk *crashfs.FS, b *Broker, change func(*Broker) error) {
		before := look(t, b)
		hanging, release := hang(t, disk)
		done := begin(b, change)
		<-hanging
		k := subscribe(t, existingChannel(b, "busy", "a"), 1)
		k.finish(t, k.take()...) // which comes again: the journal was not told
		k.Close()
		disk.Kill()
		release(errIO)
		<-done
		_ = b.Close()
		disk.Fail(nil)
		b = open(t, disk)
		if got := look(t, b); got != before {
			t.Errorf("after the kill:\n%swant:\n%s", got, before)
		}
		must(t, b.Close())
	})
}

func TestEphemeralChangesNeitherAskTheJournalNorAreRefused(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	durable := getTopic(t, b, "t")
	getChannel(t, b, "t", "c")
	must(t, publish(durable, "0")) // the journal notes that the log grows
	must(t, b.journal.Flush())
	disk.Fail(func(op crashfs.Op, name string) error {
		if strings.Contains(name, "/journal/") {
			return errIO
		}
		return nil
	})
	ephemeral := getTopic(t, b, "e#ephemeral")
	for _, tp := range []*topic.Topic{ephemeral, durable} {
		getChannel(t, b, tp.Name(), "x#ephemeral")
		must(t, publish(tp, "1"))
		must(t, tp.PauseChannel("x#ephemeral"))
		must(t, tp.UnpauseChannel("x#ephemeral"))
		must(t, tp.EmptyChannel("x#ephemeral"))
		must(t, tp.DeleteChannel("x#ephemeral"))
	}
	ephemeral = getTopic(t, b, "f#ephemeral")
	getChannel(t, b, "f#ephemeral", "c")
	must(t, ephemeral.Pause())
	must(t, publish(ephemeral, "1"))
	must(t, ephemeral.Empty())
	must(t, ephemeral.Unpause())
	must(t, b.DeleteTopic("f#ephemeral"))
	if got := b.journal.Flush(); got != nil {
		t.Errorf("the journal was told something: %v", got)
	}
	disk.Fail(nil)
	must(t, b.Close())
}
