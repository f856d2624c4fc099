package cluster

import (
	"context"

	"qmq/broker"
	"qmq/topic"
)

// What one member of a set was told is there, the others may be asked for at once, and need
// not have applied yet.

// channelElsewhere tells why there is no channel that another member serves; nil: there is.
func (r *run) channelElsewhere(name, channelName string) error {
	m := r.machines[shardOf(name)]
	return r.known(name, func() error {
		incarnation, there := m.Incarnation(name)
		if !there {
			return broker.ErrNoTopic
		}
		view, err := m.Topic(incarnation)
		if err != nil {
			return broker.ErrNoTopic
		}
		defer view.Release()
		for _, c := range view.State.Channels {
			if c.Name == channelName {
				return nil
			}
		}
		return topic.ErrNoChannel
	})
}

// known looks for something of a topic. What another member was told a moment ago this one
// need not have applied yet: before it says that there is none, it has.
func (r *run) known(name string, look func() error) error {
	if look() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, leaderTimeout)
	defer cancel()
	if err := r.s.catchUp(ctx, shardOf(name)); err != nil {
		return err
	}
	return look()
}

// incarnation finds a topic. The error is broker.ErrNoTopic, or why that is not known.
func (r *run) incarnation(name string) (topic uint64, err error) {
	err = r.known(name, func() error {
		var there bool
		if topic, there = r.machines[shardOf(name)].Incarnation(name); !there {
			return broker.ErrNoTopic
		}
		return nil
	})
	return topic, err
}
