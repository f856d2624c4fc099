package serve

import (
	"fmt"
	"slices"
	"sync"

	"qmq/channel"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
)

// propose has parts agreed on, with what is due of the channels' changes. done is told
// when they are applied, or why they will not be.
func (v *Serving) propose(parts []entry.Part, done func(error)) {
	e := &entry.Entry{Parts: parts, Time: v.shard.timed()}
	if r := v.log.ride(maxRiding); r != nil {
		v.proposeLoad(e, r, done)
		return
	}
	v.proposeEntry(e, done)
}

// proposeLoad adds changes to an entry, and proposes it.
func (v *Serving) proposeLoad(e *entry.Entry, r *load, done func(error)) {
	e.Changes, e.Topology = r.changes, r.topology
	v.proposeStale(e, func(stale bool, err error) {
		if err == nil && stale {
			v.log.arrived(r, errNotLeader)
		} else {
			v.log.arrived(r, err)
		}
		done(err)
	})
}

// proposeEntry proposes an entry all of which counts, or nothing.
func (v *Serving) proposeEntry(e *entry.Entry, done func(error)) {
	v.proposeOutcome(e, func(o *machine.Outcome, err error) {
		if err == nil && o.StaleTerm {
			err = errNotLeader
		}
		done(err)
	})
}

// proposeStale proposes an entry; stale says of one that was applied that its changes
// and topology did not count.
func (v *Serving) proposeStale(e *entry.Entry, done func(stale bool, err error)) {
	v.proposeOutcome(e, func(o *machine.Outcome, err error) { done(o.StaleTerm, err) })
}

// proposeOutcome is proposeStale that says what became of it.
func (v *Serving) proposeOutcome(e *entry.Entry, done func(*machine.Outcome, error)) {
	if e.Serves() {
		e.Term = v.term
	}
	buf := entries.Get().(*[]byte)
	*buf = e.AppendTo(slices.Grow((*buf)[:0], sizeOf(e)))
	propose := v.shard.raft.Propose
	if len(*buf) >= lingerAt && v.isOwn(e) {
		propose = v.shard.raft.ProposeOwn
	}
	propose(*buf, func(outcome any, err error) {
		if cap(*buf) <= maxKeptEntry {
			entries.Put(buf)
		}
		o, _ := outcome.(machine.Outcome)
		if err == nil {
			err = refusal(o.Topology)
		} else { // whatever it was, the leader has to be asked again, or another one
			err = fmt.Errorf("%w: %w", errNotLeader, err)
		}
		done(&o, err)
	})
}

// isOwn says whether nobody waits on another node for an entry.
func (v *Serving) isOwn(e *entry.Entry) bool {
	return e.Action == nil && len(e.Topology) == 0 && !slices.ContainsFunc(e.Parts, func(p entry.Part) bool {
		return p.Origin.Member != v.shard.n.o.Member
	})
}

// entries are the memory of entries that are proposed: raft takes a copy.
var entries = sync.Pool{New: func() any { return new([]byte) }}

// maxKeptEntry is how large memory is kept for the next entry, in bytes.
const maxKeptEntry = 2 * maxGroup

// refusal is why a topology was not changed; nil when it was, or was so already.
func refusal(topology []machine.TopologyOutcome) error {
	for _, o := range topology {
		switch {
		case o.Result == machine.Refused:
			return errRefused
		case o.Result == machine.Gone && o.Entry.Op != state.SetFanOut:
			return channel.ErrExiting
		}
	}
	return nil
}

// sizeOf is about how many bytes an entry takes.
func sizeOf(e *entry.Entry) (size int) {
	for i := range e.Parts {
		size += e.Parts[i].Size() + 8
	}
	for _, record := range e.Changes {
		size += len(record) + 8
	}
	return size + 64*len(e.Topology) + 32
}
