package lookup

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"qmq/internal/address"
)

// These are the JSON shapes that directories and those who ask them share. The
// order of the fields is that of the keys on the wire.

// Identity is what a node says of itself when it connects to a directory, which
// refuses one without broadcast address, version and both ports.
type Identity struct {
	Hostname         string `json:"hostname"`
	BroadcastAddress string `json:"broadcast_address"` // under which others reach the node
	TCPPort          int    `json:"tcp_port"`
	HTTPPort         int    `json:"http_port"`
	Version          string `json:"version"`
	TopologyZone     string `json:"topology_zone"`
	TopologyRegion   string `json:"topology_region"`
}

// introduction is the body of an IDENTIFY: a node's identity, the secret that it
// shares with the directories, and where some are to be told that it is. Stock
// directories ignore all but the identity.
type introduction struct {
	Identity
	Secret string         `json:"registration_secret,omitempty"`
	Views  []address.View `json:"broadcast_address_for,omitempty"`
	Taking *Taking        `json:"publishes,omitempty"` // nil: it does not say
}

// impossible says what of the identity cannot be that of a node that others
// connect to; empty: it is possible.
func (id *Identity) impossible() string {
	switch {
	case !address.ValidHost(id.BroadcastAddress):
		return fmt.Sprintf("invalid broadcast address %.300q", id.BroadcastAddress)
	case !isPort(id.TCPPort):
		return fmt.Sprintf("invalid TCP port %d", id.TCPPort)
	case !isPort(id.HTTPPort):
		return fmt.Sprintf("invalid HTTP port %d", id.HTTPPort)
	}
	return ""
}

func isPort(n int) bool { return n > 0 && n <= math.MaxUint16 }

// compare orders nodes by broadcast address and TCP port.
func (id *Identity) compare(other *Identity) int {
	return cmp.Or(strings.Compare(id.BroadcastAddress, other.BroadcastAddress), cmp.Compare(id.TCPPort, other.TCPPort))
}

// Producer is a node that has registered with a directory.
type Producer struct {
	RemoteAddress string `json:"remote_address"` // of its connection, as the directory sees it
	Identity
}

// Node is a producer with all its topics.
type Node struct {
	Producer
	Tombstones []bool   `json:"tombstones"` // whether the topic with that index is tombstoned there
	Topics     []string `json:"topics"`
	// Channels of the topics in the same order. NSQ's directories do not list
	// them, and ours only when they are asked to.
	Channels [][]string `json:"channels,omitempty"`
	// SharesAddress says that another node that lives announces one of its
	// addresses. NSQ's directories do not say.
	SharesAddress bool `json:"shares_address,omitempty"`
}

// IdentifyAnswer is what a directory says of itself when a node connects.
type IdentifyAnswer struct {
	BroadcastAddress string `json:"broadcast_address"`
	Hostname         string `json:"hostname"`
	HTTPPort         int    `json:"http_port"`
	TCPPort          int    `json:"tcp_port"`
	Version          string `json:"version"`
}

// InfoAnswer is that of GET /info.
type InfoAnswer struct {
	Version string `json:"version"`
}

// TopicsAnswer is that of GET /topics.
type TopicsAnswer struct {
	Topics []string `json:"topics"`
}

// ChannelsAnswer is that of GET /channels.
type ChannelsAnswer struct {
	Channels []string `json:"channels"`
}

// LookupAnswer is that of GET /lookup: the channels of a topic, and the
// producers that have the topic, are heard of and are not tombstoned for it.
type LookupAnswer struct {
	Channels  []string   `json:"channels"`
	Producers []Producer `json:"producers"`
	// StillOn are the nodes that had the topic when it was deleted here, have
	// not unregistered it since and are heard of: broadcast_address:http_port.
	// They register again if they go on having it. NSQ's directories do not know.
	StillOn []string `json:"still_on,omitempty"`
	// Index is another one when other producers are listed. NSQ's directories have
	// none, and ours give it to those who ask for it or want to wait.
	Index string `json:"index,omitempty"`
}

// NodesAnswer is that of GET /nodes: the producers that are heard of.
type NodesAnswer struct {
	Producers []Node `json:"producers"`
}
