package cluster

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/state"
)

// eater is a client that consumes at a member, and finishes what it gets a moment later.
type eater struct {
	consumer broker.Consumer
	wakes    chan struct{}
	ids      []message.ID // that it holds
	got      func(body string)
}

// eat has a client consume a channel at a member until the end of the test. Closed counts those
// that the member gives up.
func (g *rig) eat(m *rigMember, topicName, channelName string, closed *atomic.Int32, got func(body string)) {
	g.t.Helper()
	e := &eater{wakes: make(chan struct{}, 1), got: got}
	k, err := m.Subscribe(topicName, channelName, false, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{
		MsgTimeout: time.Minute, Wake: e.wake, Closed: func() { closed.Add(1) },
	}})
	if err != nil {
		g.t.Fatal(err)
	}
	e.consumer = k
	k.SetReady(5)
	stop := make(chan struct{})
	var eating sync.WaitGroup
	eating.Go(func() { e.eat(stop) })
	g.t.Cleanup(func() {
		k.Close()
		close(stop)
		eating.Wait()
	})
}

func (e *eater) wake() {
	select {
	case e.wakes <- struct{}{}:
	default:
	}
}

func (e *eater) eat(stop <-chan struct{}) {
	for {
		for e.consumer.Take(e, channel.MaxTake) > 0 {
			time.Sleep(2 * time.Millisecond) // with the client
			var answers []channel.Answer
			for _, id := range e.ids {
				answers = append(answers, channel.Answer{Op: channel.Finish, ID: id})
			}
			e.ids = e.ids[:0]
			e.consumer.Answer(answers)
		}
		select {
		case <-e.wakes:
		case <-stop:
			return
		}
	}
}

// Put is of channel.Sink.
func (e *eater) Put(m *channel.Message) bool {
	e.ids = append(e.ids, m.ID)
	e.got(string(m.Body))
	return true
}

// hears says whether a member is connected to another one.
func (m *rigMember) hears(other *rigMember) bool {
	return slices.Contains(m.connected(), uint64(other.who().Member))
}

// TestNothingIsRepeatedWhenOnlyLinksBreak cuts the connections between the leader and the other
// members again and again, while clients of all consume. Where another leader is elected
// meanwhile, or a link takes 5 s, as on a machine that is starved, messages may be repeated: it
// is tried anew then.
func TestNothingIsRepeatedWhenOnlyLinksBreak(t *testing.T) {
	g := startRig(t, func(o *Options) { o.AwayWithin, o.Election = rigTimeout, 2*time.Second })
	const tries = 10
	for i := range tries {
		repeated, calm := g.breakLinks(fmt.Sprint("orders", i))
		if !calm {
			continue
		}
		if len(repeated) > 0 {
			t.Errorf("they came more than once: %q", repeated)
		}
		return
	}
	t.Errorf("of %d tries the set kept its leader and its links in none", tries)
}

// breakLinks returns which messages came more than once, and whether only links broke.
func (g *rig) breakLinks(topicName string) (repeated []string, calm bool) {
	const cuts, messages = 10, 100 // each time
	g.change(g.members[0], state.CreateTopic, topicName, "")
	g.change(g.members[0], state.CreateChannel, topicName, "work")
	shard := shardOf(topicName)
	leader := g.leader(shard)
	elections := func() (n uint64) {
		for _, m := range g.members {
			n += m.counts.shards[shard].elections.Load()
		}
		return n
	}
	before := elections()
	others := slices.DeleteFunc(slices.Clone(g.members), func(m *rigMember) bool { return m == leader })
	var mu sync.Mutex
	got := make(map[string]int)
	var closed atomic.Int32
	for _, m := range g.members {
		g.eat(m, topicName, "work", &closed, func(body string) {
			mu.Lock()
			defer mu.Unlock()
			got[body]++
		})
	}
	disturbed := func() bool { return elections() != before || closed.Load() > 0 }
	for i := range cuts {
		other := others[i%2]
		g.publish(leader, topicName, fmt.Sprint(i), messages)
		heal := g.cut(leader, other)
		g.eventually("no link", func() bool { return !leader.hears(other) && !other.hears(leader) })
		heal()
		g.eventually("another link", func() bool { return leader.hears(other) && other.hears(leader) })
	}
	g.eventually("all are finished", func() bool {
		if disturbed() {
			return true
		}
		mu.Lock()
		all := len(got) == cuts*messages
		mu.Unlock()
		return all && isFinished(leader, topicName)
	})
	mu.Lock()
	defer mu.Unlock()
	for body, n := range got {
		if n > 1 {
			repeated = append(repeated, body)
		}
	}
	return repeated, !disturbed()
}

// isFinished says whether the leader of a topic has nothing left for its channel.
func isFinished(leader *rigMember, topicName string) bool {
	r, ok := leader.Topic(topicName)
	if !ok || r.Served == nil {
		return false
	}
	c, ok := r.Served.ExistingChannel("work")
	if !ok {
		return false
	}
	st := c.Stats()
	return st.Depth == 0 && st.InFlight == 0
}
