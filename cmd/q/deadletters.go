package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"qmq/internal/apiclient"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// deadLettersCommand is q dead-letters.
type deadLettersCommand struct {
	List    deadLettersList    `cmd:"" default:"withargs" help:"Show the dead letters of a topic, with where they come from."`
	PutBack deadLettersPutBack `cmd:"" help:"Put dead letters back where they came from."`
}

// Help has the examples.
func (*deadLettersCommand) Help() string {
	return `A channel whose settings have max_attempts and dead_letter_topic gives up a message when the delivery of that number is requeued or times out: it goes to that topic, where q dead-letters list shows it. Put back, it is delivered again as new, to that channel alone.

` + examples(
		"what was given up, and why", `q dead-letters orders-dead`,
		"try one again", `q dead-letters put-back orders-dead 0058ec3aede9e8ce`,
		"try all again", `q dead-letters put-back orders-dead --all`,
	)
}

// deadLettersList is q dead-letters list.
type deadLettersList struct {
	Topic string `arg:"" complete:"topic" help:"Topic of dead letters."`
	Limit int    `short:"n" default:"0" placeholder:"N" help:"Show so many of each node, the oldest; 0: all."`
	JSON  bool   `name:"json" help:"Print JSON, an object a line, with the body."`
	reach
}

// letterRecord is a dead letter as a line of JSON.
type letterRecord struct {
	Topic  string       `json:"topic"`
	ID     string       `json:"id"`
	Time   string       `json:"time"` // RFC 3339: when it became a dead letter
	Node   string       `json:"node"`
	Size   int64        `json:"size"`
	Origin letterOrigin `json:"dead_letter"`
	Body   *string      `json:"body,omitempty"`
	Base64 []byte       `json:"body_base64,omitempty"` // of what is no UTF-8

	Truncated bool `json:"truncated,omitempty"`
}

type letterOrigin struct {
	Topic     string `json:"topic"`
	Channel   string `json:"channel"`
	ID        string `json:"id"`
	Published string `json:"published"`
	Attempts  int    `json:"attempts"`
	Reason    string `json:"reason"`
	Time      string `json:"time"` // when the last delivery ended
}

func recordOfLetter(topic, node string, m *nodeclient.DeadLetter) letterRecord {
	o := &m.Origin
	var body record
	body.setBody(m.Body)
	return letterRecord{
		Topic: topic, ID: m.ID, Time: stamp(m.Timestamp), Node: node, Size: m.Size, Body: body.Body, Base64: body.Base64, Truncated: m.Truncated,
		Origin: letterOrigin{o.Topic, o.Channel, o.ID, stamp(o.Timestamp), o.Attempts, o.Reason, stamp(o.Time * int64(time.Millisecond))},
	}
}

// Run shows dead letters.
func (l *deadLettersList) Run(c console) error {
	if l.Limit < 0 {
		return errors.New("--limit is 0 at least")
	}
	return l.reach.eachNode(c, l.Topic, func(ctx context.Context, cl *cluster, n node) error {
		left := l.Limit
		for from, more := "", true; more && (l.Limit == 0 || left > 0); more = from != "" {
			limit := maxLettersAtOnce
			if l.Limit > 0 {
				limit = min(limit, left)
			}
			list, next, err := cl.nodes.DeadLetters(ctx, n.HTTP, l.Topic, from, limit)
			if err != nil {
				return explainPeek(err, l.Topic, "")
			}
			for i := range list {
				if err := l.print(c, n.Name, &list[i]); err != nil {
					return err
				}
			}
			left -= len(list)
			from = next
		}
		return nil
	})
}

// maxLettersAtOnce is how many a node lists at a time.
const maxLettersAtOnce = 100

// maxLetterText is how much of a body a line for people shows.
const maxLetterText = 60

