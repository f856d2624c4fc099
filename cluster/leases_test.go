package cluster

import (
	"errors"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/lease"
	"qmq/message"
	"qmq/state"
)

// leases are those of each member.
func (g *rig) leases() map[*rigMember]*lease.Leases {
	all := make(map[*rigMember]*lease.Leases)
	for _, m := range g.members {
		l := lease.New(m.broker, lease.Options{MaxPolls: 10, MaxMessages: 100, MaxAnswers: 10, Others: m.Set})
		m.SetLeased(l.Answered)
		all[m] = l
	}
	return all
}

// leased has a client lease n messages of orders/work at a member.
func (g *rig) leased(l *lease.Leases, n int) (ids []message.ID) {
	g.t.Helper()
	late := time.Now().Add(rigTimeout)
	for len(ids) < n {
		h, err := l.Begin(lease.Poll{Topic: "orders", Channel: "work", Max: n - len(ids), Lease: time.Minute})
		if err != nil {
			g.t.Fatal(err)
		}
		got := new(handful)
		_, err = h.Take(g.t.Context(), got, time.Second)
		h.End()
		if ids = append(ids, got.ids...); err != nil || time.Now().After(late) {
			g.t.Fatalf("%d of %d messages, %v", len(ids), n, err)
		}
	}
	return ids
}

// say answers a message, until it is known what became of that.
func (g *rig) say(l *lease.Leases, op channel.AnswerOp, id message.ID) (err error) {
	g.t.Helper()
	a := lease.Answers{Topic: "orders", Channel: "work", List: []channel.Answer{{Op: op, ID: id}}}
	l.Answer(g.t.Context(), &a)
	return a.List[0].Err
}

// TestWhoHasJustJoinedDoesNotSayThatNobodyHasALease, for it knows nobody to ask yet.
func TestWhoHasJustJoinedDoesNotSayThatNobodyHasALease(t *testing.T) {
	s := &Set{identity: &identity{Member: 4, Cluster: 1}}
	for _, g := range []*registry{nil, new(registry)} {
		s.registry.Store(g)
		if _, complete := s.AskAll(t.Context(), nil); complete {
			t.Errorf("all of %+v are said to have been asked", g)
		}
	}
	s.registry.Store(&registry{Members: []*member{{ID: 4}}})
	if _, complete := s.AskAll(t.Context(), nil); !complete {
		t.Error("who is alone has asked everybody")
	}
}

