package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// The headers of requests and replies.
const (
	headerReplyTo     = "reply-to"       // topic that the reply is published to
	headerCorrelation = "correlation-id" // which request a reply is for
	headerReplyBy     = "reply-by"       // until when somebody waits, ms since 1970
	headerReplyError  = "reply-error"    // why there is no better reply
	headerReplyEmpty  = "reply-empty"    // the body stands for an empty one
)

const (
	inboxPrefix  = "inbox-"
	inboxChannel = "inbox" + names.EphemeralSuffix
	// defaultReplyWithin is how long a reply is waited for where the context sets no
	// deadline.
	defaultReplyWithin = 10 * time.Second
	// askResponders is when it is looked whether anybody replies at all.
	askResponders = 200 * time.Millisecond
	// inboxInFlight is how many replies may come at a time.
	inboxInFlight = 256
)

// ErrNoResponders means that nobody consumes the topic of a request. The request waits
// there until its time is over.
var ErrNoResponders = errors.New("nobody consumes the topic")

// ReplyError is a reply that says that the request could not be done.
type ReplyError struct{ Text string }

func (e *ReplyError) Error() string { return "the reply is an error: " + e.Text }

// Request publishes a message and returns the reply to it, from whoever consumes the
// topic with [Client.Reply] or publishes to the topic in the header reply-to, with the
// request's header correlation-id. It waits until ctx is done, 10 s if that has no
// deadline. The error is a *[ReplyError] when the one who replies says so,
// [ErrNoResponders] when no node that has the topic has a consumer of it (which is known
// with Directories, or Options.HTTP, where their figures may be asked for), one of
// [Client.Publish], or that of ctx.
//
// A request is carried out at most by one consumer of each channel, and may be carried
// out more than once, as any message may be delivered again: replies after the first are
// dropped. Requests need headers: nodes that take none, as NSQ's, refuse them with
// [ErrNoHeaders], for there is nothing else in a message where one could say whom to
// reply to.
//
// The client's inbox is an ephemeral topic, which it consumes from every node that it
// knows, for a reply comes by the node that the request was consumed from. It lasts
// until Close.
func (c *Client) Request(ctx context.Context, topic string, m Message) (*Delivery, error) {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultReplyWithin)
		defer cancel()
	}
	for _, key := range []string{headerReplyTo, headerCorrelation, headerReplyBy} {
		if m.Headers.Has(key) {
			return nil, fmt.Errorf("header %s: it is the request's own", key)
		}
	}
	in, err := c.openInbox()
	if err != nil {
		return nil, err
	}
	id, reply := in.expect()
	defer in.forget(id)
	until, _ := ctx.Deadline()
	m.Headers = append(append(Headers{}, m.Headers...),
		Header{headerReplyTo, in.topic}, Header{headerCorrelation, id}, Header{headerReplyBy, strconv.FormatInt(until.UnixMilli(), 10)})
	if err := c.Publish(ctx, topic, m); err != nil {
		return nil, err
	}
	return c.awaitReply(ctx, topic, reply)
}

// awaitReply waits for a reply as long as there is somebody who could give it.
func (c *Client) awaitReply(ctx context.Context, topic string, reply <-chan *Delivery) (*Delivery, error) {
	look := time.NewTimer(askResponders)
	defer look.Stop()
	for {
		select {
		case d := <-reply:
			if d.Headers.Has(headerReplyError) {
				return d, &ReplyError{d.Headers.Get(headerReplyError)}
			}
			if d.Headers.Has(headerReplyEmpty) {
				d.Body = nil
			}
			return d, nil
		case <-look.C:
			if c.isUnconsumed(ctx, topic) && len(reply) == 0 {
				return nil, fmt.Errorf("%s: %w", topic, ErrNoResponders)
			}
		case <-c.ctx.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("no reply: %w", ctx.Err())
		}
	}
}

// isUnconsumed tells whether it is known that a topic has no consumer anywhere.
func (c *Client) isUnconsumed(ctx context.Context, topic string) bool {
	at := c.o.HTTP
	if len(c.o.Directories) > 0 {
		answer, err := c.lookup.Lookup(ctx, c.o.Directories, topic)
		if err != nil {
			return false
		}
		at = nil
		for _, p := range answer.Producers {
			at = append(at, p.WebAddress())
		}
	}
	for _, web := range at {
		stats, err := c.nodes.Stats(ctx, web, nodeclient.Wanted{Topic: topic}, new(nodeclient.Decoder))
		if err != nil {
			return false
		}
		for _, t := range stats.Topics {
			for _, one := range t.Channels {
				if t.Name == topic && one.ClientCount > 0 {
					return false
				}
			}
		}
	}
	return len(at) > 0
}

// inbox is where the replies to a client's requests come.
type inbox struct {
	topic string

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[string]chan *Delivery // by correlation id
}

// openInbox is the client's inbox, which is made if there is none.
func (c *Client) openInbox() (*inbox, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if c.inbox != nil {
		return c.inbox, nil
	}
	in := &inbox{topic: inboxPrefix + unique() + names.EphemeralSuffix, waiting: make(map[string]chan *Delivery)}
	o := &Consumption{Topic: in.topic, Channel: inboxChannel, MaxInFlight: inboxInFlight}
	o.defaults()
	nodes := func(ctx context.Context) ([]string, error) { return c.allNodes(ctx, in.topic) }
	c.inbox = in
	c.running.Go(func() {
		for c.ctx.Err() == nil {
			if err := c.consume(c.ctx, o, in.take, nodes, true); err != nil {
				c.o.Logger.Warn("replies are not consumed", "error", err)
			}
			select {
			case <-c.ctx.Done():
			case <-time.After(maxPause):
			}
		}
	})
	return in, nil
}

// unique is a word that nobody else has.
func unique() string {
	var random [12]byte
	rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// expect begins to wait for a reply.
func (in *inbox) expect() (id string, reply <-chan *Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.last++
	id = strconv.FormatUint(in.last, 36)
	c := make(chan *Delivery, 1)
	in.waiting[id] = c
	return id, c
}

func (in *inbox) forget(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.waiting, id)
}

// take hands a reply to the one that waits for it, if there is one.
func (in *inbox) take(_ context.Context, d *Delivery) error {
	in.mu.Lock()
	c := in.waiting[d.Headers.Get(headerCorrelation)]
	in.mu.Unlock()
	if c != nil {
		select {
		case c <- d:
		default: // it has one
		}
	}
	return nil
}
