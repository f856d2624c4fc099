package cluster

import (
	"fmt"
	"net"
	"slices"
	"time"

	"qmq/admin/words"
	"qmq/lookup"
)

// What directories list is compared with what nodes say: a topic may be hidden,
// two nodes may share an address, and an address may be none.

const (
	// unlistedPolls is how often in a row a directory must leave out what a node
	// has before that is said. A deletion reaches the nodes sooner.
	unlistedPolls = 2
	// twinsAfter is how long two nodes must announce one address: a node that
	// comes back under another host name may be listed twice for a moment.
	twinsAfter = 12 * time.Second
	// sameNameAfter is the same where all that tells them apart is that one
	// directory sees two connections: the old one of a node that connected anew
	// may be left over.
	sameNameAfter = time.Minute
	maxNamed      = 3 // nodes, directories or addresses in one sentence
)

// onNode is a topic on a node.
type onNode struct{ node, topic string }

// compare notes which topics a directory leaves out of those that nodes have
// which it lists.
func (l *lookupd) compare(c *Cluster, now time.Time) {
	was := l.unlisted
	l.unlisted = make(map[onNode]int)
	for i := range l.nodes {
		known := &l.nodes[i]
		address := NodeAddress(&known.Identity)
		n := c.nodes[address]
		if n == nil || !n.fresh(now) {
			continue
		}
		listed := make(map[string]bool, len(known.Topics))
		for _, t := range known.Topics {
			listed[t.Topic] = true // tombstoned ones too
		}
		for _, t := range n.order {
			if at := (onNode{address, t.name}); !listed[t.name] {
				l.unlisted[at] = was[at] + 1
			}
		}
	}
}

// hidden is a topic that some nodes have though directories that know them do
// not list it there.
type hidden struct {
	lookupds, nodes []string
	level           Level
	depth           int64
}

// hiddenInputs: consumers do not find a topic on a node that has it.
func (c *Cluster) hiddenInputs(inputs []alertInput) []alertInput {
	topics := make(map[string]*hidden)
	for _, l := range c.lookupds {
		for at, polls := range l.unlisted {
			n := c.nodes[at.node]
			if polls < unlistedPolls || l.missed >= missedPolls || n == nil || n.topics[at.topic] == nil {
				continue
			}
			h := topics[at.topic]
			if h == nil {
				h = &hidden{level: LevelWarn}
				topics[at.topic] = h
			}
			if n.kind() != "qd" {
				h.level = LevelCrit // it does not register again by itself
			}
			if !slices.Contains(h.nodes, n.name) {
				h.nodes = append(h.nodes, n.name)
				h.depth += n.topics[at.topic].sums.depth
			}
			if !slices.Contains(h.lookupds, l.address) {
				h.lookupds = append(h.lookupds, l.address)
			}
		}
	}
	for topic, h := range topics {
		at := Alert{ID: "hidden/" + topic, Level: h.level, Icon: string(h.level), Rule: "hidden", Topic: topic, Value: Figure(h.depth), Unit: "waiting", affected: float64(h.depth)}
		at.Text = fmt.Sprintf("Deleted at %s, but still on %s: consumers do not find it there", named(h.lookupds), named(h.nodes))
		past := fmt.Sprintf("Was deleted at %s, but still on %s, for {d}", named(h.lookupds), named(h.nodes))
		inputs = append(inputs, alertInput{alert: at, starts: true, past: past})
	}
	return inputs
}

// named are a few names, sorted, as they are said in a sentence.
func named(names []string) string {
	slices.Sort(names)
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed:maxNamed], fmt.Sprintf("%d more", more))
	}
	return words.List(names)
}

// twins are nodes that announce one address.
type twins struct {
	names []string
	after time.Duration // it must last before it is said
	since time.Time
}

// findTwins looks for nodes that announce the same address.
func (c *Cluster) findTwins(now time.Time) {
	was := c.twins
	c.twins = make(map[string]*twins)
	for address, seen := range c.announcers() {
		t := seen.twins()
		if t == nil {
			continue
		}
		t.since = now
		if known := was[address]; known != nil {
			t.since = known.since
		}
		c.twins[address] = t
	}
}

// sightings are those of one address, by directory.
type sightings map[string][]lookup.Sighting

// announcers are those who announce an address, by address.
func (c *Cluster) announcers() map[string]sightings {
	all := make(map[string]sightings)
	for _, l := range c.lookupds {
		for i := range l.nodes {
			address := NodeAddress(&l.nodes[i].Identity)
			if all[address] == nil {
				all[address] = make(sightings)
			}
			all[address][l.address] = append(all[address][l.address], l.nodes[i].Seen...)
		}
	}
	return all
}

// twins are there when there are several host names, or one directory sees
// several connections: of different machines, or for long, or of nodes of which
// it says that both live. nil: there is one node.
func (s sightings) twins() *twins {
	hosts := make(map[string]bool)
	t := &twins{after: twinsAfter}
	for _, list := range s {
		for _, one := range list {
			hosts[one.Hostname] = true
		}
	}
	if len(hosts) > 1 {
		t.names = words.Sorted(hosts)
		return t
	}
	for _, directory := range words.Sorted(s) {
		list, machines := s[directory], make(map[string]bool)
		if len(list) < 2 {
			continue
		}
		t.names, t.after = nil, sameNameAfter
		for _, one := range list {
			t.names = append(t.names, fmt.Sprintf("%s (%s)", one.Hostname, one.RemoteAddress))
			machines[machineOf(one.RemoteAddress)] = true
		}
		switch {
		case slices.ContainsFunc(list, func(one lookup.Sighting) bool { return one.SharesAddress }):
			t.after = 0
			return t
		case len(machines) > 1:
			t.after = twinsAfter
			return t
		}
	}
	if t.names == nil {
		return nil
	}
	return t
}

func machineOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// twinInput: two nodes announce one address.
func (c *Cluster) twinInput(n *node) alertInput {
	l := nodeAlert("same_address", LevelCrit, n)
	t := c.twins[n.address]
	if t == nil {
		return alertInput{alert: l, ends: true}
	}
	l.Text = fmt.Sprintf("%s announce the same address, %s: consumers reach only one of them", named(slices.Clone(t.names)), n.address)
	l.affected = float64(n.sums.depth)
	past := fmt.Sprintf("%s announced the same address, %s, for {d}", named(slices.Clone(t.names)), n.address)
	return alertInput{alert: l, starts: c.now.Sub(t.since) >= t.after, since: t.since, past: past}
}

// usable takes from the nodes that a directory lists those out that must not be
// asked, and remembers why.
func (l *lookupd) usable(nodes []lookup.ClusterNode) (rest []lookup.ClusterNode) {
	l.impossible = nil
	for _, n := range nodes {
		if n.Impossible != "" {
			l.impossible = append(l.impossible, n.Impossible)
			continue
		}
		rest = append(rest, n)
	}
	return rest
}

// impossibleInput: a directory lists what cannot be a node.
func (l *lookupd) impossibleInput() alertInput {
	at := Alert{ID: "impossible/" + l.address, Level: LevelWarn, Icon: "warn", Rule: "impossible_address", Lookupd: l.address, Name: l.address, Value: unknown}
	if len(l.impossible) > 0 {
		at.Text = words.Shorten("Lists what cannot be a node and is not asked: " + named(slices.Clone(l.impossible)))
	}
	past := words.Shorten("Listed what cannot be a node: " + named(slices.Clone(l.impossible)))
	return alertInput{alert: at, starts: len(l.impossible) > 0, ends: len(l.impossible) == 0, past: past}
}
