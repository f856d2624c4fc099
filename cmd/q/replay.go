package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/nodeclient"
)

// between is what commands have that make a channel of what is in the log.
type between struct {
	From  position `placeholder:"PLACE" help:"Begin there: first, last, a time (RFC 3339, or how long ago, such as -1h30m) or the number of a message. With --until the default is first."`
	Until position `placeholder:"PLACE" help:"End there: what comes before is all that the channel gets."`
}

func (b *between) given() bool { return b.From != "" || b.Until != "" }

// channelRewind is q channels rewind.
type channelRewind struct {
	Topic   string   `arg:"" type:"topic-and-channel" complete:"topic" help:"Topic of the channel, or TOPIC/CHANNEL."`
	Channel string   `arg:"" complete:"channel" help:"Its name."`
	To      position `arg:"" help:"Where to: first, last, a time (RFC 3339, or how long ago, such as -1h30m) or the number of a message."`
	change
}

// Help says what becomes of the consumers.
func (*channelRewind) Help() string {
	return `Consumers stay connected. What they have in flight is delivered anew, and their answers to it are refused. What was emptied, dropped or has expired does not come again. Numbers of messages are those of one node: with several nodes a time is what to say.

` + examples(
		"everything that is still there, once more", `q channels rewind orders billing first`,
		"what came within the last hour and a half", `q channels rewind orders/billing -1h30m`,
		"what came since noon", `q channels rewind orders billing 2026-11-28T12:00:00Z`,
	)
}

// Run rewinds a channel on all nodes that have it.
func (t *channelRewind) Run(c console) error {
	return t.replay(c, channelChange("rewind", t.Topic, t.Channel), func(ctx context.Context, cl *cluster, address string) (nodeclient.Replay, error) {
		return cl.nodes.Rewind(ctx, address, t.Topic, t.Channel, string(t.To))
	})
}

// replay makes a change on one node of each set, and on all others that have the topic, and
// says what comes of it.
func (r *change) replay(c console, o on, do func(ctx context.Context, cl *cluster, address string) (nodeclient.Replay, error)) error {
	var lines []string
	err := r.act(c, o, func(ctx context.Context, cl *cluster) (done []string, err error) {
		nodes, err := cl.onceEach(ctx, o.topic)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, n := range nodes {
			replay, err := do(ctx, cl, n.HTTP)
			switch {
			case err == nil:
				done = append(done, n.Name)
				lines = append(lines, n.Name+": "+told(replay))
			case !apiclient.IsStatus(err, 404):
				errs = append(errs, fmt.Errorf("%s: %w", n.Name, refusalOf(err)))
			}
		}
		if len(done) == 0 && len(errs) == 0 {
			return nil, fmt.Errorf("there is no %s", o)
		}
		return done, errors.Join(errs...)
	})
	if !r.JSON && len(lines) > 0 {
		_, failed := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
		err = errors.Join(err, failed)
	}
	return err
}

// told says how a channel goes on.
func told(r nodeclient.Replay) string {
	text := plural(r.Messages, "message") + " from " + fmt.Sprint(r.From)
	if r.Timestamp > 0 {
		text += " of " + time.Unix(0, r.Timestamp).UTC().Format(time.RFC3339)
	}
	if r.Oldest {
		text += ", the oldest that is still there"
	}
	if r.Oldest && !r.Retained {
		text += " (retention_time of the topic keeps more)"
	}
	if r.Joined {
		text += "; done a moment ago through another member"
	}
	return text
}

// onceEach is the nodes that have a topic, and one of those that have it together. Of these some
// may be silent: the others do what is asked.
func (c *cluster) onceEach(ctx context.Context, topic string) (list []node, err error) {
	nodes, err := c.httpNodes(ctx, topic)
	if err != nil {
		return nil, err
	}
	leaders := make(map[string]bool)
	var errs []error
	for _, n := range nodes {
		stats, err := c.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: topic}, new(nodeclient.Decoder))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
			continue
		}
		leader := ""
		for _, t := range stats.Topics {
			leader = t.Replica.Leader
		}
		if leader == "" || !leaders[leader] {
			list = append(list, n)
		}
		leaders[leader] = true
	}
	if delete(leaders, ""); len(errs) > 0 && len(leaders) == 0 {
		return nil, errors.Join(errs...)
	}
	return list, nil
}

// createBetween makes a channel with what is in the log on all nodes that have the topic.
func (c *cluster) createBetween(ctx context.Context, topic, channel string, b between) error {
	nodes, err := c.onceEach(ctx, topic)
	if err != nil {
		return err
	}
	made := false
	for _, n := range nodes {
		_, err := c.nodes.CreateBetween(ctx, n.HTTP, topic, channel, string(b.From), string(b.Until), false)
		if err != nil && !apiclient.IsStatus(err, 404) {
			return fmt.Errorf("%s: %w", n.Name, refusalOf(err))
		}
		made = made || err == nil
	}
	if !made {
		return fmt.Errorf("there is no topic %s", topic)
	}
	return nil
}

// untilDone calls done when a bounded channel has had everything on all nodes.
func (c *cluster) untilDone(ctx context.Context, topic, channel string, done func()) {
	const lookEvery = 200 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
		if c.isDone(ctx, topic, channel) {
			done()
			return
		}
	}
}

// isDone says whether a bounded channel has had everything, as far as its nodes tell.
func (c *cluster) isDone(ctx context.Context, topic, channel string) bool {
	nodes, err := c.httpNodes(ctx, topic)
	if err != nil {
		return false
	}
	found, silent, led := false, false, false
	for _, n := range nodes {
		stats, err := c.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: topic, Channel: channel}, new(nodeclient.Decoder))
		if err != nil {
			silent = true
			continue
		}
		for _, t := range stats.Topics {
			led = led || t.Replica.Role == "leader"
			for _, ch := range t.Channels {
				if !ch.Done && (t.Replica.Role == "" || t.Replica.Role == "leader") {
					return false
				}
				found = found || ch.Done
			}
		}
	}
	return found && (led || !silent)
}
