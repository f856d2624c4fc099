package main

import (
	"errors"
	"fmt"
	"strings"

	"qmq/internal/apiclient"
	"qmq/internal/nodeclient"
)

// peekCommand is q peek.
type peekCommand struct {
	What    string `arg:"" name:"topic/channel" complete:"path" help:"The channel, as TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" help:"The channel, where the first argument is the topic alone."`

	printing
	State string `enum:"ready,inflight,deferred,spent" default:"ready" help:"Which messages: ready (those that are delivered next), inflight, deferred, spent (those that wait to become dead letters)."`
	Limit int    `short:"n" default:"10" help:"How many, of each node; 100 at most."`

	reach
}

// Help has the examples.
func (*peekCommand) Help() string {
	return `Nothing changes: messages stay where they are, and no attempt is counted. A body is shown up to 64 KiB. Nodes show messages to callers on their own machine, to everybody with --http-peek, and with --http-auth to who has the role.

` + examples(
		"what is delivered next", `q peek orders/billing`,
		"what is being worked on, with all that is known", `q peek orders/billing --state=inflight --format=json`,
	)
}

// Run prints messages of a channel.
func (p *peekCommand) Run(c console) error {
	topic, channel := p.What, p.Channel
	if channel == "" {
		topic, channel, _ = strings.Cut(p.What, "/")
	}
	if topic == "" || channel == "" {
		return fmt.Errorf("%q names no channel: TOPIC/CHANNEL", p.What)
	}
	if err := p.printing.check(); err != nil {
		return err
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := p.open()
	if err != nil {
		return err
	}
	defer cl.close()
	nodes, err := cl.httpNodes(ctx, topic)
	if err == nil && len(nodes) == 0 {
		err = fmt.Errorf("no node has topic %s", topic)
	}
	if err != nil {
		return err
	}
	out := newPrinter(p.printing, c.out)
	var errs []error
	for _, n := range nodes {
		messages, err := cl.nodes.Peek(ctx, n.HTTP, topic, channel, p.State, p.Limit)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, explainPeek(err, topic, channel)))
			continue
		}
		for i := range messages {
			out.print(peekedRecord(&messages[i], topic, channel, n.Name), messages[i].Body)
		}
	}
	return errors.Join(append(errs, out.flush())...)
}

func peekedRecord(m *nodeclient.Peeked, topic, channel, node string) *record {
	r := &record{
		Topic: topic, Channel: channel, ID: m.ID, Time: stamp(m.Timestamp), Attempts: m.Attempts,
		Node: node, Size: m.Size, State: m.State, Truncated: m.Truncated, Headers: m.Headers,
	}
	r.setBody(m.Body)
	return r
}

// explainPeek says in words why a node shows nothing.
func explainPeek(err error, topic, channel string) error {
	var refused *apiclient.StatusError
	if !errors.As(err, &refused) {
		return err
	}
	body := string(refused.Body)
	switch {
	case strings.Contains(body, "TOPIC_NOT_FOUND"):
		return fmt.Errorf("there is no topic %s", topic)
	case strings.Contains(body, "CHANNEL_NOT_FOUND"):
		return fmt.Errorf("topic %s has no channel %s", topic, channel)
	case strings.Contains(body, "PEEK_NOT_ALLOWED"):
		return errors.New("the node shows messages to nobody from here (its --http-peek or --http-auth would)")
	case strings.Contains(body, "NOT_FOUND"):
		return errors.New("the node cannot show messages: it is no qd")
	}
	return err
}
