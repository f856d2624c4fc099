package semantics

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"qmq/test/wire"
)

func TestFirstChannelGetsTheBacklogAndLaterOnesStartAtTheEnd(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			n.connect().Publish("t", "1", "2")
			e.end(n)
			n.open()
			p := n.connect()
			p.Publish("t", "3")
			if s := n.topic("t"); s.Depth != 3 || len(s.Channels) != 0 {
				t.Errorf("%+v", s)
			}
			first := n.consume("t", "first", 10)
			first.Messages("1", "2", "3")
			second := n.consume("t", "second", 10)
			p.Publish("t", "4")
			first.Messages("4")
			second.Messages("4")
			if s := n.topic("t"); s.Depth != 0 {
				t.Errorf("depth %d", s.Depth)
			}
		})
	}
}

// TestChannelCreatedWhilePublishingGetsAllThatIsOKdAfterwards creates channels
// under a stream of publishes. Each publish that began after a channel's
// creation was answered is in the channel, and what the channel has is one
// stretch of the stream up to its end.
func TestChannelCreatedWhilePublishingGetsAllThatIsOKdAfterwards(t *testing.T) {
	const channels, after = 5, 50
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "first") // later ones do not get the backlog
	p := n.connect()
	published := 0
	publish := func(most int, stop <-chan struct{}) {
		for range most {
			select {
			case <-stop:
				return
			default:
				p.Publish("t", fmt.Sprint(published))
				published++
			}
		}
	}
	started := make([]int, channels) // published when the creation was answered
	for i := range channels {
		created := make(chan struct{})
		var creating sync.WaitGroup
		creating.Go(func() {
			defer close(created)
			if r, err := n.tryCall("POST", fmt.Sprintf("/channel/create?topic=t&channel=ch%d", i), ""); err != nil || r.status != 200 {
				t.Errorf("%+v, %v", r, err)
			}
		})
		publish(1<<30, created)
		creating.Wait()
		started[i] = published
		publish(after, nil)
	}
	for i, from := range started {
		depth := n.channel("t", fmt.Sprintf("ch%d", i)).Depth
		if depth < published-from {
			t.Errorf("channel %d has %d messages, but %d were published after its creation", i, depth, published-from)
		}
		k := n.consume("t", fmt.Sprintf("ch%d", i), 2500)
		for j := published - depth; j < published; j++ {
			k.Fin(k.Messages(fmt.Sprint(j))...)
		}
	}
}

func TestPausedTopicCollectsForAllChannels(t *testing.T) {
	n := start(t)
	p := n.connect()
	old := n.consume("t", "old", 10)
	p.Publish("t", "before")
	old.Messages("before")
	n.do("/topic/pause", "t", "")
	p.Publish("t", "during 1")
	young := n.consume("t", "young", 10)
	p.Publish("t", "during 2")
	old.ExpectOpen()
	young.ExpectOpen()
	if s := n.topic("t"); s.Depth != 2 || !s.Paused {
		t.Errorf("%+v", s)
	}
	n.do("/topic/unpause", "t", "")
	old.Messages("during 1", "during 2")
	young.Messages("during 1", "during 2")
}

func TestPausesLastOverARestart(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			n.connect().Publish("t", "1")
			n.do("/channel/create", "t", "ch")
			n.do("/channel/pause", "t", "ch")
			n.do("/topic/pause", "t", "")
			n.connect().Publish("t", "2")
			e.end(n)
			n.open()
			k := n.consume("t", "ch", 10)
			k.ExpectOpen()
			if s := n.topic("t"); s.Depth != 1 || !s.Paused || s.Channels[0].Depth != 1 || !s.Channels[0].Paused {
				t.Errorf("%+v", s)
			}
			n.do("/topic/unpause", "t", "")
			k.ExpectOpen()
			n.do("/channel/unpause", "t", "ch")
			k.Messages("1", "2")
		})
	}
}

