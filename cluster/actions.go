package cluster

import (
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/broker"
	"qmq/cluster/link"
	"qmq/replica/serve"
	"qmq/state"
	"qmq/topic"
)

// Tools ask every node for the same thing: stock nsqadmin sends each deletion to all
// nodes that have the topic, at once, and has a node forget a topic (a tombstone) by
// deleting it there. On a set this is made to mean what was meant:
//
//   - What one member has done within the last minute is not done again for another,
//     unless that is asked to do it everywhere.
//   - A topic that is deleted at one member is hidden there: it is not listed and not
//     registered, and its consumers at that member are sent away. When all members that
//     are there were asked for it within a minute, it is deleted. A publish or a
//     subscription at that member, or its restart, shows it again.
//
// Members tell one another what they were asked for, so that a new leader knows, too.
type actions struct {
	r *run

	hiding atomic.Int32 // topics that somebody hides

	mu     sync.Mutex // guards what follows; nothing waits while it is held
	done   map[actionID]doneBy
	grown  chan struct{}                    // closed, and replaced, when done grows
	hidden map[topicID]map[uint64]time.Time // by whom, and when
}

// actionID is an action on a topic or channel.
type actionID struct {
	Op      state.Op
	Topic   string
	Channel string
}

type doneBy struct {
	member uint64
	at     time.Time
}

// told is what a member tells the others that it was asked for, or has done.
type told struct {
	actionID
	Incarnation uint64 `json:"incarnation,omitempty"` // of a topic that it hides
	Shown       bool   `json:"shown,omitempty"`       // and that it shows again
}

const (
	// sameAction is for how long an action through another member is the same one.
	sameAction = time.Minute
	// tellTime is how long it may take until a member hears what another one has done.
	tellTime = 250 * time.Millisecond
)

func newActions(r *run) *actions {
	return &actions{r: r, done: make(map[actionID]doneBy), grown: make(chan struct{}), hidden: make(map[topicID]map[uint64]time.Time)}
}

// once tells whether an action is one that must not be done once for each member.
func once(op state.Op) bool {
	switch op {
	case state.DeleteTopic, state.EmptyTopic, state.DeleteChannel, state.EmptyChannel:
		return true
	}
	return false
}

// change makes a change that somebody asked this member for.
func (a *actions) change(c broker.Change) error {
	of := actionID{c.Op, c.Topic, c.Channel}
	if once(c.Op) && !c.Everywhere && a.doneElsewhere(of) {
		return nil
	}
	if c.Op == state.DeleteTopic && !c.Everywhere {
		return a.hide(c.Topic)
	}
	if c.Op != state.DeleteTopic {
		a.show(c.Topic)
	}
	err := brokerError(a.r.node.Do(a.r.ctx, serve.Request{Op: c.Op, Topic: c.Topic, Channel: c.Channel, Tail: c.Tail}))
	switch {
	case !once(c.Op):
	case err == nil:
		a.note(of, a.r.member)
		a.tell(&told{actionID: of})
	case errors.Is(err, broker.ErrNoTopic), errors.Is(err, topic.ErrNoChannel):
		if a.awaitDone(of) {
			return nil
		}
	}
	return err
}

// doneElsewhere tells whether another member has done it within the last minute.
func (a *actions) doneElsewhere(of actionID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	by, ok := a.done[of]
	return ok && by.member != a.r.member && time.Since(by.at) < sameAction
}

// awaitDone waits a moment to hear that another member has done it.
func (a *actions) awaitDone(of actionID) bool {
	late := time.NewTimer(tellTime)
	defer late.Stop()
	for {
		a.mu.Lock()
		grown := a.grown
		a.mu.Unlock()
		if a.doneElsewhere(of) {
			return true
		}
		select {
		case <-grown:
		case <-late.C:
			return false
		}
	}
}

// note notes that a member has done something.
func (a *actions) note(of actionID, by uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for old, d := range a.done {
		if time.Since(d.at) >= sameAction {
			delete(a.done, old)
		}
	}
	a.done[of] = doneBy{by, time.Now()}
	close(a.grown)
	a.grown = make(chan struct{})
}

