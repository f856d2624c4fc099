package cluster

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"qmq/broker"
	"qmq/replica"
	"qmq/replica/serve"
	"qmq/state"
)

// Stock tools have a node forget a topic (a tombstone) by deleting it there. On a set
// that topic is hidden at the member that was asked: it is not listed and not
// registered, and its consumers there are sent away; until a publish or a subscription
// at that member, or its restart, shows it again. When all members that are there were
// asked within a minute it is deleted, see replica/serve.
//
// A leader alone tells what a topic holds, so that sums over all members are right, and of a
// topic that it hides it tells nothing. So who hides topics of a shard is not given the
// leadership of it, and gives it away if there is a member that hides none of them. While
// all hide some, nobody moves anything.

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

// errHides is of a member that should not lead a shard which another one can tell all of.
var errHides = errors.New("hides a topic of the shard that was deleted there alone: publish to it there, or delete it everywhere, first")

// hides tells whether a member hides topics of a shard, as it has told.
func (w *watch) hides(member uint64, shard uint32) bool {
	if member == w.r.member {
		return w.r.names.hiding.Load()&(1<<shard) != 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hiding[member]&(1<<shard) != 0
}

// giveHidden gives what this member leads and hides topics of to members that hide none, once
// all is calm: one that comes to lead by an election does so too.
func (w *watch) giveHidden(now time.Duration) {
	if w.r.names.hiding.Load() == 0 || !w.isCalm(now) {
		return
	}
	for n, s := range w.r.opened() {
		if !w.mayTry(now, n) || !w.hides(w.r.member, n) {
			continue
		}
		if to := w.showing(n, s); to != 0 {
			w.balance(n, func() error { return w.r.giveHidden(n, s, to) })
			return
		}
	}
}

// showing is a member that hides no topic of a shard that is led here, and can lead it; 0: there
// is none.
func (w *watch) showing(n uint32, s *replica.Shard) uint64 {
	st := s.Status()
	if st.Role != replica.Leader {
		return 0
	}
	for _, f := range st.Followers {
		if !w.hides(f.Member, n) && w.r.fit(&st, f.Member) == nil {
			return f.Member
		}
	}
	return 0
}

func (r *run) giveHidden(n uint32, s *replica.Shard, to uint64) error {
	r.moving.Lock()
	defer r.moving.Unlock()
	if err := r.giveAway(r.ctx, n, s, id(to)); err != nil {
		return err
	}
	r.s.o.Logger.Info("leadership is given to a member that hides no topic of the shard, as this one does", slog.Uint64("shard", uint64(n)), slog.String("to", r.s.addressOf(to)))
	return nil
}
