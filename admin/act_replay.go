package admin

import (
	"context"

	"qmq/admin/cluster"
	"qmq/internal/nodeclient"
)

// rewindChannel is the action that has a channel deliver again what is in the log.
const rewindChannel = "rewind_channel"

// replays tells whether the order is about a place in the log. It goes where settings are
// changed, and to no directory: nodes tell those of a channel that there is.
func (o *order) replays() bool {
	return o.Action == rewindChannel || o.Action == "create_channel" && o.From != ""
}

// validPlace checks an order about a place in the log, as far as the nodes do not.
func (o *order) validPlace() error {
	if o.Action == rewindChannel && o.From == "" {
		return badRequest("Where it is rewound to is missing.")
	}
	return nil
}

// replay is the errand of having a node rewind a channel, or make one that begins in the past.
func (s *Server) replay(o *order, at cluster.Target) errand {
	note := new(string)
	return errand{"node", at.ID, at.Name, func(ctx context.Context) (err error) {
		var r nodeclient.Replay
		if o.Action == rewindChannel {
			r, err = s.up.nodes.Rewind(ctx, at.Address, o.Topic, o.Channel, o.From)
		} else {
			r, err = s.up.nodes.CreateBetween(ctx, at.Address, o.Topic, o.Channel, o.From, "", false)
		}
		if r.Joined {
			*note = "done a moment ago through another member"
		}
		return explained(err)
	}, note}
}

// doorsOf are the nodes at which something is done that nsqd cannot.
func doorsOf(c *cluster.Cluster, o *order) ([]cluster.Target, error) {
	p, kind, unable := o.pair(), "channel", "cannot go back in a log"
	if o.configures() {
		_, kind = o.verb()
		unable = noSettings(kind)
	}
	if o.Action == "create_channel" {
		p, kind = cluster.Pair{Topic: o.Topic}, "topic"
	}
	if targets := c.Doors(p); len(targets) > 0 {
		return targets, nil
	}
	if having := c.Having(p); len(having) > 0 {
		return nil, badRequest("%s.", nsqdUnable(having[0], unable))
	}
	return nil, notFound(cluster.View{Kind: kind, Topic: p.Topic, Channel: p.Channel})
}

// nsqdUnable is what is said of a node that is no qd.
func nsqdUnable(at cluster.Target, unable string) string {
	return at.Kind + " " + at.Version + " " + unable
}
