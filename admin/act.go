package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/apiclient"
)

// order is what somebody wants to be done.
type order struct {
	Action  string `json:"action"`
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	Node    string `json:"node"`
	Until   int64  `json:"until"` // of acknowledge_damage: number of the newest finding that was seen
	// Settings is what is set of a topic or channel, by key; null resets one.
	Settings map[string]json.RawMessage `json:"settings"`
	From     string                     `json:"from"` // of create_channel and rewind_channel: first, last, a time (RFC 3339) or the number of a message
	// Of changes of a set of replicas:
	Set    string  `json:"set"`    // its id
	Shard  *uint32 `json:"shard"`  // whose leadership is moved
	Member string  `json:"member"` // address, or id, of who leads then, joins or leaves
	Only   *struct {
		Kind   string `json:"kind"`
		Target string `json:"target"`
	} `json:"only"`
}

func (o *order) pair() cluster.Pair { return cluster.Pair{Topic: o.Topic, Channel: o.Channel} }

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
	// Pending says that there was no answer yet when this was told; it is waited for.
	Pending bool   `json:"pending,omitempty"`
	Error   string `json:"error"`
	// Note says more of what was done, as that somebody else had asked for it before.
	Note string `json:"note,omitempty"`
	MS   int64  `json:"ms"`
	// Messages is how many the target held, at Seen, of those that the action takes
	// away; absent where that is not known, or nothing is taken away.
	Messages *int64 `json:"messages,omitempty"`
	Seen     int64  `json:"seen,omitempty"` // ms since 1970
	err      error
}

// errand is a part of an order: what to do where.
type errand struct {
	kind, target, name string
	do                 func(context.Context) error
	note               *string // that of the result, once it is done; nil: there is none
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
			results[i] = e.result(ctx)
		})
	}
	doing.Wait()
	return results
}

// result does the errand.
func (e *errand) result(ctx context.Context) result {
	start := time.Now()
	err := e.do(ctx)
	r := result{Kind: e.kind, Target: e.target, Name: e.name, OK: err == nil, MS: time.Since(start).Milliseconds(), err: err}
	if err == nil {
		r.Status = 200
		if e.note != nil {
			r.Note = *e.note
		}
		return r
	}
	r.Error = reason(err)
	var refused *apiclient.StatusError
	if errors.As(err, &refused) {
		r.Status = refused.Code
	}
	return r
}

