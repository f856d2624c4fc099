package serve

import (
	"context"
	"errors"
	"testing"
	"time"

	"qmq/state"
	"qmq/topic"
)

// A leader commits before it applies, and another node may have applied by then what is
// agreed on. What it asks the leader for is there, though the leader has not applied it yet.

// aheadOf runs a test with a leader that has proposed something which the others have
// applied, and not yet itself.
func aheadOf(t *testing.T, proposed func(*Node) error, test func(t *testing.T, leader, other *member)) {
	withSet(t, 3, func(t *testing.T, s *set) {
		leader, other := s.members[0], s.members[1]
		s.lead(leader, 0)
		must(t, leader.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "other"}))
		must(t, leader.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"}))
		must(t, leader.node.Do(t.Context(), Request{Op: state.CreateChannel, Topic: "t", Channel: "rewound"}))
		leader.setLag(true)
		proposal := beside(func() error { return proposed(leader.node) })
		<-time.After(10 * s.latency)
		proposal.wantWaiting(t)
		test(t, leader, other)
		leader.setLag(false)
		<-time.After(time.Second)
		proposal.want(t, nil)
	})
}

// catchesUp lets a leader apply in a while.
func (m *member) catchesUp() { time.AfterFunc(50*time.Millisecond, func() { m.setLag(false) }) }

func TestChannelThatOthersKnowIsFoundAtItsLeader(t *testing.T) {
	create := func(n *Node) error {
		return n.Do(context.Background(), Request{Op: state.CreateChannel, Topic: "t", Channel: "c"})
	}
	for what, ask := range map[string]func(leader, other *Node) error{
		"it is looked for": func(leader, _ *Node) error {
			_, err := leader.Channel("t", "c")
			return err
		},
		"it is paused": func(_, other *Node) error {
			return other.Do(context.Background(), Request{Op: state.PauseChannel, Topic: "t", Channel: "c"})
		},
		"it is deleted": func(_, other *Node) error {
			return other.Do(context.Background(), Request{Op: state.DeleteChannel, Topic: "t", Channel: "c"})
		},
	} {
		t.Run(what, func(t *testing.T) {
			aheadOf(t, create, func(t *testing.T, leader, other *member) {
				if other.passive(t, "c") == nil {
					t.Fatal("the other node does not know it")
				}
				leader.catchesUp()
				must(t, ask(leader.node, other.node))
			})
		})
	}
}

