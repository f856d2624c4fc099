package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Version is that of the frames and of the handshake.
const Version = 1

// Hello is what a member says of itself when it connects.
type Hello struct {
	Member  uint64   `json:"member"`  // its id; never 0
	Epoch   uint64   `json:"epoch"`   // grows with each of its starts
	Cluster uint64   `json:"cluster"` // its set's id; 0: it is in none yet
	Address string   `json:"address"` // where it is dialled, as all members name it
	Peers   []string `json:"peers"`   // addresses of the set as it was started with, its own among them, sorted

	Level  uint32 `json:"level"`  // the highest feature level that it knows
	Active uint32 `json:"active"` // the one that its set has in use; 0: it is in none

	// What must be the same on all members.
	Number   int           `json:"number"`   // of the set, in message ids; -1: as the set has it
	Election time.Duration `json:"election"` // nanoseconds
	Sync     string        `json:"sync"`     // when a replica acknowledges
}

// Lane is one of the two connections of a pair.
type Lane uint8

// The lanes. What is sent on one arrives in order; between them there is none.
const (
	Control Lane = iota // small and urgent
	Bulk                // all else
	lanes
)

func (l Lane) String() string {
	if l == Control {
		return "control"
	}
	return "bulk"
}

// greeting is a Hello with what the handshake needs besides.
type greeting struct {
	Hello
	Version int    `json:"version"`
	Lane    Lane   `json:"lane"`
	Session uint64 `json:"session"` // pairs the connections; the dialling side's choice
	To      string `json:"to"`      // the address that was dialled
	Auth    string `json:"auth"`    // how members know one another
	Wall    int64  `json:"wall"`    // nanoseconds since 1970
	Nonce   []byte `json:"nonce"`
	Key     []byte `json:"key,omitempty"` // of X25519, made for this connection
}

const (
	nonceBytes = 32
	maxHello   = 16 << 10
	maxPeers   = 64
)

var errGreeting = errors.New("its greeting cannot be read: this is not a member's cluster port, or that of another version of qd")

// parseGreeting reads a greeting of whoever has connected.
func parseGreeting(text []byte) (*greeting, error) {
	g := new(greeting)
	if err := json.Unmarshal(text, g); err != nil {
		return nil, errGreeting
	}
	switch {
	case g.Version != Version:
		return nil, fmt.Errorf("it speaks version %d of the cluster protocol and this node %d: run versions of qd that follow one another", g.Version, Version)
	case g.Member == 0 || g.Lane >= lanes || len(g.Nonce) != nonceBytes || len(g.Peers) > maxPeers:
		return nil, errGreeting
	}
	return g, nil
}

// append adds the greeting's text.
func (g *greeting) append(dst []byte) ([]byte, error) {
	text, err := json.Marshal(g)
	return append(dst, text...), err
}

// ID shows the id of a member or of a set, as logs and people write it.
func ID(id uint64) string { return fmt.Sprintf("%016x", id) }

// ParseID reads what ID has written.
func ParseID(text string) (uint64, error) { return strconv.ParseUint(text, 16, 64) }
