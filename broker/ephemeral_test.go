package broker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
)

func TestEphemeralChannelEndsWithItsLastConsumer(t *testing.T) {
	b := open(t, newDisk(t, 1))
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c#ephemeral")
	k, k2 := subscribe(t, c, 1), subscribe(t, c, 1)
	k.Close()
	tp.ConsumerLeft(c)
	if _, ok := tp.ExistingChannel("c#ephemeral"); !ok {
		t.Error("gone too early")
	}
	k2.Close()
	tp.ConsumerLeft(c)
	tp.ConsumerLeft(c)
	if _, ok := tp.ExistingChannel("c#ephemeral"); ok {
		t.Error("still there")
	}
	if _, ok := b.Existing("t"); !ok {
		t.Error("the topic, which is not ephemeral, is gone")
	}
	must(t, b.Close())
}

func TestEphemeralChannelDropsTheNewestWhenFull(t *testing.T) {
	b := open(t, newDisk(t, 1), func(o *Options) { o.MemQueueSize = 3 })
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c#ephemeral")
	must(t, publish(tp, numbered("m", 5)...))
	wantDrained(t, c, "m0", "m1", "m2")
	must(t, b.Close())
}

func TestEphemeralTopicEndsWithItsLastChannelAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk(t, 1)
		b := open(t, disk, func(o *Options) { o.MemQueueSize = 3 })
		tp := getTopic(t, b, "t#ephemeral")
		must(t, publish(tp, numbered("m", 5)...)) // nobody takes them: two are dropped
		c := getChannel(t, b, "t#ephemeral", "c#ephemeral")
		k := subscribe(t, c, 10)
		if got := bodies(k.takeAll()); !slices.Equal(got, []string{"m0", "m1", "m2"}) {
			t.Errorf("%q", got)
		}
		k.Close()
		tp.ConsumerLeft(c)
		synctest.Wait()
		if _, ok := b.Existing("t#ephemeral"); ok {
			t.Error("still there")
		}
		if err := publish(tp, "late"); err != channel.ErrExiting {
			t.Error(err)
		}
		must(t, publish(getTopic(t, b, "t#ephemeral"), "new"))
		wantDrained(t, getChannel(t, b, "t#ephemeral", "d"), "new")
		must(t, b.Close())
		b = open(t, disk)
		if n := len(b.Topics()); n != 0 || len(topicDirs(t, disk)) != 0 {
			t.Errorf("%d topics after a restart, directories %q", n, topicDirs(t, disk))
		}
		must(t, b.Close())
	})
}

func TestAbandonedEphemeralTopicStaysIfAChannelComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1))
		tp := getTopic(t, b, "t#ephemeral")
		getChannel(t, b, "t#ephemeral", "c")
		b.abandoned(tp)
		synctest.Wait()
		if got := getTopic(t, b, "t#ephemeral"); got != tp {
			t.Error("another topic")
		}
		must(t, publish(tp, "1"))
		must(t, b.Close())
	})
}

func TestEphemeralTopicThatNobodyConsumesEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newDisk(t, 1))
		late, used, busy := getTopic(t, b, "late#ephemeral"), getTopic(t, b, "used#ephemeral"), getTopic(t, b, "busy#ephemeral")
		getTopic(t, b, "durable")
		getChannel(t, b, "used#ephemeral", "c")
		there := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, tp := range b.Topics() {
				got = append(got, tp.Name())
			}
			if !slices.Equal(got, want) {
				t.Errorf("there are %q, want %q", got, want)
			}
		}
		for range 3 {
			must(t, publish(busy, "m"))
			time.Sleep(unclaimedAfter / 2)
			must(t, publish(used, "m"))
		}
		must(t, publish(busy, "m"))
		must(t, publish(late, "reply to nobody")) // which the next look sees
		time.Sleep(unclaimedAfter - time.Second)
		there("busy#ephemeral", "durable", "late#ephemeral", "used#ephemeral")
		must(t, publish(busy, "m"))
		time.Sleep(unclaimedAfter)
		there("busy#ephemeral", "durable", "used#ephemeral")
		if err := publish(late, "later"); err != channel.ErrExiting {
			t.Error(err)
		}
		time.Sleep(2 * unclaimedAfter)
		there("durable", "used#ephemeral")
		must(t, publish(getTopic(t, b, "late#ephemeral"), "anew"))
		time.Sleep(2*unclaimedAfter + time.Second)
		there("durable", "used#ephemeral")
		must(t, publish(used, "m"))
		must(t, b.Close())
	})
}

func TestWhatEphemeralChannelsHadDoesNotComeBackAfterACleanRestart(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c#ephemeral")
	k := subscribe(t, c, 100)
	must(t, publish(tp, numbered("m", 10)...))
	k.finish(t, k.takeAll()...)
	for range 2 {
		must(t, b.Close())
		b = open(t, disk)
		tp = getTopic(t, b, "t")
		wantDepth(t, tp, 0)
	}
	// The end of the channel says it too, so that not even a kill brings it back.
	c = getChannel(t, b, "t", "c#ephemeral")
	k = subscribe(t, c, 100)
	must(t, publish(tp, "more"))
	k.finish(t, k.takeAll()...)
	k.Close()
	tp.ConsumerLeft(c)
	must(t, publish(tp, "after"))
	kill(disk, b)
	b = open(t, disk)
	wantDrained(t, getChannel(t, b, "t", "c"), "after")
	must(t, b.Close())
}

func TestEphemeralChannelEndsEvenIfTheJournalCannotBeWritten(t *testing.T) {
	disk := newDisk(t, 1)
	b := open(t, disk)
	tp := getTopic(t, b, "t")
	c := getChannel(t, b, "t", "c#ephemeral")
	k := subscribe(t, c, 100)
	must(t, publish(tp, "1"))
	failJournal(disk)
	k.Close()
	tp.ConsumerLeft(c)
	disk.Fail(nil)
	if getChannel(t, b, "t", "c#ephemeral") == c {
		t.Error("the closed channel is still the topic's")
	}
	must(t, b.Close())
}