func TestTopicThatOthersKnowIsFoundAtItsLeader(t *testing.T) {
	create := func(n *Node) error {
		return n.Do(context.Background(), Request{Op: state.CreateTopic, Topic: "new"})
	}
	for what, ask := range map[string]func(leader, other *Node) error{
		"it is looked for": func(leader, _ *Node) error {
			_, err := leader.Topic("new", false)
			return err
		},
		"it is paused": func(_, other *Node) error {
			return other.Do(context.Background(), Request{Op: state.PauseTopic, Topic: "new"})
		},
		"it is emptied": func(_, other *Node) error {
			return other.Do(context.Background(), Request{Op: state.EmptyTopic, Topic: "new"})
		},
		"it is deleted": func(_, other *Node) error {
			return other.Do(context.Background(), Request{Op: state.DeleteTopic, Topic: "new", Everywhere: true})
		},
		"it is published to": func(_, other *Node) error {
			p, err := other.Publisher("new", false)
			if err != nil {
				return err
			}
			return p.Publish(batchOf("a"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			aheadOf(t, create, func(t *testing.T, leader, other *member) {
				if _, there := other.machine.Incarnation("new"); !there {
					t.Fatal("the other node does not know it")
				}
				leader.catchesUp()
				must(t, ask(leader.node, other.node))
			})
		})
	}
}

// What another node has OK'd goes when its topic is emptied, though the leader has not applied
// it yet.
func TestWhatOthersOKdIsEmptied(t *testing.T) {
	publish := func(n *Node) error {
		p, err := n.Publisher("t", false)
		if err != nil {
			return err
		}
		return p.Publish(batchOf("a"))
	}
	aheadOf(t, publish, func(t *testing.T, leader, other *member) {
		emptied := beside(func() error {
			return other.node.Do(context.Background(), Request{Op: state.EmptyTopic, Topic: "t"})
		})
		leader.catchesUp()
		<-time.After(time.Second)
		emptied.want(t, nil)
		served, err := leader.node.Topic("t", false)
		if err != nil {
			t.Fatal(err)
		}
		if depth := served.Stats().Depth; depth != 0 {
			t.Errorf("%d messages are left", depth)
		}
	})
}

// Where a channel begins, or ends, is a place among all that was OK'd, also by nodes that are
// further than the leader.
func TestPositionsAreAmongWhatOthersOKd(t *testing.T) {
	publish := func(n *Node) error {
		p, err := n.Publisher("t", false)
		if err != nil {
			return err
		}
		return p.Publish(batchOf("a"))
	}
	for what, ask := range map[string]struct {
		r    Request
		want int64
	}{
		"a channel begins at the end":     {Request{Op: state.CreateChannel, Topic: "t", Channel: "c", From: "last"}, 0},
		"a channel ends at the end":       {Request{Op: state.CreateChannel, Topic: "t", Channel: "c", From: "first", Until: "last"}, 1},
		"a channel begins with all":       {Request{Op: state.CreateChannel, Topic: "t", Channel: "c", From: "first"}, 1},
		"a channel is rewound to all":     {Request{Op: state.RewindChannel, Topic: "t", Channel: "rewound", From: "first"}, 1},
		"a channel is rewound to the end": {Request{Op: state.RewindChannel, Topic: "t", Channel: "rewound", From: "last"}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			aheadOf(t, publish, func(t *testing.T, leader, other *member) {
				ask.r.Replay = new(topic.Replay)
				asked := beside(func() error { return other.node.Do(context.Background(), ask.r) })
				leader.catchesUp()
				<-time.After(time.Second)
				asked.want(t, nil)
				if n := ask.r.Replay.Messages; n != ask.want {
					t.Errorf("%d messages come, want %d", n, ask.want)
				}
				c, err := leader.node.Channel("t", ask.r.Channel)
				must(t, err)
				if depth := c.Stats().Depth; depth != ask.want {
					t.Errorf("%d messages wait, want %d", depth, ask.want)
				}
			})
		})
	}
}

// What a leader gave up when it was deposed may have been agreed on all the same: it says
// of nothing then that it is not there.
func TestWhoLeadsNoMoreDeniesNothing(t *testing.T) {
	withSet(t, 3, func(t *testing.T, s *set) {
		leader := s.members[0]
		s.lead(leader, 0)
		must(t, leader.node.Do(t.Context(), Request{Op: state.CreateTopic, Topic: "t"}))
		leader.setLag(true)
		creation := beside(func() error {
			return leader.node.Do(context.Background(), Request{Op: state.CreateChannel, Topic: "t", Channel: "c"})
		})
		<-time.After(10 * s.latency)
		creation.wantWaiting(t)
		serving := leader.node.Shard(0).servingNow()
		look := beside(func() error {
			_, err := leader.node.Channel("t", "c")
			return err
		})
		pause := beside(func() error {
			return leader.node.Shard(0).doHere(Request{Op: state.PauseChannel, Topic: "t", Channel: "c"})
		})
		look.wantWaiting(t)
		pause.wantWaiting(t)
		s.lead(s.members[1], 0)
		look.want(t, errNotLeader)
		pause.want(t, errNotLeader)
		if _, err := serving.Topic("none"); !errors.Is(err, errNotLeader) {
			t.Error(err)
		}
		leader.setLag(false)
		<-time.After(time.Second)
		creation.want(t, nil)
		if _, err := s.members[1].node.Channel("t", "c"); err != nil {
			t.Error(err)
		}
		if _, err := s.members[1].node.Channel("t", "d"); !errors.Is(err, topic.ErrNoChannel) {
			t.Error(err)
		}
	})
}
