package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/state"
	"qmq/topic"
)

// local makes a topic that stays local, on a member that has it, with channels.
func (g *rig) local(m *rigMember, name string, channels ...string) *topic.Topic {
	g.t.Helper()
	if err := m.Change(broker.Change{Op: state.CreateTopic, Topic: name, Local: true}); err != nil {
		g.t.Fatal(err)
	}
	g.eventually("all know that it is local", func() bool {
		return !slices.ContainsFunc(g.members, func(m *rigMember) bool { return m.Replicated(name) })
	})
	t, err := m.broker.Topic(name)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range channels {
		if _, err := t.Channel(c); err != nil {
			g.t.Fatal(err)
		}
	}
	return t
}

// adopt has a topic adopted, and waits until no member has it for itself.
func (g *rig) adopt(name string) {
	g.t.Helper()
	if err := g.members[2].Adopt(g.t.Context(), name); err != nil {
		g.t.Fatal(err)
	}
	g.eventually("all is moved", func() bool {
		return !slices.ContainsFunc(g.members, func(m *rigMember) bool {
			_, has := m.broker.Existing(name)
			return has || !m.Replicated(name)
		})
	})
}

// sorted are the bodies that wait in a channel, in the order of their texts.
func (g *rig) sorted(m *rigMember, topicName, channelName string) []string {
	g.t.Helper()
	list := g.bodies(m, topicName, channelName)
	slices.Sort(list)
	return list
}

// An adopted topic keeps what each of its channels owes, wherever it was, its pauses and
// its settings; what is finished in a channel does not come to it again.
func TestAdoptedTopicKeepsItsMessagesAndChannels(t *testing.T) {
	g := startRig(t)
	first := g.local(g.members[0], "mine", "work", "audit", "passing#ephemeral")
	if err := first.Publish(batchOf("a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	audit, _ := first.ExistingChannel("audit")
	var ids []message.ID
	if _, err := audit.Peek(channel.PeekOptions{Limit: 2}, func(p channel.Peeked, _ message.View) error {
		ids = append(ids, p.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := audit.Finish(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(first.PauseChannel("audit"), first.Configure([]byte(`{"max_age":"1h"}`))); err != nil {
		t.Fatal(err)
	}
	second := g.local(g.members[1], "mine", "work")
	if err := second.Publish(batchOf("d")); err != nil {
		t.Fatal(err)
	}
	g.adopt("mine")
	g.eventually("work has all", func() bool {
		return slices.Equal(g.sorted(g.members[1], "mine", "work"), []string{"a", "b", "c", "d"})
	})
	g.eventually("audit has what it had not finished", func() bool {
		return slices.Equal(g.sorted(g.members[2], "mine", "audit"), []string{"c"})
	})
	g.eventually("its channels are as they were", func() bool {
		r, ok := g.members[0].Topic("mine")
		return ok && len(r.Channels) == 2 && r.Channels[0].Paused && !r.Channels[1].Paused
	})
	g.eventually("it has its settings", func() bool {
		served, err := g.leader(shardOf("mine")).run.Load().node.Topic("mine", false)
		if err != nil {
			return false
		}
		set, _ := served.Config()
		was, _ := first.Config()
		return set.String() == was.String()
	})
}

// A message of which doubles are known comes to each channel that had not finished it,
// though it is moved for one channel after the other.
func TestAdoptedTopicMovesAMessageWithAnIDToEachChannel(t *testing.T) {
	g := startRig(t)
	mine := g.local(g.members[0], "mine", "audit", "work")
	if err := mine.Configure([]byte(`{"dedup_window":"10m","dedup_from":"body"}`)); err != nil {
		t.Fatal(err)
	}
	batch := new(diskqueue.Batch)
	for _, body := range []string{"a", "b"} {
		id := message.MakeDedupID([]byte(body))
		meta := message.Meta{Timestamp: time.Now().UnixNano(), DedupID: &id, DedupBounds: message.DedupBounds{Window: 10 * time.Minute, Most: 1000}}
		batch.Add(&meta, []byte(body))
	}
	if err := mine.Publish(batch); err != nil {
		t.Fatal(err)
	}
	g.adopt("mine")
	for _, c := range []string{"audit", "work"} {
		g.eventually(c+" has all", func() bool { return slices.Equal(g.sorted(g.members[1], "mine", c), []string{"a", "b"}) })
	}
}

// What waits in a topic that has no channel, or is paused, is moved too.
func TestAdoptedTopicKeepsWhatNoChannelHas(t *testing.T) {
	g := startRig(t)
	bare := g.local(g.members[0], "bare")
	paused := g.local(g.members[0], "paused", "work")
	if err := errors.Join(bare.Publish(batchOf("a")), paused.Pause(), paused.Publish(batchOf("b"))); err != nil {
		t.Fatal(err)
	}
	g.adopt("bare")
	g.adopt("paused")
	g.change(g.members[1], state.CreateChannel, "bare", "late")
	g.awaitBodies(g.members[1], "bare", "late", "a")
	g.eventually("it is paused", func() bool { // this member may apply it later than who had it
		r, ok := g.members[1].Topic("paused")
		return ok && r.Paused
	})
	g.change(g.members[1], state.UnpauseTopic, "paused", "")
	g.awaitBodies(g.members[1], "paused", "work", "b")
}

// What a client holds when a topic is adopted stays its own; its connection ends when
// nothing is left.
func TestAdoptedTopicWaitsForWhatIsInFlight(t *testing.T) {
	g := startRig(t)
	mine := g.local(g.members[0], "mine", "work")
	if err := mine.Publish(batchOf("held", "waits")); err != nil {
		t.Fatal(err)
	}
	work, _ := mine.ExistingChannel("work")
	closed := make(chan struct{})
	consumer, err := work.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() {}, Closed: func() { close(closed) }})
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetReady(1)
	var got held
	g.eventually("it has one", func() bool { consumer.Take(&got, 1); return len(got) == 1 })
	if err := g.members[1].Adopt(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	g.eventually("the replicated channel is there", func() bool {
		_, err := g.members[1].Channel("mine", "work")
		return err == nil
	})
	g.awaitBodies(g.members[1], "mine", "work", "waits")
	g.eventually("it says what is left", func() bool {
		moving := g.members[0].Status().Moving
		return len(moving) == 1 && moving[0].Topic == "mine" && moving[0].Left == 1
	})
	consumer.Answer([]channel.Answer{{ID: got[0], Op: channel.Finish}})
	<-closed
	g.adopt("mine")
	g.awaitBodies(g.members[1], "mine", "work", "waits")
}

// held are ids of messages that a consumer took.
type held []message.ID

// Put is part of channel.Sink.
func (h *held) Put(m *channel.Message) bool {
	*h = append(*h, m.ID)
	return true
}
