package broker

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
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
		records.Add(message.Meta{Timestamp: 1}, []byte("own"))
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