// phases are the errands of an order: those at directories, and then those at
// nodes.
func (s *Server) phases(o *order, targets []cluster.Target) (directories, nodes []errand) {
	verb, kind := o.verb()
	if o.Action == "tombstone_topic_producer" {
		verb, kind = "delete", "topic"
	}
	for _, address := range s.lookupds() {
		if do := s.atDirectory(o, address); do != nil && !o.replays() {
			directories = append(directories, errand{"lookupd", address, address, do, nil})
		}
	}
	for _, to := range targets {
		if o.replays() {
			nodes = append(nodes, s.replay(o, to))
			continue
		}
		nodes = append(nodes, errand{"node", to.ID, to.Name, func(ctx context.Context) error {
			switch {
			case o.Action == acknowledgeDamage:
				return s.up.nodes.AcknowledgeDamage(ctx, to.Address, o.Until)
			case o.ofSet():
				return s.changeSet(ctx, o, to)
			case o.configures():
				return s.configure(ctx, o, to)
			}
			return s.up.nodes.Change(ctx, to.Address, kind, verb, o.Topic, o.Channel)
		}, nil})
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
func (s *Server) carryOut(ctx context.Context, o *order, targets []cluster.Target) []result {
	ctx = context.WithoutCancel(ctx)
	directories, nodes := s.phases(o, targets)
	// Before, because some nodes are faster than others; after, because some are
	// slower.
	s.collector.read(func(c *cluster.Cluster) { expectEmpty(c, o) })
	var holds map[string]held
	s.collector.read(func(c *cluster.Cluster) { holds = holdsOf(c, o, targets) })
	results := append(run(ctx, directories), run(ctx, nodes)...)
	note(results, holds)
	s.carriedOut(o, results)
	return results
}

// carriedOut tells the collector and the charts what was done.
func (s *Server) carriedOut(o *order, results []result) {
	s.collector.read(func(c *cluster.Cluster) {
		expectEmpty(c, o)
		done := slices.ContainsFunc(results, func(r result) bool { return r.OK || r.Pending })
		if o.Topic != "" && done { // what all have refused has not happened
			c.Mark(o.mark(time.Now()))
		}
		told(c, o, results)
		s.collector.updates++ // what was made for viewers is no longer so
	})
	s.collector.poke()
}

// held is what a node held when it was last asked.
type held struct {
	messages int64
	seen     time.Time
}

// holdsOf is what an order takes away from its targets; nil if nothing.
func holdsOf(c *cluster.Cluster, o *order, targets []cluster.Target) map[string]held {
	verb, _ := o.verb()
	if verb != "empty" && verb != "delete" && verb != "tombstone" {
		return nil
	}
	holds := make(map[string]held, len(targets))
	for _, to := range targets {
		if n, seen := c.Holds(to.ID, o.pair(), verb != "empty"); !seen.IsZero() {
			holds[to.ID] = held{n, seen}
		}
	}
	return holds
}

// note adds to results what their targets held.
func note(results []result, holds map[string]held) {
	for i := range results {
		if h, ok := holds[results[i].Target]; ok && results[i].Kind == "node" {
			results[i].Messages, results[i].Seen = &h.messages, h.seen.UnixMilli()
		}
	}
}

// expectEmpty says before the nodes do that what goes away now was not finished.
// Emptying a topic leaves its channels alone.
func expectEmpty(c *cluster.Cluster, o *order) {
	if o.Action == "empty_channel" {
		c.ExpectEmpty(o.pair(), time.Now())
	}
}

// told notes what daemons have been told.
func told(c *cluster.Cluster, o *order, results []result) {
	for _, r := range results {
		switch verb, kind := o.verb(); {
		case !r.OK:
		case r.Kind == "node" && o.Action == "create_channel":
			c.ChannelCreated(r.Target, o.pair())
		case r.Kind == "node" || kind != "topic" && kind != "channel":
		case verb == "create":
			c.Registered(r.Target, o.pair())
		case verb == "delete":
			c.Unregistered(r.Target, o.pair())
		}
	}
}

// mark is what charts of the topic show of it.
func (o *order) mark(now time.Time) cluster.Mark {
	text := actions[o.Action]
	if verb, kind := o.verb(); o.Action == configureChannel {
		text = "settings of channel " + o.Channel + " changed"
	} else if o.Action == configureTopic {
		text = "settings changed"
	} else if kind == "channel" {
		text = "channel " + o.Channel + " " + strings.TrimSuffix(actions[o.Action], " channel")
	} else if kind == "topic" {
		text = "topic " + strings.TrimSuffix(actions[verb+"_topic"], " topic")
	}
	return cluster.Mark{At: now, Text: text, Kind: "action", Topic: o.Topic, Channel: o.Channel, Node: o.Node}
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
	var notes, failed []string
	for _, r := range results {
		if r.Kind == kind {
			all++
			if r.OK {
				ok++
			}
		}
		switch {
		case r.OK && r.Note != "":
			notes = append(notes, words.ShortName(r.Name)+": "+r.Note)
		case r.OK:
		case r.Pending:
			failed = append(failed, words.ShortName(r.Name)+" is pending")
		case r.Status == 0:
			failed = append(failed, words.ShortName(r.Name)+" did not answer")
		default:
			failed = append(failed, fmt.Sprintf("%s refused (%d)", words.ShortName(r.Name), r.Status))
		}
	}
	text := fmt.Sprintf("%d of %s", ok, words.Count(all, kind)) + gone(results)
	if len(notes) > 0 {
		text += " (" + words.List(notes) + ")"
	}
	if len(failed) > 0 {
		text += "; " + words.List(failed)
	}
	return text
}

// gone says how many messages went, as far as that is known.
func gone(results []result) string {
	var messages int64
	known := false
	for _, r := range results {
		if r.OK && r.Messages != nil {
			messages, known = messages+*r.Messages, true
		}
	}
	if !known {
		return ""
	}
	return ", " + words.Count(messages, "message")
}

func allOK(results []result) bool {
	return !slices.ContainsFunc(results, func(r result) bool { return !r.OK })
}
