package link

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Clocks that differ by warnSkew are told of; with refuseSkew nobody is let in.
const (
	warnSkew   = 500 * time.Millisecond
	calmSkew   = warnSkew / 2
	refuseSkew = 10 * time.Second
)

// refusal says why a member with this greeting has no business with one that says
// own of itself, and what to do; empty: nothing is wrong. expected is the address
// that was dialled, empty on the side that was; known tells the addresses of peers.
func refusal(own *Hello, peer *greeting, expected string, known func(address string) bool) string {
	at := quoted(peer.Address)
	switch {
	case expected != "" && peer.Address != expected:
		return fmt.Sprintf("the node at %s says that its address is %s: give each node its own --cluster-address, as it stands in --cluster-peers", expected, at)
	case expected == "" && peer.To != own.Address:
		return fmt.Sprintf("%s looked for %s and found this node, %s: give each node its own --cluster-address, as it stands in --cluster-peers", at, quoted(peer.To), own.Address)
	case peer.Address == own.Address:
		return fmt.Sprintf("%s is this node's own --cluster-address: give each node its own", at)
	case peer.Member == own.Member:
		return fmt.Sprintf("%s has this node's member id, %s: one of the two data directories is a copy; wipe it and start its node again", at, ID(own.Member))
	case own.Cluster != 0 && peer.Cluster != 0 && own.Cluster != peer.Cluster:
		return fmt.Sprintf("%s belongs to cluster %s and this node to %s: one of them has the data directory or the --cluster-peers of another set", at, ID(peer.Cluster), ID(own.Cluster))
	case !known(peer.Address):
		return fmt.Sprintf("%s is no peer of %s, which knows %s: correct --cluster-peers, or add it with q cluster add", at, own.Address, strings.Join(own.Peers, ","))
	case own.Cluster == 0 && peer.Cluster == 0 && !slices.Equal(own.Peers, peer.Peers):
		return fmt.Sprintf("%s has --cluster-peers=%s and %s has %s: start all nodes of a new set with the same list", at, quoted(strings.Join(peer.Peers, ",")), own.Address, strings.Join(own.Peers, ","))
	}
	return settingsRefusal(own, peer)
}

// settingsRefusal is the part of refusal that is about what all members must have
// alike.
func settingsRefusal(own *Hello, peer *greeting) string {
	at := quoted(peer.Address)
	switch {
	case peer.Active > own.Level:
		return fmt.Sprintf("the set of %s uses feature level %d and %s knows %d at most: start it with a newer qd", at, peer.Active, own.Address, own.Level)
	case own.Active > peer.Level:
		return fmt.Sprintf("the set of %s uses feature level %d and %s knows %d at most: start that one with a newer qd", own.Address, own.Active, at, peer.Level)
	case peer.Election != own.Election:
		return fmt.Sprintf("%s has --cluster-election-timeout=%s and %s has %s: give all members the same", at, peer.Election, own.Address, own.Election)
	case peer.Sync != own.Sync:
		return fmt.Sprintf("%s has --replica-sync=%s and %s has %s: give all members the same", at, quoted(peer.Sync), own.Address, own.Sync)
	case peer.Number >= 0 && own.Number >= 0 && peer.Number != own.Number:
		return fmt.Sprintf("%s has --cluster-number=%d and %s has %d: give all members of a set the same", at, peer.Number, own.Address, own.Number)
	}
	return ""
}

// clockRefusal is the part of refusal that is about clocks: skew is how far the
// peer's is ahead.
func clockRefusal(own *Hello, peer *greeting, skew time.Duration) string {
	if skew.Abs() < refuseSkew {
		return ""
	}
	return fmt.Sprintf("the clocks of %s and %s differ by %s: set them, with NTP say, to within %s", quoted(peer.Address), own.Address, skew.Abs().Round(time.Millisecond), warnSkew)
}

// quoted shows what the other side wrote, on one line and not at any length.
func quoted(s string) string {
	const most = 200
	plain := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if len(s) <= most && s != "" && !strings.ContainsFunc(s, plain) {
		return s
	}
	return fmt.Sprintf("%q", s[:min(len(s), most)])
}