func (l *deadLettersList) print(c console, node string, m *nodeclient.DeadLetter) error {
	r := recordOfLetter(l.Topic, node, m)
	if l.JSON {
		return printJSON(c.out, r)
	}
	text := fmt.Sprintf("%q", m.Body[:min(len(m.Body), maxLetterText)])
	if len(m.Body) > maxLetterText {
		text += "…"
	}
	o := &r.Origin
	_, err := fmt.Fprintf(c.out, "%s  %s/%s  %s after %s at %s  %d bytes  %s\n", r.ID, o.Topic, o.Channel, o.Reason, plural(int64(o.Attempts), "attempt"), o.Time, r.Size, text)
	return err
}

// deadLettersPutBack is q dead-letters put-back.
type deadLettersPutBack struct {
	Topic string   `arg:"" complete:"topic" help:"Topic of dead letters."`
	IDs   []string `arg:"" optional:"" name:"id" help:"Those to put back, as list shows them."`
	All   bool     `help:"Put all back that are there."`
	JSON  bool     `name:"json" help:"Say in JSON what was done."`
	reach
}

// Run puts dead letters back.
func (p *deadLettersPutBack) Run(c console) error {
	if p.All == (len(p.IDs) > 0) {
		return errors.New("either ids or --all say which dead letters are put back")
	}
	sum := nodeclient.PutBack{Left: map[string]int{}}
	found := make(map[string]bool)
	err := p.reach.eachNode(c, p.Topic, func(ctx context.Context, cl *cluster, n node) error {
		if p.All {
			done, err := cl.nodes.PutBack(ctx, n.HTTP, p.Topic, "")
			sum.Done += done.Done
			for why, n := range done.Left {
				sum.Left[why] += n
			}
			return explainPeek(err, p.Topic, "")
		}
		var errs []error
		for _, id := range p.IDs {
			if found[id] {
				continue
			}
			done, err := cl.nodes.PutBack(ctx, n.HTTP, p.Topic, id)
			sum.Done += done.Done
			if found[id] = err == nil; !apiclient.IsStatus(err, 404) && err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", id, refusalOf(err)))
				found[id] = true
			}
		}
		return errors.Join(errs...)
	})
	for _, id := range p.IDs {
		if err == nil && !found[id] {
			err = errors.Join(err, fmt.Errorf("%s: there is no such dead letter in topic %s", id, p.Topic))
		}
	}
	return errors.Join(err, p.say(c, &sum))
}

func (p *deadLettersPutBack) say(c console, sum *nodeclient.PutBack) error {
	if p.JSON {
		return printJSON(c.out, sum)
	}
	fmt.Fprintf(c.out, "%s put back\n", plural(int64(sum.Done), "message"))
	var errs []error
	for _, why := range slices.Sorted(maps.Keys(sum.Left)) {
		errs = append(errs, fmt.Errorf("%s left: %s", plural(int64(sum.Left[why]), "dead letter"), why))
	}
	return errors.Join(errs...)
}

// eachNode does something on each node that has a topic. What fails on one keeps the
// others from nothing.
func (r *reach) eachNode(c console, topic string, do func(context.Context, *cluster, node) error) error {
	if !names.Valid(topic) {
		return noTopic(topic)
	}
	ctx, stop := c.untilSignal()
	defer stop()
	cl, err := r.open()
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
	var errs []error
	for _, n := range cl.holders(ctx, nodes, topic) {
		if err := do(ctx, cl, n); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

// holders are the nodes that have messages of a topic of their own: of a replicated one,
// which all its members have, the leader, or where none is known the first that answers.
func (c *cluster) holders(ctx context.Context, nodes []node, topic string) (list []node) {
	var members, silent []node
	for _, n := range nodes {
		stats, err := c.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: topic}, new(nodeclient.Decoder))
		if err != nil {
			silent = append(silent, n)
			continue
		}
		role := ""
		if len(stats.Topics) > 0 {
			role = stats.Topics[0].Replica.Role
		}
		switch role {
		case "":
			list = append(list, n)
		case "leader":
			members = append([]node{n}, members...)
		default:
			members = append(members, n)
		}
	}
	if len(members) == 0 {
		list = append(list, silent...) // which say why
	}
	return append(list, members[:min(1, len(members))]...)
}
