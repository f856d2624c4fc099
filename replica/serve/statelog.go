package serve

import (
	"context"
	"slices"
	"sync"
	"time"

	"qmq/internal/deadline"
	"qmq/internal/seqset"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
	"qmq/topic"
)

const (
	// changesAfter is how long after a channel's first change it may ride along with
	// what is published.
	changesAfter = 20 * time.Millisecond
	// changesAlone is how long it waits beyond that for something to ride along with.
	changesAlone = 20 * time.Millisecond
	// maxRiding is how many bytes of changes ride along, give or take one channel's,
	// and maxAlone how many make an entry of their own.
	maxRiding, maxAlone = 64 << 10, 256 << 10
	// maxStood is how many fan-out positions go with one entry.
	maxStood = 256
)

// stateLog has what topics have to remember agreed on by a majority: it is the
// topic.StateLog of all topics of a Serving. At most one entry with changes is under
// way, so that they are applied in the order in which the channels told them.
type stateLog struct {
	v     *Serving
	enc   *state.Encoder  // of whoever has set asking
	timer *deadline.Timer // for changes that nothing carries along

	mu        sync.Mutex // guards what follows; it is taken under channels' locks
	collector *state.Collector
	attached  map[state.Source]bool
	moved     map[*topic.Topic]bool // whose fan-out position may have to be told
	movedAt   time.Time             // when the first of them moved
	asking    bool                  // changes are asked for, or are on their way
	rested    chan struct{}         // closed when asking ends
	refusals  int                   // of entries with changes
	action    *entry.Action         // to be noted with the entry that is made for it
	ended     chan struct{}         // closed by end
	over      bool
}

func newStateLog(v *Serving) *stateLog {
	l := &stateLog{
		v: v, enc: state.NewEncoder(), collector: state.NewCollector(changesAfter),
		attached: make(map[state.Source]bool), moved: make(map[*topic.Topic]bool), ended: make(chan struct{}),
	}
	l.timer = v.shard.n.deadlines.NewTimer(func(int64) { v.work(l.proposeAlone) })
	return l
}

// Commit is part of topic.StateLog. It returns when the entries are applied here. After
// an error it may be that others have applied them, but then this node leads no more,
// and the topic is on its way out.
func (l *stateLog) Commit(entries ...state.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	e := &entry.Entry{Topology: entries}
	if entries[0].Op != state.CreateChannel { // which is not asked for by itself here
		e.Action = l.take(&entries[0])
	}
	if entries[0].Op == state.ConfigureTopic {
		e.Time = l.v.shard.timed()
	}
	return l.commit(e)
}

// commit returns when an entry is applied here, all of which counts, or nothing.
func (l *stateLog) commit(e *entry.Entry) error {
	done := make(chan error, 1)
	l.v.proposeEntry(e, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-l.ended:
		return errNotLeader
	}
}

// CommitStart is part of topic.Agreed. An action that has a channel begin somewhere is noted
// with no other entry.
func (l *stateLog) CommitStart(e state.Entry) (applied state.Entry, gone []seqset.Range, err error) {
	type outcome struct {
		machine.TopologyOutcome
		err error
	}
	done := make(chan outcome, 1)
	l.v.proposeOutcome(&entry.Entry{Topology: []state.Entry{e}, Action: l.take(&e)}, func(o *machine.Outcome, err error) {
		switch {
		case err == nil && o.StaleTerm:
			err = errNotLeader
		case err == nil:
			done <- outcome{o.Topology[0], nil}
			return
		}
		done <- outcome{err: err}
	})
	select {
	case o := <-done:
		return o.Entry, o.Gone, o.err
	case <-l.ended:
		return e, nil, errNotLeader
	}
}

// Attach is part of topic.StateLog.
func (l *stateLog) Attach(s state.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attached[s] = true
	l.collector.Attach(s)
}

// Detach is part of topic.StateLog: the channel is deleted, and says nothing more.
func (l *stateLog) Detach(s state.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.attached, s)
	l.collector.Forget(s)
}

// Mark is part of topic.StateLog.
func (l *stateLog) Mark(s state.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.collector.Mark(s, time.Now()) && !l.over {
		l.arm(changesAfter + changesAlone)
	}
}

// markFanOut has a topic's fan-out position told if no channel tells of it.
func (l *stateLog) markFanOut(t *topic.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.moved[t] || l.over {
		return
	}
	if len(l.moved) == 0 {
		l.movedAt = time.Now()
		l.arm(changesAfter + changesAlone)
	}
	l.moved[t] = true
}

// arm has proposeAlone called in a while. The caller holds l.mu.
func (l *stateLog) arm(after time.Duration) { l.timer.Arm(l.v.shard.n.now() + int64(after)) }

