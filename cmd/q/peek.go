package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"qmq/internal/apiclient"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// peekCommand is q peek.
type peekCommand struct {
	Topic   string `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic to look at, or TOPIC/CHANNEL."`
	Channel string `arg:"" optional:"" complete:"channel" help:"Channel to look at. Without it: what the topic's log still has, whether channels have finished it or not."`

	printing
	State string   `enum:"ready,inflight,deferred,spent" default:"ready" help:"Which messages of a channel: ready (those that are delivered next), inflight, deferred, spent (those that wait to become dead letters)."`
	Order string   `enum:"turn,newest,oldest" default:"turn" help:"Which come first: turn (of a channel what happens next; of a topic the newest), newest, oldest."`
	From  position `placeholder:"PLACE" help:"Begin there, and show the oldest first: first, a time (RFC 3339, or how long ago, such as -1h30m) or the number of a message."`
	Limit int      `short:"n" default:"10" help:"How many, of each node; 100 at most."`

	reach
}

// Help has the examples.
func (*peekCommand) Help() string {
	return `Nothing changes: messages stay where they are, and no attempt is counted. A body is shown up to 64 KiB. Nodes show messages to callers on their own machine, to everybody with --http-peek, and with --http-auth to who has the role.

` + examples(
		"what was published last, whoever has had it", `q peek orders`,
		"what came within the last hour", `q peek orders --from=-1h -n 100`,
		"what a channel delivers next", `q peek orders/billing`,
		"what is being worked on, with all that is known", `q peek orders/billing --state=inflight --format=json`,
	)
}

// Run prints messages of a channel or of a topic.
func (p *peekCommand) Run(c console) error {
	look, err := p.look()
	if err != nil {
		return err
	}
	out, shown := newPrinter(p.printing, c.out), 0
	err = p.eachNode(c, p.Topic, func(ctx context.Context, cl *cluster, n node) error {
		looked, err := cl.nodes.Look(ctx, n.HTTP, look)
		if err != nil {
			return explainPeek(err, p.Topic, p.Channel)
		}
		for i := range looked.Messages {
			m := &looked.Messages[i]
			if p.Channel == "" && m.Seq >= looked.FanOut {
				m.State = "waiting" // for a first channel, or until the topic is unpaused
			}
			out.print(peekedRecord(m, p.Topic, p.Channel, n.Name), m.Body)
			shown++
		}
		return nil
	})
	if err == nil && shown == 0 {
		fmt.Fprintln(c.err, "q: there is no such message")
	}
	return errors.Join(err, out.flush())
}

// look is what is asked of nodes.
func (p *peekCommand) look() (look nodeclient.Look, err error) {
	if !names.Valid(p.Topic) {
		return look, noTopic(p.Topic)
	}
	if p.Channel != "" && !names.Valid(p.Channel) {
		return look, fmt.Errorf("channel %q: %s", p.Channel, names.Rule)
	}
	if p.Channel == "" && p.State != "ready" {
		return look, errors.New("--state is that of messages of a channel: TOPIC/CHANNEL")
	}
	look = nodeclient.Look{Topic: p.Topic, Channel: p.Channel, State: p.State, Limit: p.Limit, Order: p.Order}
	switch {
	case p.From != "" && p.Order == "newest":
		return look, errors.New("--from shows the oldest first")
	case p.From != "":
		look.Order = "oldest"
	case p.Order == "turn" && p.Channel == "":
		look.Order = "newest"
	case p.Order == "turn":
		look.Order = ""
	}
	switch number, err := strconv.ParseUint(string(p.From), 10, 64); {
	case p.From == "" || p.From == "first":
	case err == nil:
		look.From = max(1, number)
	default:
		look.Since = string(p.From)
	}
	return look, p.printing.check()
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
	code, _, _ := apiclient.Refusal(err)
	switch code {
	case "TOPIC_NOT_FOUND":
		return fmt.Errorf("there is no topic %s", topic)
	case "CHANNEL_NOT_FOUND":
		return fmt.Errorf("topic %s has no channel %s", topic, channel)
	case "PEEK_NOT_ALLOWED":
		return errors.New("the node shows messages to nobody from here (its --http-peek or --http-auth would)")
	case "NOT_FOUND":
		return errors.New("the node cannot show messages: it is no qd")
	}
	return refusalOf(err)
}
