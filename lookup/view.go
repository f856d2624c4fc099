package lookup

import (
	"fmt"

	"qmq/internal/address"
)

// A node may have other addresses for some of those who look it up, such as
// consumers beyond a translation of addresses: its views. The first one that is
// for somebody counts; for all others the node is where it announces to be.

// impossibleViews says what of a node's views makes no sense; empty: they do.
func impossibleViews(views []address.View) string {
	if len(views) > address.MaxViews {
		return fmt.Sprintf("%d broadcast addresses for others, %d are allowed", len(views), address.MaxViews)
	}
	for i := range views {
		if impossible := views[i].Impossible(); impossible != "" {
			return "broadcast address for others: " + impossible
		}
	}
	return ""
}

// seenBy is the producer as it is told to somebody.
func (p *producer) seenBy(a address.Asker) Producer {
	seen := p.Producer
	for i := range p.views {
		if p.views[i].Matches(a) {
			seen.Identity = seen.Identity.through(&p.views[i])
			break
		}
	}
	return seen
}

// through is the identity with the addresses of a view.
func (id Identity) through(v *address.View) Identity {
	id.BroadcastAddress = address.Bare(v.Host)
	if v.TCPPort != 0 {
		id.TCPPort = v.TCPPort
	}
	if v.HTTPPort != 0 {
		id.HTTPPort = v.HTTPPort
	}
	return id
}

// isCalled tells whether a node (host:http_port, without brackets) is the producer,
// as it announces itself or as somebody is told of it.
func (p *producer) isCalled(node string, a address.Asker) bool {
	if p.node == node {
		return true
	}
	seen := p.seenBy(a)
	return nodeOf(&seen.Identity) == node
}
