package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"qmq/admin/cluster"
	"qmq/admin/words"
)

// maxBulk is how many topics or channels may be chosen at a time.
const maxBulk = 5000

// bulkOrder is one action for many topics or channels.
type bulkOrder struct {
	Verb    string `json:"verb"` // pause, unpause, empty or delete
	Targets []struct {
		Topic   string `json:"topic"`
		Channel string `json:"channel"` // empty: the topic itself
	} `json:"targets"`
}

var bulkVerbs = []string{"pause", "unpause", "empty", "delete"}

// orders are what it comes to.
func (o *bulkOrder) orders(hasLookupds bool) (list []*order, err error) {
	if !slices.Contains(bulkVerbs, o.Verb) {
		return nil, badRequest("The action must be one of %s.", listOf(bulkVerbs))
	}
	if len(o.Targets) == 0 || len(o.Targets) > maxBulk {
		return nil, badRequest("Between 1 and %s topics or channels at a time.", words.Number(maxBulk))
	}
	for _, t := range o.Targets {
		kind := "_topic"
		if t.Channel != "" {
			kind = "_channel"
		}
		one := &order{Action: o.Verb + kind, Topic: t.Topic, Channel: t.Channel}
		if err := one.valid(hasLookupds); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// bulkSilent is POST silent: which silent nodes have what is chosen, and how much of it by
// their last answers. It changes nothing.
func (s *Server) bulkSilent(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o bulkOrder
	if err := readPageBody(r, 1<<20, &o); err != nil {
		return nil, err
	}
	list, err := o.orders(len(s.up.direct) == 0)
	if err != nil {
		return nil, err
	}
	pairs := make([]cluster.Pair, len(list))
	for i, one := range list {
		pairs[i] = one.pair()
	}
	var nodes []cluster.SilentShare
	s.collector.read(func(c *cluster.Cluster) { nodes = c.SilentShares(pairs, o.Verb != "empty") })
	return map[string]any{"nodes": nodes}, nil
}

// bulk starts to do it, and answers with the job.
func (s *Server) bulk(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o bulkOrder
	if err := readPageBody(r, 1<<20, &o); err != nil {
		return nil, err
	}
	list, err := o.orders(len(s.up.direct) == 0)
	if err != nil {
		return nil, err
	}
	e := s.entryOf(r, "bulk_"+o.Verb)
	for _, one := range list {
		s.notifier.tell(r, one.Action, one.pair(), "")
	}
	what := words.Count(int64(len(list)), list[0].kindName())
	j, err := s.startJob(jobView{Action: "bulk_" + o.Verb, Text: words.Capital(o.Verb) + " " + what, User: e.User, Of: int64(len(list)), Unit: "targets"},
		func(ctx context.Context, j *job) error { return s.doAll(ctx, j, r, list) },
		func(v jobView) {
			e.Result, e.OK, e.Results = v.said(what), v.Failed == 0 && !v.Stopped, v.results()
			s.activity.add(e)
		})
	if err != nil {
		return nil, err
	}
	return j.view(), nil
}

func (o *order) kindName() string {
	_, kind := o.verb()
	return kind
}

// doAll carries out one order after the other.
func (s *Server) doAll(ctx context.Context, j *job, r *http.Request, list []*order) error {
	for _, o := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		targets, err := s.targetsOf(r.WithContext(ctx), o)
		var results []result
		if err == nil {
			results = s.carryOut(ctx, o, targets)
		}
		j.change(func(v *jobView) {
			v.Done++
			for i := range results {
				v.took(&results[i])
			}
			if err != nil || !allOK(results) {
				v.Failed++
			}
			if err != nil {
				v.Error = reason(err)
			}
		})
	}
	return nil
}

// said is the end of a job in few words.
func (v *jobView) said(what string) string {
	text := what
	if v.Stopped {
		text = fmt.Sprintf("stopped after %s of %s", words.Number(v.Done), what)
	}
	gone := int64(0)
	for i := range v.Nodes {
		gone += v.Nodes[i].Messages
	}
	if gone > 0 {
		text += ", " + words.Count(gone, "message")
	}
	if v.Failed > 0 {
		text += fmt.Sprintf("; %s failed", words.Number(v.Failed))
	}
	if v.Error != "" {
		text += ": " + v.Error
	}
	return text
}

// results are the nodes' parts as Activity shows them.
func (v *jobView) results() (list []result) {
	for i := range v.Nodes {
		n := &v.Nodes[i]
		r := result{Kind: n.Kind, Target: n.Node, Name: n.Name, OK: n.Failed == 0, Error: n.Error}
		if n.Failed > 0 {
			r.Error = fmt.Sprintf("%s done, %s failed: %s", words.Number(n.Done), words.Number(n.Failed), n.Error)
		}
		if n.Messages > 0 {
			r.Messages = &n.Messages
		}
		list = append(list, r)
	}
	return list
}
