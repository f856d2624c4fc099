package cluster

import "time"

// View is what somebody looks at.
type View struct {
	Kind, Topic, Channel, Node string
}

// Bar is what every page shows.
type Bar struct {
	Cluster           string       `json:"cluster"`
	Attention         int          `json:"attention"`
	Level             Level        `json:"level"`
	Nodes             int          `json:"nodes"`
	Answering         int          `json:"answering"`
	Silent            []silentNode `json:"silent"`
	Lookupds          int          `json:"lookupds"`
	LookupdsAnswering int          `json:"lookupds_answering"`
	Sets              int          `json:"sets"` // of replicas
}

type silentNode struct {
	Node  string `json:"node"`
	Name  string `json:"name"`
	Since *int64 `json:"since"`
	Error string `json:"error"`
}

// millis of a time that may not have been.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// Bar is what every page shows. Name is that of the cluster.
func (c *Cluster) Bar(name string) Bar {
	b := Bar{Cluster: name, Attention: len(c.alerts.open), Level: c.alerts.levelOf(func(*Alert) bool { return true }), Nodes: len(c.order), Silent: []silentNode{}, Lookupds: len(c.lookupds), Sets: len(c.sets)}
	for _, n := range c.order {
		if n.fresh(c.now) {
			b.Answering++
		} else {
			b.Silent = append(b.Silent, silentNode{n.id, n.name, millis(n.at), n.problem})
		}
	}
	for _, l := range c.lookupds {
		if l.asked > 0 && l.missed < missedPolls {
			b.LookupdsAnswering++
		}
	}
	return b
}

// rate is one that is unknown until two answers can be compared.
func rate(known bool, r float64) Figure {
	if !known {
		return unknown
	}
	return Figure(r)
}

// lines are copies of attention lines with their sparklines: the watch goes on
// changing its own.
func (c *Cluster) alertRows(open []*Alert) []Alert {
	list := make([]Alert, len(open))
	for i, l := range open {
		list[i] = *l
		list[i].Spark = c.alertSpark(l)
	}
	return list
}

func (c *Cluster) alertSpark(l *Alert) Figures {
	t := c.topics[l.Topic]
	if t == nil || l.Topic == "" {
		return nil
	}
	if l.Channel == "" {
		return t.history[3].spark(c.now.Unix())
	}
	ch := t.channels[l.Channel]
	if ch == nil {
		return nil
	}
	if l.Rule == "timeouts" {
		return ch.history[channelTimedOut].spark(c.now.Unix())
	}
	return ch.history[channelDepth].spark(c.now.Unix())
}

// Build makes the data of a view; nil if there is no such thing. Consumers are
// those of the channel that is looked at. What people did is not known here.
func (c *Cluster) Build(v View, k Consumers) any {
	switch v.Kind {
	case "overview":
		return c.Overview()
	case "topics":
		return c.TopicsView()
	case "topic":
		if t := c.topicCalled(v.Topic); t != nil {
			return c.topicView(t)
		}
	case "channel":
		if t := c.topicCalled(v.Topic); t != nil && t.channels[v.Channel] != nil {
			return c.channelView(t, t.channels[v.Channel], k)
		}
	case "nodes":
		return c.NodesView()
	case "node":
		if n := c.node(v.Node); n != nil {
			return c.nodeView(n)
		}
	case "sets":
		return c.setsView()
	case "lookup":
		return c.lookupView()
	case "counter":
		return c.counterView()
	}
	return nil
}
