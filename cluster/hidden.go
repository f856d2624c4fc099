package cluster

import (
	"errors"
	"log/slog"
	"slices"

	"qmq/broker"
	"qmq/replica/serve"
	"qmq/state"
)

// Stock tools have a node forget a topic (a tombstone) by deleting it there. On a set
// that topic is hidden at the member that was asked: it is not listed and not
// registered, and its consumers there are sent away; until a publish or a subscription
// at that member, or its restart, shows it again. When all members that are there were
// asked within a minute it is deleted, see replica/serve.

// change makes a change that somebody asked this member for.
func (r *run) change(c broker.Change) error {
	if c.Op != state.DeleteTopic {
		r.show(c.Topic)
	}
	n := shardOf(c.Topic)
	incarnation, _ := r.machines[n].Incarnation(c.Topic)
	err := r.node.Do(r.ctx, serve.Request{
		Op: c.Op, Topic: c.Topic, Channel: c.Channel, Tail: c.Tail, Everywhere: c.Everywhere, Settings: c.Settings, Void: c.Void,
		From: c.From, Until: c.Until, Leaves: c.Leaves, Replay: c.Replay,
	})
	if errors.Is(err, serve.ErrOthersKeep) {
		r.hide(topicID{n, incarnation}, c.Topic)
		return nil
	}
	return brokerError(err)
}

// hide hides a topic at this member.
func (r *run) hide(of topicID, name string) {
	if !r.names.hide(of) {
		return // it is deleted meanwhile
	}
	r.s.o.Logger.Info("a topic is hidden at this member: it is deleted when all members that are there are asked for that within a minute, or with everywhere=true", slog.String("topic", name))
	r.relay.SendAwayFrom(name)
}

// show shows a topic at this member again, if it was hidden.
func (r *run) show(name string) {
	if r.names.hiding.Load() == 0 {
		return
	}
	n := shardOf(name)
	if incarnation, there := r.machines[n].Incarnation(name); there && r.names.show(topicID{n, incarnation}) {
		r.s.o.Logger.Info("a topic is not hidden at this member any more", slog.String("topic", name))
	}
}

// visible are the names of a shard's topics that this member does not hide, sorted.
func (r *run) visible(n uint32) (names []string) {
	for name, incarnation := range r.machines[n].Topics() {
		if !r.names.isHidden(topicID{n, incarnation}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
