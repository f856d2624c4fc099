package nodeclient

import (
	"context"
	"net/url"
	"strconv"

	"qmq/internal/apiclient"
)

// DeadLetter is a message of a dead-letter topic.
type DeadLetter struct {
	ID        string           `json:"id"`
	Timestamp int64            `json:"timestamp"` // when it became one, ns since 1970
	Size      int64            `json:"size"`      // bytes of the whole body
	Origin    DeadLetterOrigin `json:"dead_letter"`
	Body      []byte           `json:"body"` // its beginning
	Truncated bool             `json:"truncated"`
}

// DeadLetterOrigin is where a dead letter comes from.
type DeadLetterOrigin struct {
	Topic     string `json:"topic"`
	Channel   string `json:"channel"`
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"` // of the publish, ns since 1970
	Attempts  int    `json:"attempts"`
	Reason    string `json:"reason"` // requeue or timeout
	Time      int64  `json:"time"`   // when the last delivery ended, ms since 1970
}

// DeadLetters lists dead letters of a topic, the oldest first, from an id on; empty:
// from the first one. Next is the id to go on with, empty when there are no more.
func (c *Client) DeadLetters(ctx context.Context, address, topic, from string, limit int) (list []DeadLetter, next string, err error) {
	query := url.Values{"topic": {topic}, "limit": {strconv.Itoa(limit)}}
	if from != "" {
		query.Set("from", from)
	}
	var answer struct {
		Messages []DeadLetter `json:"messages"`
		Next     string       `json:"next"`
	}
	err = c.api.Get(ctx, apiclient.URL(address, "/deadletter/list", query), &answer)
	return answer.Messages, answer.Next, err
}

// PutBack is what became of dead letters that were to be put back.
type PutBack struct {
	Done int            `json:"put_back"`
	Left map[string]int `json:"left"` // how many stay, for which reason
}

// PutBack puts the dead letter of an id back where it came from; empty: all of a topic.
func (c *Client) PutBack(ctx context.Context, address, topic, id string) (p PutBack, err error) {
	query := url.Values{"topic": {topic}}
	if id != "" {
		query.Set("id", id)
	} else {
		query.Set("all", "true")
	}
	err = c.api.Post(ctx, apiclient.URL(address, "/deadletter/putback", query), nil, &p)
	return p, err
}

// MaxAttempts is what is in force on a node of a channel's max_attempts; 0: none, also
// where the node knows no settings.
func (c *Client) MaxAttempts(ctx context.Context, address, topic, channel string) (int, error) {
	var answer struct {
		Config struct {
			MaxAttempts int `json:"max_attempts"`
		} `json:"config"`
	}
	err := c.api.Get(ctx, apiclient.URL(address, "/channel/config", url.Values{"topic": {topic}, "channel": {channel}}), &answer)
	if apiclient.IsStatus(err, 404) {
		err = nil
	}
	return answer.Config.MaxAttempts, err
}
