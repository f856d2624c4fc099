package cluster

import (
	"slices"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/state"
)

// Three members: 1 leads, 2 and 3 follow.
func TestWhoHearsMore(t *testing.T) {
	all := []uint64{1, 2, 3}
	type step struct {
		at    time.Duration
		hears map[uint64][]uint64 // by member
		heard []uint64            // here, by 1
	}
	both := map[uint64][]uint64{2: {1, 3}, 3: {1, 2}}
	steady := func(from, to time.Duration, hears map[uint64][]uint64, heard ...uint64) (list []step) {
		for at := from; at < to; at += tellDisk {
			list = append(list, step{at, hears, heard})
		}
		return list
	}
	for name, c := range map[string]struct {
		steps []step
		more  uint64 // who hears more than 1; 0: nobody
	}{
		"all hear one another": {steady(0, 4*time.Second, both, 2, 3), 0},
		"3 is cut off from 1 alone": {slices.Concat(
			steady(0, 2*time.Second, both, 2, 3),
			steady(2*time.Second, 4*time.Second, map[uint64][]uint64{2: {1, 3}, 3: {2}}, 2)), 2},
		"for a moment": {slices.Concat(
			steady(0, 2*time.Second, both, 2, 3),
			steady(2*time.Second, 2*time.Second+lostAfter-tellDisk, map[uint64][]uint64{2: {1, 3}, 3: {2}}, 2)), 0},
		"3 is gone, which 2 notices later": {slices.Concat(
			steady(0, 2*time.Second, both, 2, 3),
			steady(2*time.Second, 2*time.Second+heardWithin, map[uint64][]uint64{2: {1, 3}}, 2),
			steady(2*time.Second+heardWithin, 4*time.Second, map[uint64][]uint64{2: {1}}, 2)), 0},
		"3 is back, and connected to 2 first": {slices.Concat(
			steady(0, 2*time.Second, map[uint64][]uint64{2: {1}}, 2),
			steady(2*time.Second, 2*time.Second+lostAfter, map[uint64][]uint64{2: {1, 3}, 3: {2}}, 2),
			steady(2*time.Second+lostAfter, 5*time.Second, both, 2, 3)), 0},
		"2 told so long ago": {slices.Concat(
			steady(0, 2*time.Second, both, 2, 3),
			steady(2*time.Second, 4*time.Second, nil)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReach()
			var more uint64
			for _, s := range c.steps {
				for from, hears := range s.hears {
					r.told(s.at, from, hears)
				}
				for _, member := range s.heard {
					r.heard[member] = s.at
				}
				for _, other := range all[1:] {
					if r.of(s.at, other, 1, all) > r.here(s.at, 1, all) {
						more = other
					}
				}
			}
			if more != c.more {
				t.Errorf("member %d hears more", more)
			}
		})
	}
}

// taken is the bodies that a consumer took.
type taken []string

// Put is part of channel.Sink.
func (t *taken) Put(m *channel.Message) bool {
	*t = append(*t, string(m.Body))
	return true
}

// A member that is cut off from the leader alone is served all the same, soon: another
// one leads, until the two hear one another again.
func TestMemberCutOffFromTheLeaderAloneIsServed(t *testing.T) {
	g := startRig(t)
	g.change(g.members[0], state.CreateTopic, "orders", "")
	g.change(g.members[0], state.CreateChannel, "orders", "work")
	shard := shardOf("orders")
	leader := g.leader(shard)
	cutOff, third := g.others(leader)[0], g.others(leader)[1]
	g.publish(cutOff, "orders", "before", 1)
	consumer, err := cutOff.Subscribe("orders", "work", false, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	consumer.SetReady(10)
	var got taken
	took := func(body string) bool {
		consumer.Take(&got, 10)
		return slices.Contains(got, body)
	}
	g.eventually("it consumes", func() bool { return took("before 0") })
	heal := g.cut(leader, cutOff)
	began := time.Now()
	g.eventually("it can be published through it", func() bool { return g.tryPublish(cutOff, "orders", "meanwhile", 1) == nil })
	t.Logf("publishes paused for %v", time.Since(began))
	g.eventually("it consumes through it", func() bool { return took("meanwhile 0") })
	t.Logf("deliveries paused for %v", time.Since(began))
	g.eventually("the third leads all", func() bool {
		for n := range uint32(Shards + 1) {
			if third.run.Load().watch.leaderOf(n) != third.run.Load().member {
				return false
			}
		}
		return true
	})
	if err := g.members[0].Move(t.Context(), shard, cutOff.o.Address); err == nil {
		t.Error("leadership is moved to who hears less")
	}
	heal()
	g.eventually("leaders are spread again", func() bool {
		return third.run.Load().watch.leaderOf(shard) == uint64(cutOff.who().Member)
	})
	g.publish(leader, "orders", "after", 1)
}
