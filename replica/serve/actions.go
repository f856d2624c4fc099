package serve

import (
	"slices"

	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
)

// Who administers nodes asks each of them for the same: to empty a channel, or to
// delete a topic. For those who have the topic together that is one action, which is
// done when it is asked for first. What comes of it through other members within
// machine.SameAction touches nothing that came meanwhile, and is answered as done. The
// topic itself is deleted when all live members were asked, or one was asked for all:
// who takes it away from one node may want to keep it on the others.

// once says that a request is one that all members may be asked for.
func (r *Request) once() bool {
	switch r.Op {
	case state.DeleteTopic, state.EmptyTopic, state.DeleteChannel, state.EmptyChannel:
		return true
	}
	return false
}

// beginActing waits until nobody else does something that is done once. The error is
// errNotLeader.
func (v *Serving) beginActing() error {
	select {
	case v.acting <- struct{}{}:
		return nil
	case <-v.log.ended:
		return errNotLeader
	}
}

func (v *Serving) endActing() { <-v.acting }

// doOnce does what is asked for, unless it is done already.
func (v *Serving) doOnce(r Request) error {
	if err := v.beginActing(); err != nil {
		return err
	}
	defer v.endActing()
	a := v.action(&r)
	incarnation := a.Topic
	asked, known := v.shard.machine.Asked(a)
	if known {
		switch before := asked.Through(r.member); {
		case before != nil && before.Request == r.number:
			return v.outcome(before)
		case before == nil && (r.Op != state.DeleteTopic || asked.By[0].Topic != incarnation):
			a.Topic = asked.By[0].Topic
			return v.log.commit(&entry.Entry{Action: a})
		}
	}
	switch {
	case incarnation == 0:
		return ErrNoTopic
	case r.Op != state.DeleteTopic:
		t, err := v.Topic(r.Topic)
		if err != nil {
			return err
		}
		return v.log.with(a, func() error { return r.apply(t) })
	case r.Everywhere || v.allAsked(&asked, a):
		return v.log.with(a, func() error { return v.delete(incarnation) })
	}
	if err := v.log.commit(&entry.Entry{Action: a}); err != nil {
		return err
	}
	return ErrOthersKeep
}

// action is what a request asks for.
func (v *Serving) action(r *Request) *entry.Action {
	incarnation, _ := v.shard.machine.Incarnation(r.Topic)
	return &entry.Action{
		Op: r.Op, At: v.common.Channels.Clock.Wall(), Member: r.member, Request: r.number,
		Topic: incarnation, Name: r.Topic, Channel: r.Channel,
	}
}

// outcome is what came of an action when it was asked for first.
func (v *Serving) outcome(a *entry.Action) error {
	if incarnation, there := v.shard.machine.Incarnation(a.Name); a.Op == state.DeleteTopic && there && incarnation == a.Topic {
		return ErrOthersKeep
	}
	return nil
}

// allAsked says whether with a all members were asked that are there.
func (v *Serving) allAsked(asked *machine.Asked, a *entry.Action) bool {
	live := append(slices.Clone(v.shard.n.o.Remote.Peers()), v.shard.n.o.Member)
	return !slices.ContainsFunc(live, func(member uint64) bool {
		before := asked.Through(member)
		return member != a.Member && (before == nil || before.Topic != a.Topic)
	})
}

// with does something that commits an entry for an action, which is noted with it.
func (l *stateLog) with(a *entry.Action, do func() error) error {
	l.mu.Lock()
	l.action = a
	l.mu.Unlock()
	err := do()
	l.mu.Lock()
	noted := l.action == nil
	l.action = nil
	l.mu.Unlock()
	if err != nil || noted {
		return err
	}
	return l.commit(&entry.Entry{Action: a}) // there was nothing to be done
}

// take is the action that an entry is for, if there is one. It is noted once.
func (l *stateLog) take(e *state.Entry) (a *entry.Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.action == nil || l.action.Op != e.Op || l.action.Topic != e.Topic || e.Op == state.CreateChannel && e.Name != l.action.Channel {
		return nil
	}
	a, l.action = l.action, nil
	return a
}
