package cluster

import (
	"context"
	"log/slog"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/replica"
)

// What group 0 says of members has to come true in every shard, group 0 itself
// included. Each shard's leader sees to its own: somebody who joins becomes a learner,
// gets all there is, and then, with one change, a vote in the place of whom it
// replaces. So there is never a moment at which one more failure would be too many.
// When a member has its vote everywhere, group 0's leader notes that.

// caughtUp is how many entries a learner may be behind when it gets its vote.
const caughtUp = 256

// change is what the leader of a shard does next about its members.
type change struct {
	add    id // a learner
	vote   id // gets its vote,
	remove id // and this one is none any more
}

// nextChange decides what a shard's leader does next; ok is false when there is
// nothing to do, or not now.
func nextChange(g *registry, st *replica.Status) (c change, ok bool) {
	if st.Role != replica.Leader || !st.Serving || len(st.Members.GetVotersOutgoing()) > 0 {
		return c, false
	}
	voters, learners := st.Members.GetVoters(), st.Members.GetLearners()
	for _, m := range g.Members {
		votes, learns := slices.Contains(voters, uint64(m.ID)), slices.Contains(learners, uint64(m.ID))
		switch {
		case m.Leaving && (votes || learns):
			return change{remove: m.ID}, true
		case m.Leaving || votes || !m.Joining:
		case !learns:
			return change{add: m.ID}, true
		case hasCaughtUp(st, uint64(m.ID)):
			c = change{vote: m.ID}
			if slices.Contains(voters, uint64(m.Replaces)) {
				c.remove = m.Replaces
			}
			return c, true
		}
	}
	// Who is not in g is not therefore gone: a member that has just started may lead a shard
	// before it has applied who joined.
	for _, there := range slices.Concat(voters, learners) {
		if g.member(id(there)) == nil && slices.Contains(g.Gone, id(there)) {
			return change{remove: id(there)}, true
		}
	}
	return c, false
}

func hasCaughtUp(st *replica.Status, learner uint64) bool {
	for _, f := range st.Followers {
		if f.Member == learner {
			return f.Active && !f.Snapshot && f.Match+caughtUp >= st.Last && f.Match > 0
		}
	}
	return false
}

// conf is the change as raft makes it.
func (c change) conf() *pb.ConfChangeV2 {
	v2 := new(pb.ConfChangeV2)
	for _, one := range []struct {
		member id
		kind   pb.ConfChangeType
	}{{c.add, pb.ConfChangeAddLearnerNode}, {c.vote, pb.ConfChangeAddNode}, {c.remove, pb.ConfChangeRemoveNode}} {
		if one.member != 0 {
			v2.Changes = append(v2.Changes, &pb.ConfChangeSingle{Type: one.kind.Enum(), NodeId: new(uint64(one.member))})
		}
	}
	return v2
}

// reconcile makes the next change in each shard that this node leads.
func (r *run) reconcile() {
	g := r.s.registry.Load()
	for n := range r.shards {
		s := r.shards[n].Load()
		if s == nil || r.changing[n].Load() {
			continue
		}
		st := s.Status()
		c, ok := nextChange(g, &st)
		if !ok {
			continue
		}
		if c.remove == id(r.member) {
			s.TransferLeadership(0) // whoever leads then removes this one
			continue
		}
		r.changing[n].Store(true)
		s.ProposeMembers(c.conf(), func(err error) {
			r.changing[n].Store(false)
			r.tellChange(uint32(n), c, err)
		})
	}
	r.noteProgress(g)
}

func (r *run) tellChange(n uint32, c change, err error) {
	attributes := []any{slog.Uint64("shard", uint64(n))}
	for _, one := range []struct {
		name   string
		member id
	}{{"learner", c.add}, {"voter", c.vote}, {"removed", c.remove}} {
		if one.member != 0 {
			attributes = append(attributes, slog.String(one.name, show(one.member)))
		}
	}
	if err != nil {
		r.s.o.Logger.Warn("the members of a shard were not changed", append(attributes, slog.Any("error", err))...)
		return
	}
	r.s.o.Logger.Info("the members of a shard changed", attributes...)
}

// noteProgress has group 0, where this node leads it, note what has come true in all
// shards.
func (r *run) noteProgress(g *registry) {
	if s := r.shard(0); s == nil || !s.Status().Serving || r.noting.Load() {
		return
	}
	e := r.progress(g)
	if e == nil {
		return
	}
	r.noting.Store(true)
	r.work(func() {
		defer r.noting.Store(false)
		ctx, cancel := context.WithTimeout(r.ctx, proposeTime)
		defer cancel()
		b, err := e.encode()
		if err == nil {
			err = r.proposeHere(ctx, b)
		}
		if err != nil && r.ctx.Err() == nil {
			r.s.o.Logger.Warn("a change of the members was not noted", slog.Any("error", err))
		}
	})
}

// progress is the entry that says what has come true; nil: nothing new.
func (r *run) progress(g *registry) *entry {
	level := uint32(Level)
	for _, m := range g.Members {
		switch votes, there := r.everywhere(m.ID); {
		case m.Leaving && !there:
			return &entry{Removed: m.ID}
		case m.Joining && votes && !r.anywhere(m.Replaces):
			return &entry{Promoted: m.ID}
		}
		level = min(level, m.Level)
	}
	if level > g.Level {
		return &entry{Level: level}
	}
	return nil
}

// everywhere tells whether a member has a vote in all shards, as far as this node has
// applied them, and whether it is in any.
func (r *run) everywhere(m id) (votes, there bool) {
	votes = true
	for n := range r.shards {
		s := r.shards[n].Load()
		if s == nil {
			return false, true // not known
		}
		members := s.Status().Members
		votes = votes && slices.Contains(members.GetVoters(), uint64(m)) && len(members.GetVotersOutgoing()) == 0
		there = there || slices.Contains(everybody(members), uint64(m))
	}
	return votes, there
}

func (r *run) anywhere(m id) bool {
	_, there := r.everywhere(m)
	return m != 0 && there
}

// everybody is all members of a shard, with a vote or without, sorted.
func everybody(members *pb.ConfState) []uint64 {
	all := slices.Concat(members.GetVoters(), members.GetLearners(), members.GetVotersOutgoing(), members.GetLearnersNext())
	slices.Sort(all)
	return slices.Compact(all)
}
