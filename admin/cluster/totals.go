package cluster

import (
	"strings"

	"qmq/admin/words"
)

// topicTotal is a topic over all nodes.
type topicTotal struct {
	name     string
	sums     sums
	own      sums  // without channels
	nodes    int   // that have it and were counted
	silent   int   // that had it and are left out
	paused   int   // nodes on which the topic itself is paused
	disk     int64 // bytes of segments on the nodes that tell; -1: none does
	rated    bool
	shared   bool  // it is replicated: only its leader tells what is in it
	leader   *node // who does; nil: nobody
	channels map[string]*channelTotal
	names    string // of the channels, with spaces between; made anew when empty
	history  history
	trend    trend // of what waits in the topic itself
	// answering tells which nodes are in the sums: when they are others, trends
	// start anew.
	answering, answered uint64
	round               uint32
}

// channelTotal is a channel over all nodes.
type channelTotal struct {
	pair    Pair
	sums    sums
	nodes   int
	silent  int
	latency latencies
	history history
	round   uint32
	trend   trend
}

func (t *topicTotal) reset() {
	t.sums, t.own, t.nodes, t.silent, t.paused, t.rated = sums{}, sums{}, 0, 0, 0, false
	t.shared, t.leader, t.disk = false, nil, -1
	t.answered, t.answering = t.answering, 0
	for _, ch := range t.channels {
		ch.sums, ch.nodes, ch.silent, ch.latency = sums{}, 0, 0, ch.latency[:0]
	}
}

// restartTrends forgets how depths were when other nodes are in the sums: what a
// node brings along that comes back has not grown.
func (t *topicTotal) restartTrends() {
	if t.answering == t.answered {
		return
	}
	t.trend.restart()
	for _, ch := range t.channels {
		ch.trend.restart()
	}
}

// channelNames are those of its channels, with spaces between.
func (t *topicTotal) channelNames() string {
	if t.names == "" {
		t.names = strings.Join(words.Sorted(t.channels), " ")
	}
	return t.names
}

// unheard tells whether only silent nodes have the topic, or nobody leads it: its
// figures are unknown, not 0.
func (t *topicTotal) unheard() bool {
	return t.nodes == 0 && t.silent > 0 || t.shared && t.leader == nil
}

// unheard is the same of a channel of t.
func (t *topicTotal) unheardOf(ch *channelTotal) bool {
	return ch.nodes == 0 && ch.silent > 0 || t.shared && t.leader == nil
}

func newTopicTotal(name string) *topicTotal {
	return &topicTotal{name: name, disk: -1, channels: make(map[string]*channelTotal), history: newHistory(topicRows)}
}

func (t *topicTotal) channel(name string) *channelTotal {
	ch := t.channels[name]
	if ch == nil {
		ch = &channelTotal{pair: Pair{t.name, name}, history: newHistory(channelRows)}
		t.channels[name], t.names = ch, ""
	}
	return ch
}
