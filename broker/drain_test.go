package broker

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

func TestDrainedNodeRefusesClientsAndTakesItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1))
		c := getChannel(t, b, "t", "c")
		must(t, publishAs(b, "t"))
		b.SetDraining(true)
		if err := publishAs(b, "t"); !errors.Is(err, ErrDraining) {
			t.Errorf("publish: %v", err)
		}
		if err := publishAs(b, "new"); !errors.Is(err, ErrDraining) {
			t.Errorf("publish to a new topic: %v", err)
		}
		if _, made := b.Existing("new"); made {
			t.Error("a refused publish made its topic")
		}
		must(t, b.Health()) // nothing is wrong with it
		p, err := b.Publisher("t")
		must(t, err)
		var records diskqueue.Batch
		records.Add(&message.Meta{Timestamp: 1}, []byte("own"))
		_, err = b.PublishOwn(p, &records)
		must(t, err)
		wantDrained(t, c, "x", "own")
		b.SetDraining(false)
		must(t, publishAs(b, "t"))
		must(t, b.Close())
	})
}

func TestWhatADrainedNodeWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1))
		for _, name := range []string{"deferred", "idle", "in-flight", "left", "paused-channel", "waits"} {
			getChannel(t, b, name, "c")
		}
		for _, name := range []string{"idle", "in-flight", "waits", "paused-channel", "deferred", "paused-topic"} {
			subscribe(t, getChannel(t, b, name, "c"), 0).SetReady(0)
		}
		for _, name := range []string{"waits", "left", "no-channel", "paused-channel"} {
			must(t, publish(getTopic(t, b, name), "x"))
		}
		must(t, publishDeferred(getTopic(t, b, "deferred"), "x", time.Hour))
		must(t, publish(getTopic(t, b, "in-flight"), "x"))
		k := subscribe(t, getChannel(t, b, "in-flight", "c"), 1)
		k.takeAll()
		must(t, getTopic(t, b, "paused-topic").Pause())
		must(t, publish(getTopic(t, b, "paused-topic"), "x"))
		must(t, getTopic(t, b, "paused-channel").PauseChannel("c"))
		awaited, left := b.Waiting()
		if want := []Waiting{
			{Topic: "deferred", Channel: "c", Deferred: 1},
			{Topic: "in-flight", Channel: "c", InFlight: 1},
			{Topic: "waits", Channel: "c", Depth: 1},
		}; !slices.Equal(awaited, want) {
			t.Errorf("it waits for %+v", awaited)
		}
		if want := []Waiting{
			{Topic: "left", Channel: "c", Depth: 1, Left: "no consumer"},
			{Topic: "no-channel", Depth: 1, Left: "no channel"},
			{Topic: "paused-channel", Channel: "c", Depth: 1, Left: "paused"},
			{Topic: "paused-topic", Depth: 1, Left: "paused"},
		}; !slices.Equal(left, want) {
			t.Errorf("it leaves %+v", left)
		}
		must(t, b.Close())
	})
}

func TestDrainedNodeNamesWhatItOnlyRetains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1))
		c := getChannel(t, b, "t", "c")
		configure(t, b, "t", "", `{"retention_time": "1h"}`)
		must(t, publish(getTopic(t, b, "t"), "a", "b", "c"))
		k := subscribe(t, c, 10)
		k.answer(channel.Finish, 0, k.takeAll()[:2]...)
		awaited, left := b.Waiting()
		if want := []Waiting{{Topic: "t", Retained: 2, Left: "only retained"}}; !slices.Equal(left, want) {
			t.Errorf("it leaves %+v", left)
		}
		if want := []Waiting{{Topic: "t", Channel: "c", InFlight: 1}}; !slices.Equal(awaited, want) {
			t.Errorf("it waits for %+v", awaited)
		}
		must(t, b.Close())
	})
}

func TestDrainedNodeWaitsForItsDeadLettersAndNamesWhatItCannotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk)
		c := getChannel(t, b, "t", "c")
		must(t, configureChannel(b, "t", "c", `{"max_attempts": 1, "dead_letter_topic": "dead"}`))
		must(t, publish(getTopic(t, b, "t"), "a", "b"))
		k := subscribe(t, c, 10)
		var full atomic.Bool
		full.Store(true)
		disk.Fail(func(op crashfs.Op, path string) error {
			if full.Load() && strings.Contains(path, "/dead-") && (op == crashfs.OpWrite || op == crashfs.OpCreate) {
				return syscall.ENOSPC
			}
			return nil
		})
		k.answer(channel.Requeue, 0, k.takeAll()...)
		k.Close() // nobody consumes it any more
		synctest.Wait()
		awaited, left := b.Waiting()
		if want := []Waiting{{Topic: "t", Channel: "c", DeadLettering: 2}}; !slices.Equal(awaited, want) || len(left) > 0 {
			t.Errorf("it waits for %+v, and leaves %+v", awaited, left)
		}
		full.Store(false)
		time.Sleep(2 * time.Minute)
		awaited, left = b.Waiting()
		if want := []Waiting{{Topic: "dead", Depth: 2, Left: "no channel"}}; !slices.Equal(left, want) || len(awaited) > 0 {
			t.Errorf("then it waits for %+v, and leaves %+v", awaited, left)
		}
		must(t, b.Close())
		failTopic(disk, "t")
		b = open(t, disk)
		_, left = b.Waiting()
		if want := (Waiting{Topic: "t", Left: "cannot be opened"}); !slices.Contains(left, want) {
			t.Errorf("it leaves %+v", left)
		}
		must(t, b.Close())
	})
}