// load is changes on their way.
type load struct {
	changes  [][]byte
	topology []state.Entry
	told     []state.Source // who told the changes
	stood    []*topic.Topic // whose fan-out position goes along
}

func (r *load) empty() bool { return len(r.changes) == 0 && len(r.topology) == 0 }

// ride takes what is due and may go with the next entry; nil when there is nothing, or
// something is under way.
func (l *stateLog) ride(limit int) *load {
	if !l.begin() {
		return nil
	}
	r := &load{}
	for size := 0; size < limit && l.askNext(r, &size); {
	}
	l.askPositions(r)
	if r.empty() {
		l.endAsking()
		return nil
	}
	return r
}

// begin says that the caller may ask for changes.
func (l *stateLog) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asking || l.over || !l.due(time.Now()) {
		return false
	}
	l.asking, l.rested = true, make(chan struct{})
	return true
}

// due says whether there is something to be told. The caller holds l.mu.
func (l *stateLog) due(now time.Time) bool {
	return l.collector.Due(now) || len(l.moved) > 0 && now.Sub(l.movedAt) >= changesAfter
}

// endAsking ends what begin began, and sees to what is left.
func (l *stateLog) endAsking() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = false
	close(l.rested)
	switch {
	case l.over:
	case l.due(time.Now()):
		l.arm(0)
	case len(l.moved) > 0 || !l.collector.DueAt().IsZero():
		l.arm(changesAfter + changesAlone)
	}
}

// askNext asks a source that is due; false when there is none. What one says whose
// channel is not known to the others yet is of no use: it tells all later.
func (l *stateLog) askNext(r *load, size *int) bool {
	l.mu.Lock()
	source, full := l.collector.Next()
	known := l.attached[source]
	l.mu.Unlock()
	if source == nil {
		return false
	}
	changes := source.Changes(full)
	if known {
		record := slices.Clone(l.enc.Changes(changes))
		*size += len(record)
		r.changes = append(r.changes, record)
		r.told = append(r.told, source)
	}
	return true
}

// askPositions asks topics whose fan-out position moved.
func (l *stateLog) askPositions(r *load) {
	l.mu.Lock()
	var list []*topic.Topic
	for t := range l.moved {
		if len(list) == maxStood {
			break
		}
		list = append(list, t)
		delete(l.moved, t)
	}
	l.mu.Unlock()
	for _, t := range list {
		if e, needed := t.FanOutEntry(); needed {
			r.topology = append(r.topology, e)
			r.stood = append(r.stood, t)
		}
	}
}

// arrived is called when a load was applied, or will not be.
func (l *stateLog) arrived(r *load, err error) {
	l.mu.Lock()
	r.told = slices.DeleteFunc(r.told, func(s state.Source) bool { return !l.attached[s] }) // deleted meanwhile
	if err == nil {
		l.collector.Written(r.told)
	} else {
		l.refusals++
		l.collector.Refused(r.told, time.Now())
		l.movedAt = time.Now()
		for _, t := range r.stood {
			l.moved[t] = true
		}
	}
	l.mu.Unlock()
	if err == nil {
		for i, t := range r.stood {
			t.FanOutKnown(r.topology[i].FanOut)
		}
	}
	l.endAsking()
}

// proposeAlone makes an entry of what is due.
func (l *stateLog) proposeAlone() {
	if r := l.ride(maxAlone); r != nil {
		l.v.proposeLoad(&entry.Entry{}, r, func(error) {})
	}
}

// flush returns when all is applied that channels have told so far.
func (l *stateLog) flush(ctx context.Context) error {
	l.mu.Lock()
	l.collector.DueNow()
	l.movedAt = time.Time{}
	refusals := l.refusals
	l.mu.Unlock()
	for {
		l.proposeAlone()
		rested, err := l.underWay(refusals)
		if rested == nil {
			return err
		}
		select {
		case <-rested:
		case <-l.ended:
			return errNotLeader
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// underWay is closed when there may be more to propose; nil when all that was due is
// applied, or was not because of err.
func (l *stateLog) underWay(refusals int) (rested <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.over || l.refusals != refusals:
		return nil, errNotLeader
	case l.asking:
		return l.rested, nil
	case l.collector.Due(time.Time{}) || len(l.moved) > 0 && l.movedAt.IsZero():
		return atOnce, nil
	}
	return nil, nil
}

// atOnce is closed.
var atOnce = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// forgetFanOut lets a topic go that is deleted.
func (l *stateLog) forgetFanOut(t *topic.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.moved, t)
}

// end answers whoever waits. Nothing is asked for any more.
func (l *stateLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.ended)
		l.timer.Stop()
	}
}
