package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/internal/apiclient"
)

// order is what somebody wants to be done.
type order struct {
	Action  string `json:"action"`
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	Node    string `json:"node"`
	Until   int64  `json:"until"` // of acknowledge_damage: number of the newest finding that was seen
	Only    *struct {
		Kind   string `json:"kind"`
		Target string `json:"target"`
	} `json:"only"`
}

func (o *order) pair() pair { return pair{o.Topic, o.Channel} }

// acknowledgeDamage is the action by which a node's findings are put away.
const acknowledgeDamage = "acknowledge_damage"

// verb splits an action: "empty_channel" is empty and channel.
func (o *order) verb() (verb, kind string) {
	verb, kind, _ = strings.Cut(o.Action, "_")
	return verb, kind
}

// result is what became of an order at one place.
type result struct {
	Kind   string `json:"kind"` // node or lookupd
	Target string `json:"target"`
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Status int    `json:"status"` // 0: no answer
	Error  string `json:"error"`
	MS     int64  `json:"ms"`
	err    error
}

// errand is a part of an order: what to do where.
type errand struct {
	kind, target, name string
	do                 func(context.Context) error
}

// errandsOnce bounds how many are done at a time.
const errandsOnce = 16

// run does errands at the same time and returns their results in their order.
func run(ctx context.Context, errands []errand) []result {
	results := make([]result, len(errands))
	slots := make(chan struct{}, errandsOnce)
	var doing sync.WaitGroup
	for i, e := range errands {
		doing.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			start := time.Now()
			err := e.do(ctx)
			r := result{Kind: e.kind, Target: e.target, Name: e.name, OK: err == nil, MS: time.Since(start).Milliseconds(), err: err}
			if err == nil {
				r.Status = 200
			} else {
				r.Error = reason(err)
				var refused *apiclient.StatusError
				if errors.As(err, &refused) {
					r.Status = refused.Code
				}
			}
			results[i] = r
		})
	}
	doing.Wait()
	return results
}

// phases are the errands of an order: those at directories, and then those at
// nodes.
func (s *Server) phases(o *order, targets []target) (directories, nodes []errand) {
	verb, kind := o.verb()
	if o.Action == "tombstone_topic_producer" {
		verb, kind = "delete", "topic"
	}
	for _, address := range s.lookupds() {
		if do := s.atDirectory(o, address); do != nil {
			directories = append(directories, errand{"lookupd", address, address, do})
		}
	}
	for _, to := range targets {
		nodes = append(nodes, errand{"node", to.id, to.name, func(ctx context.Context) error {
			if o.Action == acknowledgeDamage {
				return s.up.nodes.AcknowledgeDamage(ctx, to.address, o.Until)
			}
			return s.up.nodes.Change(ctx, to.address, kind, verb, o.Topic, o.Channel)
		}})
	}
	if o.Only != nil {
		others := func(e errand) bool { return e.kind != o.Only.Kind || e.target != o.Only.Target }
		directories, nodes = slices.DeleteFunc(directories, others), slices.DeleteFunc(nodes, others)
	}
	return directories, nodes
}

// atDirectory is what an order means for a directory; nil if nothing.
func (s *Server) atDirectory(o *order, address string) func(context.Context) error {
	d, at := s.up.directory, []string{address}
	switch o.Action {
	case "create_topic":
		return func(ctx context.Context) error { return d.CreateTopic(ctx, at, o.Topic) }
	case "create_channel":
		return func(ctx context.Context) error {
			if err := d.CreateTopic(ctx, at, o.Topic); err != nil {
				return err
			}
			return d.CreateChannel(ctx, at, o.Topic, o.Channel)
		}
	case "delete_topic":
		return func(ctx context.Context) error { return d.DeleteTopic(ctx, at, o.Topic) }
	case "delete_channel":
		return func(ctx context.Context) error { return d.DeleteChannel(ctx, at, o.Topic, o.Channel) }
	case "tombstone_topic_producer":
		return func(ctx context.Context) error { return d.Tombstone(ctx, at, o.Topic, o.Node) }
	}
	return nil
}

// withoutBrackets is how directories name a node with an IPv6 address.
func withoutBrackets(node string) string {
	return strings.NewReplacer("[", "", "]", "").Replace(node)
}

// carryOut does what an order says, at directories first, and tells the
// collector and the charts. It goes on when whoever asked for it has gone: half
// a deletion helps nobody.
func (s *Server) carryOut(ctx context.Context, o *order, targets []target) []result {
	ctx = context.WithoutCancel(ctx)
	directories, nodes := s.phases(o, targets)
	// Before, because some nodes are faster than others; after, because some are
	// slower.
	s.collector.read(func(c *cluster) { c.expectEmpty(o, time.Now()) })
	results := append(run(ctx, directories), run(ctx, nodes)...)
	s.collector.read(func(c *cluster) {
		c.expectEmpty(o, time.Now())
		if o.Topic != "" {
			c.mark(o.mark(time.Now()))
		}
		c.told(o, results)
		s.collector.updates++ // what was made for viewers is no longer so
	})
	s.collector.poke()
	return results
}

// expectEmpty notes that what goes away now was not finished.
func (c *cluster) expectEmpty(o *order, now time.Time) {
	if o.Action == "empty_channel" {
		c.emptied[o.pair()] = now
	}
}

// mark is what charts of the topic show of it.
func (o *order) mark(now time.Time) mark {
	text := deeds[o.Action]
	if verb, kind := o.verb(); kind == "channel" {
		text = "channel " + o.Channel + " " + strings.TrimSuffix(deeds[o.Action], " channel")
	} else if kind == "topic" {
		text = "topic " + strings.TrimSuffix(deeds[verb+"_topic"], " topic")
	}
	return mark{at: now, text: text, kind: "action", topic: o.Topic, channel: o.Channel, node: o.Node}
}

// summary says in few words what became of an order: where it counts, which is
// the nodes, or the directories if no node was asked.
func summary(results []result) string {
	if len(results) == 0 {
		return "nothing to do"
	}
	kind := "lookupd"
	if slices.ContainsFunc(results, func(r result) bool { return r.Kind == "node" }) {
		kind = "node"
	}
	var ok, all int64
	var failed []string
	for _, r := range results {
		if r.Kind == kind {
			all++
			if r.OK {
				ok++
			}
		}
		switch {
		case r.OK:
		case r.Status == 0:
			failed = append(failed, shortName(r.Name)+" did not answer")
		default:
			failed = append(failed, fmt.Sprintf("%s refused (%d)", shortName(r.Name), r.Status))
		}
	}
	text := fmt.Sprintf("%d of %s", ok, countOf(all, kind))
	if len(failed) > 0 {
		text += "; " + listed(failed)
	}
	return text
}

func allOK(results []result) bool {
	return !slices.ContainsFunc(results, func(r result) bool { return !r.OK })
}