func TestLeasesAreAnsweredAtAnyMemberAndOutliveTheLeader(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	leases := g.leases()
	leader := g.leader(shardOf("orders"))
	var others []*rigMember
	for _, m := range g.members {
		if m != leader {
			others = append(others, m)
		}
	}
	a, b := leases[others[0]], leases[others[1]]
	g.publish(others[0], "orders", "m", 5)
	ids := g.leased(a, 4)
	if err := g.say(b, channel.Finish, ids[0]); err != nil {
		t.Error("another member:", err)
	}
	if err := g.say(b, channel.Finish, ids[0]); !errors.Is(err, channel.ErrNotInFlight) {
		t.Error("again:", err)
	}
	g.cut(leader, others[0])
	g.cut(leader, others[1])
	if err := g.say(b, channel.Finish, ids[1]); err != nil {
		t.Error("another member, without the leader:", err)
	}
	if err := g.say(a, channel.Finish, ids[2]); err != nil {
		t.Error("without the leader:", err)
	}
	if err := g.say(b, channel.Requeue, ids[3]); err != nil {
		t.Error("requeued without the leader:", err)
	}
	if err := g.say(b, channel.Finish, message.MakeID(5, 1)); !errors.Is(err, channel.ErrNotInFlight) {
		t.Error("what nobody has, with a silent member:", err)
	}
	rest := g.leased(b, 2)
	if rest[0] != ids[3] && rest[1] != ids[3] {
		t.Errorf("the requeued %s is not among %s", ids[3], rest)
	}
	h, err := b.Begin(lease.Poll{Topic: "orders", Channel: "work", Max: 10, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer h.End()
	if n, err := h.Take(t.Context(), new(handful), time.Second); n != 0 || err != nil {
		t.Error("messages that were finished come again:", n, err)
	}
	for _, id := range rest {
		if err := g.say(a, channel.Finish, id); err != nil {
			t.Error(err)
		}
	}
}

func TestPublishersOfReplicatedTopicsLearnTheIDsThatConsumersSee(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	leases := g.leases()
	for _, m := range g.members { // the leader and the others
		p, err := m.broker.Publisher("orders")
		if err != nil {
			t.Fatal(err)
		}
		b := new(diskqueue.Batch)
		b.AskFirst()
		b.Add(&message.Meta{Timestamp: 1}, []byte("a"))
		b.Add(&message.Meta{Timestamp: 2}, []byte("b"))
		stored, err := m.broker.Publish(p, b)
		if err != nil {
			t.Fatal(err)
		}
		prefix := stored.(broker.Numbered).IDPrefix()
		ids := g.leased(leases[m], 2)
		if ids[0] != message.MakeID(prefix, b.First()) || ids[1] != message.MakeID(prefix, b.First()+1) {
			t.Errorf("published %s, consumed %s", message.MakeID(prefix, b.First()), ids)
		}
	}
}

func TestWhatAMemberTakesBackOfARequestIsNoAttempt(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	leases := g.leases()
	g.publish(g.members[0], "orders", "m", 2)
	for _, m := range g.members {
		h, err := leases[m].Begin(lease.Poll{Topic: "orders", Channel: "work", Max: 2, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		got := new(handful)
		if n, err := h.Take(t.Context(), got, rigTimeout); n == 0 || err != nil || got.attempts[0] != 1 {
			t.Errorf("%d messages, attempts %v, %v", n, got.attempts, err)
		}
		h.Return()
		h.End()
	}
}

// keys keeps the keys of messages.
type keys []string

func (k *keys) Put(m *channel.Message) bool {
	*k = append(*k, string(m.Key()))
	return true
}

func TestLeasedMessagesHaveTheirKeysAtAnyMember(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	leases := g.leases()
	for _, m := range g.members {
		p, err := m.broker.Publisher("orders")
		if err != nil {
			t.Fatal(err)
		}
		b := new(diskqueue.Batch)
		b.Add(&message.Meta{Timestamp: 1, Key: []byte("user 1")}, []byte("a"))
		if _, err := m.broker.Publish(p, b); err != nil {
			t.Fatal(err)
		}
		h, err := leases[m].Begin(lease.Poll{Topic: "orders", Channel: "work", Max: 1, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		var got keys
		if _, err := h.Take(t.Context(), &got, rigTimeout); err != nil || len(got) != 1 || got[0] != "user 1" {
			t.Errorf("keys %q, %v", got, err)
		}
		h.End()
	}
}

// A member that cannot be asked keeps in doubt what it may have leased, and nothing else.
func TestSilentMemberKeepsOnlyItsLeasesInDoubt(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	leases := g.leases()
	leader := g.leader(shardOf("orders"))
	others := g.others(leader)
	g.publish(leader, "orders", "m", 2)
	held := g.leased(leases[others[0]], 1)[0]
	g.cut(others[0], others[1])
	if err := g.say(leases[others[1]], channel.Finish, held); !errors.Is(err, lease.ErrSilent) {
		t.Error("what the silent member has leased:", err)
	}
	if err := g.say(leases[others[0]], channel.Finish, held); err != nil {
		t.Error("at the member itself:", err)
	}
	for _, id := range []message.ID{held, message.MakeID(5, 1)} {
		g.eventually("it is nobody's", func() bool {
			return errors.Is(g.say(leases[others[1]], channel.Finish, id), channel.ErrNotInFlight)
		})
	}
}
