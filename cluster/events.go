package cluster

import (
	"log/slog"

	"qmq/replica"
	"qmq/replica/machine"
	"qmq/replica/serve"
)

// shardEvents passes on what becomes of a shard, on the shard's goroutine, and logs
// who leads it. It is a replica.Events.
type shardEvents struct {
	r     *run
	n     uint32
	serve *serve.Shard // nil: group 0, of which nothing is served
	led   bool
	// leader is who was heard of last to lead.
	leader uint64
}

func (e *shardEvents) counts() *shardCounts { return &e.r.s.counts.shards[e.n] }

func newShardEvents(r *run, n uint32) *shardEvents {
	e := &shardEvents{r: r, n: n}
	if n > 0 {
		e.serve = r.node.Shard(n - 1)
	}
	return e
}

// Leader is part of replica.Events.
func (e *shardEvents) Leader(member, term uint64) {
	attributes := []any{slog.Uint64("shard", uint64(e.n)), slog.Uint64("term", term)}
	if member == 0 {
		e.r.s.o.Logger.Debug("a shard has no leader that is known here", attributes...)
	} else {
		e.r.s.o.Logger.Info("a shard has a leader", append(attributes, slog.String("leader", e.r.s.addressOf(member)))...)
	}
	if member != 0 && member != e.leader {
		e.leader = member
		e.counts().changes.Add(1)
	}
	e.r.watch.leader(e.n, member)
	if e.serve != nil {
		e.serve.Leader(member, term)
		e.r.relay.Leader(e.n, member, term)
	}
}

// Led is part of replica.Events. Topics may be served before their consumers hear of
// it.
func (e *shardEvents) Led(term uint64) {
	e.led = true
	e.counts().elections.Add(1)
	if e.serve != nil {
		e.serve.Led(term)
		e.r.relay.Led(e.n, term, e.r.s.connected())
	}
}

// Deposed is part of replica.Events. Consumers hear of it before their topics stop:
// they are to be attached elsewhere, not to end.
func (e *shardEvents) Deposed() {
	e.led = false
	if e.serve != nil {
		e.r.relay.Deposed(e.n)
		e.serve.Deposed()
	}
}

// Applied is part of replica.Events.
func (e *shardEvents) Applied(a replica.Applied) {
	if e.serve == nil || a.Outcome == nil {
		return
	}
	e.serve.Applied(a.Outcome)
	o, ok := a.Outcome.(machine.Outcome)
	if !ok {
		return
	}
	e.counts().applied(&o)
	if len(o.Topology) > 0 {
		e.r.names.applied(e.n, o.Topology)
	}
}

// Installed is part of replica.Events.
func (e *shardEvents) Installed(index, term uint64) {
	e.counts().snapshots.Add(1)
	e.r.s.o.Logger.Info("a shard's state was brought by its leader", slog.Uint64("shard", uint64(e.n)), slog.Uint64("index", index))
	if e.serve != nil {
		e.serve.Installed(index, term)
		e.r.names.installed(e.n, e.r.machines[e.n])
	}
}

// end ends what is served of the shard, which has stopped.
func (e *shardEvents) end() {
	if e.led {
		e.Deposed()
	}
}

// addressOf shows a member by its address, as far as it is known: who has just joined knows
// only whom it is connected to.
func (s *Set) addressOf(member uint64) string {
	if g := s.registry.Load(); g != nil {
		if m := g.member(id(member)); m != nil {
			return m.Address
		}
	}
	if address, met := s.met.Load(member); met {
		return address.(string)
	}
	return show(id(member))
}
