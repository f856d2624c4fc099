package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"qmq/internal/names"
)

// ReplyChannel is the channel that those who reply share unless they say another one:
// each request goes to one of them.
const ReplyChannel = "reply"

// ErrNotHandled, from a handler of Reply, leaves the request to another one.
var ErrNotHandled = errors.New("not handled")

// replyAgain is how long a request waits whose reply could not be published.
const replyAgain = 250 * time.Millisecond

// Reply replies to the requests that come to a topic until ctx is done, see
// [Client.Consume]; the channel is ReplyChannel if none is given. The handler's message
// is published to the topic that the request names, by the node that it came from or
// else by another one; an error of the handler becomes a reply that says so, and so does
// the refusal of a reply, as of one that is too big. The request is finished then.
//
// Messages that name no topic to reply to, or one that would not go away by itself
// (only ephemeral ones are replied to), and requests that nobody waits for any more by
// this machine's clock, are finished without being handled.
func (c *Client) Reply(ctx context.Context, o Consumption, handler func(context.Context, *Delivery) (Message, error)) error {
	if o.Channel == "" {
		o.Channel = ReplyChannel
	}
	return c.Consume(ctx, o, func(ctx context.Context, d *Delivery) error { return c.reply(ctx, d, handler) })
}

// reply carries out one request.
func (c *Client) reply(ctx context.Context, d *Delivery, handler func(context.Context, *Delivery) (Message, error)) error {
	to := d.Headers.Get(headerReplyTo)
	until, dated := replyBy(d)
	if !names.Valid(to) || !names.IsEphemeral(to) || dated && time.Now().After(until) {
		c.o.Logger.Warn("not replied to", "topic", d.Topic, "id", d.ID, "reply_to", to, "until", until)
		return nil
	}
	m, err := handler(ctx, d)
	if errors.Is(err, ErrNotHandled) {
		return After(0, err)
	}
	if err != nil {
		m = errorReply(err)
	}
	if len(m.Body) == 0 {
		m.Body = []byte("\n") // there is no empty message
		m.Headers = append(append(Headers{}, m.Headers...), Header{headerReplyEmpty, "true"})
	}
	limit := context.WithoutCancel(ctx) // what was begun is replied to
	if dated {
		var cancel context.CancelFunc
		limit, cancel = context.WithDeadline(limit, until)
		defer cancel()
	}
	if err = c.sendReply(limit, to, m, d); isRefusal(err) { // it is too big, for instance
		err = c.sendReply(limit, to, errorReply(err), d)
	}
	if errors.Is(err, errNoReply) {
		return nil // what the request wants cannot be in any reply
	}
	if err != nil {
		return After(replyAgain, err)
	}
	return nil
}

// errorReply is the reply where there is no better one.
func errorReply(err error) Message {
	text := errorText(err)
	return Message{Body: []byte(text), Headers: Headers{{headerReplyError, text}}}
}

// errNoReply is of a reply that no node would be sent.
var errNoReply = errors.New("it cannot be a message")

// sendReply publishes the reply to a request.
func (c *Client) sendReply(ctx context.Context, to string, m Message, d *Delivery) error {
	m.Headers = append(append(Headers{}, m.Headers...), Header{headerCorrelation, d.Headers.Get(headerCorrelation)})
	p, err := newPack(to, []Message{m})
	if err != nil {
		return fmt.Errorf("%w: %w", errNoReply, err)
	}
	return c.publish(ctx, p, d.Node)
}

// isRefusal tells whether a reply would be refused however often it is sent.
func isRefusal(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) || errors.Is(err, errNoReply)
}

// replyBy is until when somebody waits for a reply.
func replyBy(d *Delivery) (until time.Time, dated bool) {
	ms, err := strconv.ParseInt(d.Headers.Get(headerReplyBy), 10, 64)
	return time.UnixMilli(ms), err == nil
}

// errorText is an error as it fits a header.
func errorText(err error) string {
	const most = 1 << 10
	text := err.Error()
	if text == "" {
		text = "error"
	}
	return text[:min(len(text), most)]
}
