package nodeclient

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"qmq/internal/apiclient"
	"qmq/message"
)

// Client asks nodes. An address is host:port or a URL without path. Errors of
// refusals are *[apiclient.StatusError]. Its methods may be called
// concurrently.
type Client struct {
	api *apiclient.Client
}

// New makes a client that sends its requests with api.
func New(api *apiclient.Client) *Client { return &Client{api} }

// Info is what a node says of itself that does not change while it runs.
type Info struct {
	Version          string `json:"version"`
	BroadcastAddress string `json:"broadcast_address"`
	Hostname         string `json:"hostname"`
	HTTPPort         int    `json:"http_port"`
	TCPPort          int    `json:"tcp_port"`
	StartTime        int64  `json:"start_time"` // s since 1970
	TopologyZone     string `json:"topology_zone"`
	TopologyRegion   string `json:"topology_region"`
}

// Info asks a node who it is.
func (c *Client) Info(ctx context.Context, address string) (info Info, err error) {
	err = c.api.Get(ctx, apiclient.URL(address, "/info", nil), &info)
	return info, err
}

// Wanted is what of a node's figures is asked for.
type Wanted struct {
	Topic, Channel string // empty: all
	Clients        bool
	Memory         bool
}

// Stats asks for figures. They are read with d, which the caller does not use
// for anything else meanwhile.
func (c *Client) Stats(ctx context.Context, address string, w Wanted, d *Decoder) (*Stats, error) {
	query := url.Values{"format": {"json"}}
	for key, value := range map[string]string{"topic": w.Topic, "channel": w.Channel} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if !w.Clients {
		query.Set("include_clients", "false")
	}
	if !w.Memory {
		query.Set("include_mem", "false")
	}
	var body []byte
	if err := c.api.Get(ctx, apiclient.URL(address, "/stats", query), &body); err != nil {
		return nil, err
	}
	stats, err := d.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("/stats of %s: %w", address, err)
	}
	return stats, nil
}

// Change makes a node create, delete, empty, pause or unpause a topic or
// channel: kind is "topic" or "channel", verb one of these words. Channel is
// empty for a topic.
func (c *Client) Change(ctx context.Context, address, kind, verb, topic, channel string) error {
	query := url.Values{"topic": {topic}}
	if channel != "" {
		query.Set("channel", channel)
	}
	return c.api.Post(ctx, apiclient.URL(address, "/"+kind+"/"+verb, query), nil, nil)
}

// Publish publishes one message. A delay of 0 publishes at once.
func (c *Client) Publish(ctx context.Context, address, topic string, delay time.Duration, body []byte) error {
	query := url.Values{"topic": {topic}}
	if delay > 0 {
		query.Set("defer", strconv.FormatInt(delay.Milliseconds(), 10))
	}
	return c.api.Post(ctx, apiclient.URL(address, "/pub", query), body, nil)
}

// Peeked is a message of a channel that was looked at, not taken.
type Peeked struct {
	ID         string `json:"id"`
	Timestamp  int64  `json:"timestamp"` // ns since 1970
	Seq        uint64 `json:"seq"`       // its number, of nodes that tell
	Attempts   int    `json:"attempts"`
	Size       int64  `json:"size"` // bytes of the whole body
	State      string `json:"state"`
	ClientID   string `json:"client_id"`   // of whoever has it in flight
	DeadlineMS *int64 `json:"deadline_ms"` // left; nil when not in flight
	DueMS      *int64 `json:"due_ms"`      // left; nil when not deferred
	DueAt      int64  `json:"due_at"`      // of a topic's message with a delay: ms since 1970
	Body       []byte `json:"body"`        // its beginning
	Truncated  bool   `json:"truncated"`

	Headers []message.ShownHeader `json:"headers"` // also key and priority
}
