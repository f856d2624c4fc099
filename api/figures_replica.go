package api

import (
	"qmq/broker"
	"qmq/channel"
)

// ofReplica are the figures of a replicated topic. The node that serves it tells what
// there is in it, all others tell names; each tells of the clients that are connected
// to it. So the sums over the nodes are right.
func (f *Figures) ofReplica(name string, filter Filter) (figures TopicFigures, ok bool) {
	r, ok := f.broker.Replica(name)
	if !ok {
		return figures, false
	}
	if filter.Channel != "" {
		r.Channels = only(r.Channels, filter.Channel)
		if len(r.Channels) == 0 {
			return figures, false
		}
	}
	if r.Served != nil {
		figures = f.ofTopic(r.Served, served(&r), false)
	} else {
		figures = TopicFigures{Name: r.Name, Paused: r.Paused, Channels: make([]ChannelFigures, 0, len(r.Channels))}
	}
	figures.idBytes = r.IDBytes
	figures.Channels = f.ofReplicaChannels(figures.Channels, r.Channels, filter.Clients)
	if filter.Settings {
		f.addReplicaSettings(&figures, &r)
	}
	figures.Replica = &ReplicaFigures{Role: r.Role(), Shard: r.Shard, Leader: r.Leader, Term: r.Term, Applied: r.Applied, Lag: r.Lag}
	return figures, true
}

// only is the channel of that name, if it is in the list.
func only(channels []broker.ReplicaChannel, name string) []broker.ReplicaChannel {
	for i := range channels {
		if channels[i].Name == name {
			return channels[i : i+1]
		}
	}
	return nil
}

// served are the channels of r that are served, in their order.
func served(r *broker.Replica) (channels []*channel.Channel) {
	for i := range r.Channels {
		if c, ok := r.Served.ExistingChannel(r.Channels[i].Name); ok {
			channels = append(channels, c)
		}
	}
	return channels
}

// ofReplicaChannels lists all channels, with the figures of those that are served,
// and has each tell of the clients of this node.
func (f *Figures) ofReplicaChannels(served []ChannelFigures, channels []broker.ReplicaChannel, clients bool) []ChannelFigures {
	list := make([]ChannelFigures, 0, len(channels))
	now := uint64(f.broker.Clock().Wall() / 1e6)
	for i := range channels {
		c := &channels[i]
		figures := ChannelFigures{Name: c.Name, Paused: c.Paused, Until: c.Until, Done: c.Done, Then: thenOf(c.Leaves), RewoundAt: min(c.Rewound, now)}
		if len(served) > 0 && served[0].Name == c.Name {
			figures, served = served[0], served[1:]
		}
		figures.ClientCount, figures.ReadyCount = len(c.Consumers), readyOf(c.Consumers)
		if clients {
			figures.Clients = f.ofConsumers(c.Consumers)
		}
		list = append(list, figures)
	}
	return list
}