// TestPausedChannelKeepsWhatIsInFlight: it may still be answered, and what
// comes back waits.
func TestPausedChannelKeepsWhatIsInFlight(t *testing.T) {
	n := start(t)
	n.connect().Publish("t", "1", "2", "3")
	k := n.consume("t", "ch", 2)
	ms := k.Messages("1", "2")
	n.do("/channel/pause", "t", "ch")
	k.Fin(ms[0])
	k.Req(ms[1], 0)
	k.ExpectOpen()
	n.wantCounts("t", "ch", counts{depth: 2})
	n.do("/channel/unpause", "t", "ch")
	got := []string{k.Message().Body, k.Message().Body}
	slices.Sort(got)
	if !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("got %q", got)
	}
}

func TestChannelDepthIsWhatANewConsumerCouldGet(t *testing.T) {
	n := start(t)
	p := n.connect()
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	p.Publish("t", numbered("", 10)...)
	p.Send(wire.DPub("t", 3_600_000, "much later"))
	p.Expect("OK")
	n.wantCounts("t", "ch", counts{depth: 10, deferred: 1})
	k := n.consume("t", "ch", 4)
	ms := k.Messages("0", "1", "2", "3")
	n.wantCounts("t", "ch", counts{depth: 6, inFlight: 4, deferred: 1})
	k.Send("RDY 0\n")
	k.Fin(ms[0])
	k.Req(ms[1], 0)
	k.Req(ms[2], 3_600_000)
	n.wantCounts("t", "ch", counts{depth: 7, inFlight: 1, deferred: 2})
	k.Close()
	n.wantCounts("t", "ch", counts{depth: 8, deferred: 2})
}

// TestBackendDepthIsWhatIsNotInMemory: the messages that are neither in flight
// nor among the newest, which memory has room for.
func TestBackendDepthIsWhatIsNotInMemory(t *testing.T) {
	const hot, messages, burst = 100, 1000, 10
	n := start(t, func(o *options) { o.broker.MemQueueSize = hot })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	p := n.connect()
	bodies := numbered("", messages)
	for some := range slices.Chunk(bodies, burst) {
		p.Publish("t", some...)
	}
	// Memory is given up in pieces.
	s := n.channel("t", "ch")
	if inMemory := s.Depth - s.BackendDepth; s.Depth != messages || inMemory < hot || inMemory > messages/2 {
		t.Errorf("depth %d, of which %d are not in memory", s.Depth, s.BackendDepth)
	}
	k := n.consume("t", "ch", 2500)
	k.Fin(k.Messages(bodies...)...)
	n.wantCounts("t", "ch", counts{})
	if s := n.channel("t", "ch"); s.BackendDepth != 0 {
		t.Errorf("%d messages of an empty channel are not in memory", s.BackendDepth)
	}

	none := start(t, func(o *options) { o.broker.MemQueueSize = 0 })
	none.connect().Publish("t", "1", "2", "3")
	if s := none.topic("t"); s.Depth != 3 || s.BackendDepth != 3 {
		t.Errorf("without memory: %+v", s)
	}
	none.consume("t", "ch", 10).Messages("1", "2", "3")
}

func TestDepthsAreExactAfterARestart(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			p := n.connect()
			n.do("/topic/create", "t", "")
			n.do("/channel/create", "t", "a")
			n.do("/channel/create", "t", "b")
			p.Publish("t", numbered("", 20)...)
			p.Send(wire.DPub("t", 3_600_000, "later"))
			p.Expect("OK")
			k := n.consume("t", "a", 10)
			ms := k.Messages(numbered("", 10)...)
			k.Fin(ms[1], ms[3], ms[4], ms[9])
			k.Req(ms[2], 3_600_000)
			n.do("/channel/empty", "t", "b")
			p.Publish("t", "after")
			p.Publish("waiting", "1", "2")
			n.wantCounts("t", "a", counts{depth: 11 - 5, inFlight: 10, deferred: 2})
			afterwards := counts{depth: 21 - 4 - 1, deferred: 2}
			if e.name == "kill" {
				k.Send("RDY 0\n")
				n.awaitIdle() // FINs of the last 50 ms need not survive a kill
			}
			for range 2 {
				e.end(n)
				n.open()
				if got := n.channel("t", "a").counts(); got != afterwards {
					t.Errorf("a is at %+v, want %+v", got, afterwards)
				}
				if got, want := n.channel("t", "b").counts(), (counts{depth: 1}); got != want {
					t.Errorf("b is at %+v, want %+v", got, want)
				}
				if d := n.topic("waiting").Depth; d != 2 {
					t.Errorf("depth of the topic without channels: %d", d)
				}
			}
		})
	}
}