func (a *actions) tell(what *told) {
	frame, err := json.Marshal(what)
	if err != nil {
		return // there is nothing in it that has no JSON
	}
	for _, member := range a.r.s.connected() {
		a.r.s.links.Send(member, link.Control, kindAction, frame)
	}
}

// heard takes what another member was asked for.
func (a *actions) heard(from uint64, frame []byte) error {
	what := new(told)
	if err := json.Unmarshal(frame, what); err != nil {
		return err
	}
	of := topicID{shardOf(what.Topic), what.Incarnation}
	switch {
	case what.Incarnation == 0:
		a.note(what.actionID, from)
	case what.Shown:
		a.unmark(of, from)
	default:
		a.mark(of, what.Topic, from)
	}
	return nil
}

// hide hides a topic at this member, or deletes it, if all others were asked for that.
func (a *actions) hide(name string) error {
	n := shardOf(name)
	incarnation, there := a.r.machines[n].Incarnation(name)
	of := topicID{n, incarnation}
	if !there || a.isHidden(of) {
		if a.awaitDone(actionID{Op: state.DeleteTopic, Topic: name}) {
			return nil
		}
		return broker.ErrNoTopic
	}
	a.r.s.o.Logger.Info("a topic is hidden at this member: it is deleted when all members that are there are asked for it within a minute, or with everywhere=true", slog.String("topic", name))
	a.tell(&told{actionID: actionID{Op: state.DeleteTopic, Topic: name}, Incarnation: incarnation})
	a.mark(of, name, a.r.member)
	a.r.names.hide(of, true)
	a.r.relay.SendAwayFrom(name)
	return nil
}

// mark notes that a member hides a topic, and has it deleted where all do, by the one
// that leads it.
func (a *actions) mark(of topicID, name string, member uint64) {
	a.mu.Lock()
	by := a.hidden[of]
	if by == nil {
		by = make(map[uint64]time.Time)
		a.hidden[of] = by
		a.hiding.Add(1)
	}
	by[member] = time.Now()
	all := true
	for _, m := range append(a.r.s.connected(), a.r.member) {
		at, hides := by[m]
		all = all && hides && time.Since(at) < sameAction
	}
	a.mu.Unlock()
	if !all || a.r.watch.leaderOf(of.shard) != a.r.member {
		return
	}
	a.r.work(func() {
		err := a.r.node.Do(a.r.ctx, serve.Request{Op: state.DeleteTopic, Topic: name})
		if err != nil {
			a.r.s.o.Logger.Warn("a topic that all members were asked to delete was not deleted", slog.String("topic", name), slog.Any("error", err))
			return
		}
		what := actionID{Op: state.DeleteTopic, Topic: name}
		a.note(what, a.r.member)
		a.tell(&told{actionID: what})
	})
}

// unmark notes that a member shows a topic again.
func (a *actions) unmark(of topicID, member uint64) (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, was = a.hidden[of][member]
	delete(a.hidden[of], member)
	if was && len(a.hidden[of]) == 0 {
		delete(a.hidden, of)
		a.hiding.Add(-1)
	}
	return was
}

// show shows a topic at this member again, if it was hidden.
func (a *actions) show(name string) {
	if a.hiding.Load() == 0 {
		return
	}
	n := shardOf(name)
	incarnation, there := a.r.machines[n].Incarnation(name)
	of := topicID{n, incarnation}
	if !there || !a.unmark(of, a.r.member) {
		return
	}
	a.r.s.o.Logger.Info("a topic is not hidden at this member any more", slog.String("topic", name))
	a.r.names.hide(of, false)
	a.tell(&told{actionID: actionID{Op: state.DeleteTopic, Topic: name}, Incarnation: incarnation, Shown: true})
}

// isHidden tells whether this member hides a topic.
func (a *actions) isHidden(of topicID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, hides := a.hidden[of][a.r.member]
	return hides
}

// visible leaves out the names of topics that this member hides.
func (a *actions) visible(shard uint32, topics map[string]uint64) (names []string) {
	for name, incarnation := range topics {
		if !a.isHidden(topicID{shard, incarnation}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// gone forgets who hid a topic that there is no more.
func (a *actions) gone(of topicID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hidden[of] != nil {
		delete(a.hidden, of)
		a.hiding.Add(-1)
	}
}
