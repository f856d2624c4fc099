package serve

import (
	"errors"

	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/replica/entry"
	"qmq/state"
	"qmq/topic"
)

// Request asks for a change of which topics and channels there are, or whether they
// are paused or empty.
type Request struct {
	Op      state.Op // CreateTopic to EmptyChannel, or one of settings
	Topic   string
	Channel string
	// Tail says of CreateChannel that it is for somebody who only looks, see
	// topic.TailChannel.
	Tail bool
	// Everywhere says of DeleteTopic that it is for all members, and not for this one
	// alone.
	Everywhere bool
	Settings   string // of ConfigureTopic and ConfigureChannel, see topic.Topic.Configure
	// Void, of VoidRange, are the numbers of messages that are to count no more.
	Void []seqset.Range
	// From, Until, Leaves and Replay, of CreateChannel and RewindChannel, are those of a
	// topic.Operation.
	From, Until string
	Leaves      bool
	Replay      *topic.Replay

	member, number uint64 // who asks, and which of its requests it is
}

// do does what is asked for, at the leader. It returns when it is applied here.
func (v *Serving) do(r Request) error {
	if r.Op == state.CreateTopic {
		return v.create(r.Topic)
	}
	v.awaitCreated(r.Topic)
	if err := v.awaitOKd(&r); err != nil {
		return err
	}
	if r.once() {
		return v.doOnce(r)
	}
	if r.positions() {
		return v.replayOnce(r)
	}
	t, err := v.Topic(r.Topic)
	if err != nil {
		return err
	}
	return r.apply(t)
}

// awaitOKd waits until this node has applied all that others may have, and have OK'd, where a
// request is about the messages that are there: an entry that follows them all is agreed on.
func (v *Serving) awaitOKd(r *Request) error {
	switch {
	case r.Op == state.PauseTopic, r.Op == state.EmptyTopic, r.Op == state.EmptyChannel, r.positions():
		return v.awaitAgreed()
	}
	return nil
}

// awaitAgreed waits until this node has applied all that was agreed on when it was called.
func (v *Serving) awaitAgreed() error {
	return v.log.commit(&entry.Entry{Time: v.shard.timed()})
}

// apply makes the change in a topic.
func (r *Request) apply(t *topic.Topic) error {
	err := t.Do(topic.Operation{
		Op: r.Op, Channel: r.Channel, Tail: r.Tail, Settings: r.Settings, Void: r.Void,
		From: r.From, Until: r.Until, Leaves: r.Leaves, Replay: r.Replay,
	})
	if errors.Is(err, topic.ErrNoChange) {
		return errUnknownRequest
	}
	return err
}

// errRefused is of a name or number that no replica takes.
var errRefused = errors.New("the replicas refused it")

var errUnknownRequest = errors.New("the request is not known here: the node may be older than the one that asks")

// create makes a topic if there is none of that name, and there may be one. Requests for one
// name wait for one another.
func (v *Serving) create(name string) error {
	if _, there := v.shard.machine.Incarnation(name); there {
		return nil
	}
	if err := v.hearNames(); err != nil {
		return err
	}
	for heard := false; ; {
		under, err := v.beginCreate(name)
		var refused *NameError
		switch {
		case err == nil && under != nil:
			err = v.commitTopic(name)
			v.endCreate(name, under)
			return err
		case under != nil:
			<-under
		case errors.As(err, &refused) && !heard: // it may be so no more
			heard = true
			if err := v.hear(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// beginCreate says that the caller has to make a topic, whose channel is under; that
// somebody else is making it, until under is closed, when the error is errBusy; or how
// the request ended, when under is nil.
func (v *Serving) beginCreate(name string) (under chan struct{}, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, errNotLeader
	}
	if _, there := v.shard.machine.Incarnation(name); there {
		return nil, nil
	}
	if under := v.creating[name]; under != nil {
		return under, errBusy
	}
	if names := v.shard.n.o.Names; names != nil {
		if refused := names.Refused(name); refused != nil {
			return nil, refused
		}
	}
	if limit := v.shard.n.o.MaxTopics; limit > 0 && len(v.shard.machine.Topics())+len(v.creating) >= limit {
		return nil, &topic.LimitError{What: "topics of this shard", Max: limit, Option: "--max-topics"}
	}
	under = make(chan struct{})
	v.creating[name] = under
	return under, nil
}

func (v *Serving) endCreate(name string, under chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.creating, name)
	close(under)
}

// awaitCreated waits until no topic of that name is being made: before this node has applied
// that one is there, another may have, and ask for it.
func (v *Serving) awaitCreated(name string) {
	v.mu.Lock()
	under := v.creating[name]
	v.mu.Unlock()
	if under != nil {
		<-under
	}
}

// commitTopic has a new topic agreed on. Its numbers begin as those of a local one do.
func (v *Serving) commitTopic(name string) error {
	return v.log.Commit(state.Entry{
		Op: state.CreateTopic, Topic: v.newIncarnation(), Name: name,
		FanOut: uint64(v.common.Channels.Clock.Wall()) >> 8,
	})
}

// delete ends a topic with its channels and messages.
func (v *Serving) delete(incarnation uint64) error {
	if err := v.log.Commit(state.Entry{Op: state.DeleteTopic, Topic: incarnation}); err != nil {
		return err
	}
	v.drop(incarnation)
	return nil
}

// drop ends a topic that is deleted.
func (v *Serving) drop(incarnation uint64) {
	s := v.served(incarnation)
	if s == nil {
		return // it was not served
	}
	<-s.made
	if !v.forget(s) || s.topic == nil {
		return // somebody else sees to it
	}
	s.topic.Drop()
	for _, c := range s.topic.Channels() {
		if !names.IsEphemeral(c.Name()) {
			v.log.Detach(c)
		}
	}
	v.log.forgetFanOut(s.topic)
	s.stop()
}