func TestEmptiedTopicDropsOnlyWhatWaitsInIt(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			p := n.connect()
			n.do("/topic/create", "t", "")
			n.do("/channel/create", "t", "ch")
			p.Publish("t", "kept")
			n.do("/topic/pause", "t", "")
			p.Publish("t", "dropped")
			p.Send(wire.DPub("t", 1, "dropped too"))
			p.Expect("OK")
			n.do("/topic/empty", "t", "")
			if d := n.topic("t").Depth; d != 0 {
				t.Errorf("depth %d", d)
			}
			p.Publish("t", "after")
			e.end(n)
			n.open()
			if d := n.topic("t").Depth; d != 1 {
				t.Errorf("depth %d after the restart", d)
			}
			n.do("/topic/unpause", "t", "")
			k := n.consume("t", "ch", 10)
			k.Messages("kept", "after")
			k.ExpectOpen()
		})
	}
}

func TestEmptiedChannelDropsWaitingInFlightAndDeferred(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			p := n.connect()
			n.do("/topic/create", "t", "")
			n.do("/channel/create", "t", "ch")
			n.do("/channel/create", "t", "other")
			p.Publish("t", "1", "2", "3")
			p.Send(wire.DPub("t", 3_600_000, "4"))
			p.Expect("OK")
			k := n.consume("t", "ch", 2)
			ms := k.Messages("1", "2")
			n.do("/channel/empty", "t", "ch")
			if got := n.channel("t", "ch").counts(); got != (counts{}) {
				t.Errorf("%+v", got)
			}
			for _, m := range ms {
				k.Fin(m)
				k.ExpectError("E_FIN_FAILED FIN " + m.ID + " failed ID not in flight")
			}
			p.Publish("t", "5") // its credit is back
			k.Fin(k.Messages("5")...)
			n.wantCounts("t", "ch", counts{})
			n.awaitIdle()
			e.end(n)
			n.open()
			n.wantCounts("t", "ch", counts{})
			n.wantCounts("t", "other", counts{depth: 4, deferred: 1})
		})
	}
}

func TestDeletionClosesConsumersAndARecreatedNameSharesNothing(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			n := start(t)
			p := n.connect()
			p.Publish("t", "old 1", "old 2", "old 3")
			k := n.consume("t", "ch", 1)
			old := k.Messages("old 1")[0]
			other := n.consume("t", "other", 1)
			other.ExpectOpen()

			n.do("/channel/delete", "t", "ch")
			k.ExpectEnd()
			other.ExpectOpen()
			again := n.consume("t", "ch", 10) // starts at the end
			again.Fin(old)
			again.ExpectError("E_FIN_FAILED FIN " + old.ID + " failed ID not in flight")
			p.Publish("t", "between")
			again.Messages("between")
			other.Messages("between")

			n.do("/topic/delete", "t", "")
			other.ExpectEnd()
			again.ExpectEnd()
			if s := parseStats(t, n.must("GET", "/stats?format=json&topic=t", "")); s.Topics != nil {
				t.Errorf("there still is %+v", s.Topics)
			}
			p.Publish("t", "new")
			if s := n.topic("t"); s.Depth != 1 || s.MessageCount != 1 || len(s.Channels) != 0 {
				t.Errorf("%+v", s)
			}
			e.end(n)
			n.open()
			fresh := n.consume("t", "ch", 10)
			m := fresh.Messages("new")[0]
			if m.ID == old.ID {
				t.Error("an id was given out twice")
			}
			fresh.ExpectOpen()
		})
	}
}
