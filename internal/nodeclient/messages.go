package nodeclient

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"qmq/internal/apiclient"
)

// Look says which messages are looked at.
type Look struct {
	Topic, Channel string // without a channel: those of the topic's log
	State          string // of a channel: ready, inflight or deferred
	Limit          int
	Order          string // oldest or newest, by numbers; empty, of a channel: what happens next
	From           uint64 // with an order: the number at which to begin; 0: not said
	Since          string // with oldest: not before this time, as nodes read it; empty: not said
	Contains       string // only messages whose body contains it
}

// Looked is what there is to see.
type Looked struct {
	Messages []Peeked `json:"messages"`
	Total    int64    `json:"total"`   // of a channel's state
	Next     uint64   `json:"next"`    // where another look goes on; 0: all was shown
	Scanned  int64    `json:"scanned"` // messages that were looked through
	First    uint64   `json:"first"`   // of a topic: the lowest number
	FanOut   uint64   `json:"fan_out"` // of a topic: messages from here on wait in it
	End      uint64   `json:"end"`     // of a topic: one past the last message
}

// Look looks at messages of a topic or of a channel. A node that has no such ability
// answers 404 NOT_FOUND.
func (c *Client) Look(ctx context.Context, address string, l Look) (looked Looked, err error) {
	query, path := url.Values{"topic": {l.Topic}, "limit": {strconv.Itoa(l.Limit)}}, "/topic/peek"
	if l.Channel != "" {
		path = "/channel/peek"
		query.Set("channel", l.Channel)
		query.Set("state", l.State)
	}
	if l.From != 0 {
		query.Set("from", strconv.FormatUint(l.From, 10))
	}
	for key, value := range map[string]string{"order": l.Order, "since": l.Since, "contains": l.Contains} {
		if value != "" {
			query.Set(key, value)
		}
	}
	err = c.api.Get(ctx, apiclient.URL(address, path, query), &looked)
	return looked, err
}

// Body is the whole body of a message that is in a topic's log.
func (c *Client) Body(ctx context.Context, address, topic, id string) (body []byte, err error) {
	err = c.api.Get(ctx, apiclient.URL(address, "/message/body", url.Values{"topic": {topic}, "id": {id}}), &body)
	return body, err
}

// Act requeues, finishes or republishes one message of a channel: verb is one of these
// words. A republished one goes to the topic to, and is finished then if finish says so.
func (c *Client) Act(ctx context.Context, address, verb, topic, channel, id, to string, finish bool) error {
	query := url.Values{"topic": {topic}, "channel": {channel}, "id": {id}}
	if to != "" {
		query.Set("to", to)
	}
	if finish {
		query.Set("finish", "true")
	}
	return c.api.Post(ctx, apiclient.URL(address, "/message/"+verb, query), nil, nil)
}

// Moved is what came of a Move.
type Moved struct {
	Moved int64 `json:"moved"`
	Left  int64 `json:"left"` // that wait in the channel
}

// Move moves the oldest messages that wait in a channel, of those below a number, to
// another topic.
func (c *Client) Move(ctx context.Context, address, topic, channel, to string, until uint64) (m Moved, err error) {
	query := url.Values{"topic": {topic}, "channel": {channel}, "to": {to}, "until": {strconv.FormatUint(until, 10)}}
	err = c.api.Post(ctx, apiclient.URL(address, "/channel/move", query), nil, &m)
	return m, err
}

// PublishMany publishes messages, all or none.
func (c *Client) PublishMany(ctx context.Context, address, topic string, bodies [][]byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(bodies)))
	for _, body := range bodies {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
	}
	return c.api.Post(ctx, apiclient.URL(address, "/mpub", url.Values{"topic": {topic}, "binary": {"true"}}), b, nil)
}

// CloseClient ends the connection of the client at an address.
func (c *Client) CloseClient(ctx context.Context, address, remote string) error {
	return c.api.Post(ctx, apiclient.URL(address, "/client/close", url.Values{"remote_address": {remote}}), nil, nil)
}

// Option is the value of an option of a node, by its TOML key: JSON, or text as it is.
func (c *Client) Option(ctx context.Context, address, key string) (value string, err error) {
	var body []byte
	err = c.api.Get(ctx, apiclient.URL(address, "/config/"+key, nil), &body)
	return string(body), err
}

// SetOption gives an option another value.
func (c *Client) SetOption(ctx context.Context, address, key string, value []byte) error {
	return c.api.Do(ctx, http.MethodPut, apiclient.URL(address, "/config/"+key, nil), value, nil)
}

// Connection is a client of a node, as /stats tells of it.
type Connection struct {
	ID            string     `json:"client_id"`
	Hostname      string     `json:"hostname"`
	RemoteAddress string     `json:"remote_address"`
	UserAgent     string     `json:"user_agent"`
	ReadyCount    int64      `json:"ready_count"`
	InFlight      int64      `json:"in_flight_count"`
	Messages      int64      `json:"message_count"`
	Finished      int64      `json:"finish_count"`
	Requeued      int64      `json:"requeue_count"`
	ConnectTime   int64      `json:"connect_ts"`
	Deflate       bool       `json:"deflate"`
	Snappy        bool       `json:"snappy"`
	TLS           bool       `json:"tls"`
	TLSVersion    string     `json:"tls_version"`
	AuthIdentity  string     `json:"auth_identity"`
	PubCounts     []PubCount `json:"pub_counts"`
	// Of a consumer:
	Topic   string `json:"-"`
	Channel string `json:"-"`
}

// PubCount is how many messages a client has published to a topic.
type PubCount struct {
	Topic string `json:"topic"`
	Count int64  `json:"count"`
}

// Connections are the clients of a node: those that consume, each with its channel, and
// those that have published; of one topic, or of all.
func (c *Client) Connections(ctx context.Context, address, topic string) (consumers, producers []Connection, err error) {
	query := url.Values{"format": {"json"}, "include_mem": {"false"}}
	if topic != "" {
		query.Set("topic", topic)
	}
	var body []byte
	if err := c.api.Get(ctx, apiclient.URL(address, "/stats", query), &body); err != nil {
		return nil, nil, err
	}
	var stats struct {
		Topics []struct {
			Name     string `json:"topic_name"`
			Channels []struct {
				Name    string       `json:"channel_name"`
				Clients []Connection `json:"clients"`
			} `json:"channels"`
		} `json:"topics"`
		Producers []Connection `json:"producers"`
	}
	if err := json.Unmarshal(body, &stats); err != nil {
		return nil, nil, fmt.Errorf("/stats of %s: %w", address, err)
	}
	for _, t := range stats.Topics {
		for _, ch := range t.Channels {
			for _, k := range ch.Clients {
				k.Topic, k.Channel = t.Name, ch.Name
				consumers = append(consumers, k)
			}
		}
	}
	return consumers, stats.Producers, nil
}
