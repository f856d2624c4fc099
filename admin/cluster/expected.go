package cluster

import (
	"slices"
	"time"
)

// What daemons have just been told shows before they are asked again.

// ChannelCreated adds a channel to a topic that the node has.
func (c *Cluster) ChannelCreated(node string, p Pair) {
	n := c.node(node)
	if n == nil {
		return
	}
	t := n.topics[p.Topic]
	if t == nil || t.channels[p.Channel] != nil {
		return
	}
	ch := &nodeChannel{name: p.Channel}
	t.channels[p.Channel] = ch
	t.order = append(t.order, ch)
	c.topic(p.Topic).channel(p.Channel).round = c.round
}

// Registered notes that a directory knows a topic, and a channel of it unless
// that is empty.
func (c *Cluster) Registered(directory string, p Pair) {
	l := c.lookupdAt(directory)
	if l == nil {
		return
	}
	if !slices.Contains(l.topics, p.Topic) {
		l.topics = append(l.topics, p.Topic)
	}
	known := l.channels[p.Topic]
	if p.Channel != "" && !slices.Contains(known.names, p.Channel) {
		known.names = append(known.names, p.Channel)
		l.channels[p.Topic] = known
	}
}

// Unregistered notes that a directory does not know a channel any more, or a
// topic if channel is empty.
func (c *Cluster) Unregistered(directory string, p Pair) {
	l := c.lookupdAt(directory)
	if l == nil {
		return
	}
	if p.Channel == "" {
		l.topics = slices.DeleteFunc(l.topics, func(name string) bool { return name == p.Topic })
		delete(l.channels, p.Topic)
		return
	}
	known := l.channels[p.Topic]
	known.names = slices.DeleteFunc(known.names, func(name string) bool { return name == p.Channel })
	l.channels[p.Topic] = known
}

func (c *Cluster) lookupdAt(address string) *lookupd {
	for _, l := range c.lookupds {
		if l.address == address {
			return l
		}
	}
	return nil
}

// ExpectEmpty notes that what goes away from a channel now was not finished.
func (c *Cluster) ExpectEmpty(p Pair, now time.Time) { c.emptied[p] = now }
