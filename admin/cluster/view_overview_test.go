package cluster

import (
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// TestFirstStepsEndWithTheFirstReader: until then the page says what to do next.
func TestFirstStepsEndWithTheFirstReader(t *testing.T) {
	topic := func(messages, depth int64, channels ...nodeclient.Channel) nodeclient.Topic {
		return nodeclient.Topic{Name: "hello", Messages: messages, Depth: depth, Channels: channels}
	}
	for name, test := range map[string]struct {
		topics []nodeclient.Topic
		want   string // the topic that is shown; "-": no first steps
	}{
		"nothing yet":               {nil, ""},
		"a topic without a message": {[]nodeclient.Topic{topic(0, 0)}, "-"},
		"a message waits":           {[]nodeclient.Topic{topic(1, 1)}, "hello"},
		"in a channel":              {[]nodeclient.Topic{topic(1, 0, nodeclient.Channel{Name: "c", Messages: 1, Depth: 1})}, "hello"},
		"a reader is there":         {[]nodeclient.Topic{topic(1, 0, nodeclient.Channel{Name: "c", Messages: 1, Depth: 1, ClientCount: 1})}, "-"},
		"it was read":               {[]nodeclient.Topic{topic(1, 0, nodeclient.Channel{Name: "c", Messages: 1})}, "-"},
		"many messages":             {[]nodeclient.Topic{topic(1000, 1000)}, "-"},
		"two topics":                {[]nodeclient.Topic{topic(1, 1), {Name: "other"}}, "-"},
	} {
		c, now := clusterOf("a")
		c.hear("a", &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, HeapInUse: -1, Topics: test.topics}, now)
		c.Update(now, time.Second)
		got := "-"
		if start := c.Overview().Start; start != nil {
			got = start.Topic
		}
		same(t, name, got, test.want)
	}
}

// TestMarksAreOfNodesThatHaveTheTopic: what becomes of others does not explain its
// chart.
func TestMarksAreOfNodesThatHaveTheTopic(t *testing.T) {
	c, now := clusterOf("a", "b")
	for s := range 30 {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 1, 1), at)
		if s < 10 {
			c.hear("b", &nodeclient.Stats{Version: "2.0.0", Health: "OK", StartTime: 1, HeapInUse: -1}, at)
		} else {
			c.nodes["b:4151"].miss(at, "refused")
		}
		c.Update(at, time.Second)
	}
	same(t, "marks of the cluster", len(c.marksOf(View{Kind: "cluster"}, now)), 1)
	same(t, "marks of the topic", len(c.marksOf(View{Kind: "topic", Topic: "t"}, now)), 0)
	point := c.Overview().Point["marks"].([]markRow)
	same(t, "marks of the newest point", len(point), 1)
}

func TestRestartIsOneMark(t *testing.T) {
	c, now := clusterOf("a", "b")
	for s := range 30 {
		at := now.Add(time.Duration(s) * time.Second)
		c.hear("a", statsAt(1, 1, 1), at)
		switch {
		case s < 10:
			c.hear("b", statsAt(1, 1, 1), at)
		case s < 20:
			c.nodes["b:4151"].miss(at, "refused")
		default:
			_, asked := c.Due(at)
			for _, q := range asked {
				if q.Address == "b:4151" {
					c.NodeAnswered(q, NodeAnswer{Stats: statsAt(99, 1, 1)}, at)
				}
			}
		}
		c.Update(at, time.Second)
	}
	var kinds []string
	for _, m := range c.marksOf(View{Kind: "topic", Topic: "t"}, now) {
		kinds = append(kinds, m.Kind)
	}
	same(t, "marks", kinds, "[silent restart]")
}

// TestNobodyIsBlamedWhileANodeIsSilent: what its consumers hold is not known, and
// figures of one answer are used together.
func TestNobodyIsBlamedWhileANodeIsSilent(t *testing.T) {
	c, now := clusterOf("a", "b")
	answer := func(at time.Time, b bool, late int64) {
		stats := statsAt(1, late, 0)
		stats.Topics[0].Channels[0].TimedOut = late
		stats.Topics[0].Channels[0].InFlight = 26
		c.hear("a", stats, at)
		if b {
			c.hear("b", statsAt(1, 100, 0), at)
		} else {
			c.nodes["b:4151"].miss(at, "refused")
		}
		c.Update(at, time.Second)
	}
	known := NewConsumers([]ConsumerRow{{ID: "slow", Node: "a:4151", InFlight: 28}, {ID: "fine", Node: "b:4151", InFlight: 2}}, now)
	text := func() string {
		return c.Build(View{Kind: "channel", Topic: "t", Channel: "c"}, known).(*ChannelView).Verdict.Text
	}
	for s := range int64(60) {
		answer(now.Add(time.Duration(s)*time.Second), true, 10*s)
	}
	same(t, "with all nodes", text(), "100% of them on a, whose only consumer, slow, holds 28 of 30 messages in flight.")
	for s := range int64(20) {
		answer(now.Add(time.Duration(60+s)*time.Second), false, 600+10*s)
	}
	same(t, "while one is silent", text(), "")
}
