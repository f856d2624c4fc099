package nodeclient

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"qmq/internal/apiclient"
)

// Set is what a node says of the set of replicas that it is a member of, or would be
// one of. Members and sets are named by 16 hex digits, and members by their addresses
// too: those at which they reach one another.
type Set struct {
	State   string `json:"state"` // one of the words below
	Waiting string `json:"waiting"`
	Failure string `json:"failure"`

	Cluster string `json:"cluster"` // empty: it is in none yet
	Number  int    `json:"number"`
	Member  string `json:"member"`
	Address string `json:"address"`
	Version string `json:"version"`
	Level   uint32 `json:"level"`
	Forced  int64  `json:"forced"` // when the set was last made anew out of what was left of it, in ms since 1970; 0: never

	Patterns []string    `json:"patterns"` // of replicated topics; none: all
	Local    []string    `json:"local"`    // topics that stay local nevertheless
	Expected []string    `json:"expected"` // addresses that somebody may join at
	Members  []SetMember `json:"members"`
	Shards   []SetShard  `json:"shards"` // by number; 0 is that of the set itself

	Disk struct {
		Save    int64 `json:"save_us"`    // the last save
		Oldest  int64 `json:"oldest_us"`  // the oldest save that is not done
		Waiting int64 `json:"waiting_us"` // for how long nothing can be applied
	} `json:"disk"`
}

// The words of Set.State.
const (
	SetMemberState  = "member"
	SetJoiningState = "joining"
	SetWaitingState = "waiting"
	SetCutOffState  = "cut off"
	SetFailedState  = "failed"
)

// SetMember is a member as another one sees it.
type SetMember struct {
	Member    string `json:"member"`
	Address   string `json:"address"`
	Version   string `json:"version"`
	Joining   bool   `json:"joining"`
	Replaces  string `json:"replaces"`
	Leaving   bool   `json:"leaving"`
	Connected bool   `json:"connected"`
	RTT       int64  `json:"rtt_us"`
	Skew      int64  `json:"skew_ms"` // by how much its clock is ahead, at least
	Failure   string `json:"failure"` // why it is not connected
	Refused   bool   `json:"refused"` // with Failure: one does not want the other
}

// SetShard is a shard as a member sees it.
type SetShard struct {
	Shard     uint32        `json:"shard"`
	Role      string        `json:"role"` // leader, follower, candidate
	Leader    string        `json:"leader"`
	Turn      string        `json:"turn"` // who should lead it
	Preferred bool          `json:"preferred"`
	Term      uint64        `json:"term"`
	Commit    uint64        `json:"commit"`
	Applied   uint64        `json:"applied"`
	Lag       uint64        `json:"lag"`
	Held      bool          `json:"held"`
	Stalled   int64         `json:"stalled_ms"`
	Failure   string        `json:"failure"`
	Followers []SetFollower `json:"followers"` // at the leader
}

// SetFollower is a member as the leader of a shard sees it.
type SetFollower struct {
	Address  string `json:"address"`
	Lag      uint64 `json:"lag"` // entries of the leader's log that it is not known to have
	Learner  bool   `json:"learner"`
	Active   bool   `json:"active"`
	Snapshot bool   `json:"snapshot"`
}

// Set asks a node for the set that it is a member of: nil if it is a member of none, as
// every nsqd is, or does not tell us.
func (c *Client) Set(ctx context.Context, address string) (*Set, error) {
	s := new(Set)
	err := c.api.Get(ctx, apiclient.URL(address, "/cluster", nil), s)
	switch {
	case err == nil:
		return s, nil
	case apiclient.IsStatus(err, http.StatusNotFound), apiclient.IsStatus(err, http.StatusForbidden), apiclient.IsStatus(err, http.StatusUnauthorized):
		return nil, nil
	}
	return nil, err
}

// MoveLeader has a set, asked at a member, give the leadership of a shard to another
// one, named by its address.
func (c *Client) MoveLeader(ctx context.Context, address string, shard uint32, to string) error {
	return c.changeSet(ctx, address, "move", url.Values{"shard": {strconv.FormatUint(uint64(shard), 10)}, "to": {to}})
}

// BalanceLeaders has a set spread its leaderships over all members again.
func (c *Client) BalanceLeaders(ctx context.Context, address string) error {
	return c.changeSet(ctx, address, "balance", nil)
}

// AddMember lets somebody join a set at an address.
func (c *Client) AddMember(ctx context.Context, address, at string) error {
	return c.changeSet(ctx, address, "add", url.Values{"address": {at}})
}

// RemoveMember has a member, named by its id or address, leave a set.
func (c *Client) RemoveMember(ctx context.Context, address, member string) error {
	return c.changeSet(ctx, address, "remove", url.Values{"member": {member}})
}

func (c *Client) changeSet(ctx context.Context, address, change string, query url.Values) error {
	return c.api.Post(ctx, apiclient.URL(address, "/cluster/"+change, query), nil, nil)
}

// FailureInWords is why there is no connection to a member, as people say it: what is the kernel's, with
// ports that nobody knows, in other words, all else as it is.
func FailureInWords(failure string) string {
	for _, known := range []struct{ of, words string }{
		{"connection refused", "nobody listens there"},
		{"connection reset by peer", "its connection ended"},
		{"broken pipe", "its connection ended"},
		{"EOF", "its connection ended"},
		{"i/o timeout", "it does not answer"},
		{"no route to host", "there is no way to its machine"},
		{"network is unreachable", "there is no way to its network"},
		{"no such host", "no machine has its name"},
	} {
		if strings.HasSuffix(failure, known.of) {
			return known.words
		}
	}
	return failure
}
