package nodeclient

import (
	"context"
	"net/url"

	"qmq/internal/apiclient"
)

// Replay is how a channel goes on that was rewound, or made to begin with what is in the log.
type Replay struct {
	From      uint64 `json:"from"`      // number of the first message that comes
	Timestamp int64  `json:"timestamp"` // of its publish, ns since 1970; 0: there is none yet
	Oldest    bool   `json:"oldest"`    // older ones may not be there any more
	Retained  bool   `json:"retained"`  // the topic keeps what all have finished
	Until     uint64 `json:"until"`     // number at which a bounded channel ends; 0: it does not
	Messages  int64  `json:"messages"`  // that wait for it
	Joined    bool   `json:"joined"`    // it was done a moment ago, through another member of the set
}

// Rewind has a channel of a node deliver everything again from a place in the log on: first,
// last, a time (RFC 3339), or the number of a message; and says how it goes on.
func (c *Client) Rewind(ctx context.Context, address, topic, channel, to string) (r Replay, err error) {
	query := url.Values{"topic": {topic}, "channel": {channel}, "to": {to}}
	err = c.api.Post(ctx, apiclient.URL(address, "/channel/rewind", query), nil, &r)
	return r, err
}

// CreateBetween makes a channel that begins at a place in the log, and ends at one; an empty
// place is none. With leaves it goes when it has had everything and has no consumers.
func (c *Client) CreateBetween(ctx context.Context, address, topic, channel, from, until string, leaves bool) (r Replay, err error) {
	query := url.Values{"topic": {topic}, "channel": {channel}}
	for name, place := range map[string]string{"from": from, "until": until} {
		if place != "" {
			query.Set(name, place)
		}
	}
	if leaves {
		query.Set("then", "delete")
	}
	err = c.api.Post(ctx, apiclient.URL(address, "/channel/create", query), nil, &r)
	return r, err
}
