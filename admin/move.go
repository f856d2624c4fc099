package admin

import (
	"context"
	"fmt"
	"net/http"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/names"
	"qmq/internal/nodeclient"
)

// moveOrder is a backlog that is to go to another topic.
type moveOrder struct {
	Topic   string `json:"topic"`
	Channel string `json:"channel"`
	To      string `json:"to"`
}

func (o *moveOrder) pair() cluster.Pair { return cluster.Pair{Topic: o.Topic, Channel: o.Channel} }

// move starts to move what waits in a channel now to another topic, on every node that has
// some of it, and answers with the job. Consumers would get a part of it meanwhile: the
// channel is paused, or has none.
func (s *Server) move(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o moveOrder
	if err := readPageBody(r, maxOrder, &o); err != nil {
		return nil, err
	}
	switch {
	case !names.Valid(o.Topic) || !names.Valid(o.Channel):
		return nil, badRequest("%q is no channel.", words.Shorten(o.pair().String()))
	case !names.Valid(o.To):
		return nil, badRequest("%q is no valid name of a topic.", words.Shorten(o.To))
	case o.To == o.Topic:
		return nil, badRequest("The messages are in this topic already.")
	}
	s.collector.firstUpdate(r.Context())
	var targets []cluster.Target
	var waits int64
	var quiet bool
	s.collector.read(func(c *cluster.Cluster) {
		targets, waits, quiet = c.Serving(o.pair()), c.Waiting(o.pair(), "ready"), c.Quiet(o.pair())
	})
	switch {
	case len(targets) == 0:
		return nil, notFound(cluster.View{Kind: "channel", Topic: o.Topic, Channel: o.Channel})
	case !quiet:
		return nil, &failure{Status: http.StatusConflict, Code: "NOT_PAUSED", Text: "Pause the channel first: its consumers would get a part of these messages meanwhile."}
	}
	e := s.entryOf(r, "move_backlog")
	e.Topic, e.Channel = o.Topic, o.Channel
	j, err := s.startJob(jobView{Action: "move_backlog", Text: fmt.Sprintf("Move %s to %s", o.pair(), o.To), User: e.User, Of: waits, Unit: "messages"},
		func(ctx context.Context, j *job) error { return s.moveAll(ctx, j, &o, targets) },
		func(v jobView) {
			e.Result, e.OK, e.Results = v.said(words.Count(v.Done, "message")+" to "+o.To), v.Error == "" && !v.Stopped, v.results()
			s.activity.add(e)
		})
	if err != nil {
		return nil, err
	}
	return j.view(), nil
}

// moveAll moves what each node has, one after the other: up to where its log ends now.
func (s *Server) moveAll(ctx context.Context, j *job, o *moveOrder, targets []cluster.Target) error {
	var failed error
	for _, to := range targets {
		err := s.moveAt(ctx, j, o, to)
		if err != nil && ctx.Err() == nil {
			failed = err
			j.change(func(v *jobView) {
				v.took(&result{Kind: "node", Target: to.ID, Name: to.Name, Error: clientProblem(to, err)})
				v.Failed++
			})
		}
	}
	return failed
}

func (s *Server) moveAt(ctx context.Context, j *job, o *moveOrder, to cluster.Target) error {
	end, err := s.up.nodes.Look(ctx, to.Address, nodeclient.Look{Topic: o.Topic, Limit: 1, Order: "newest"})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		m, err := s.up.nodes.Move(ctx, to.Address, o.Topic, o.Channel, o.To, end.End)
		if err != nil {
			return err
		}
		if m.Moved == 0 {
			return nil
		}
		j.change(func(v *jobView) {
			v.Done += m.Moved
			v.Of = max(v.Of, v.Done)
			n := v.share(&result{Kind: "node", Target: to.ID, Name: to.Name})
			n.Done, n.Messages = n.Done+m.Moved, n.Messages+m.Moved
		})
	}
	return ctx.Err()
}
