package serve

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"qmq/replica/entry"
	"qmq/topic"
)

const (
	// maxGroup is about how many bytes of parts become one entry; one part may be larger.
	maxGroup = 1 << 20
	// maxQueued is how many bytes of a topic's parts wait at the leader.
	maxQueued = 8 << 20
	// againAfter is how long after an entry was refused, though this node leads, it is
	// proposed again.
	againAfter = 10 * time.Millisecond
	// yieldAt is how many parts an entry has for their publishers to be let publish
	// again before the next is made: where many wait, all of them share each entry, not
	// half of them.
	yieldAt = 8
)

// reason is why parts were not taken.
type reason uint8

// The reasons. Their numbers are in notices.
const (
	accepted  reason = iota
	gap              // parts before them did not arrive
	busy             // too much waits, or the topic is being made
	notLeader        // another node leads, or none
	noTopic          // there is no such topic, nor will there be one of this incarnation
	full             // the topic has no room, and the parts will never be taken
	outdated         // the parts were stamped by other settings than the topic has
)

// refused is why a part was not taken, and the number that the next one must have.
type refused struct {
	why    reason
	number uint64
	limit  limit // of full
	// applied is, of outdated, the position in the shard by which the settings are applied.
	applied uint64
}

// queue is where the parts of a topic wait at the leader, in the order of each member.
// One entry of a topic is under way at a time: what comes meanwhile makes the next one,
// so that many who publish a little each share few entries.
type queue struct {
	v     *Serving
	topic uint64

	// limited says that the topic had limits, and refuses what is beyond them, before
	// it was restored here.
	limited bool

	mu       sync.Mutex // guards what follows; the topic's locks are taken under it, and the machine's
	parts    []queued
	bytes    int
	inFlight bool
	promised topic.Promise // to the entry under way
	members  map[uint64]*expected
	linger   linger
}

// queued is a part that waits, and the room in the topic that it was promised.
type queued struct {
	entry.Part
	promised topic.Promise
}

// expected is what the next part of a member has to be; those before it are applied,
// or on their way.
type expected struct {
	epoch, number uint64
	admitted      uint64 // the last of the epoch that the topic had room for: it is not asked again
	barred        barred // what has to be empty when it comes
}

// offer takes parts of the topic of a name from one member, in order, that were stamped by
// settings, and says from where on it did not. What is on its way already, or applied, counts as taken.
func (v *Serving) offer(name string, by uint64, parts []entry.Part) refused {
	q, why := v.queue(name, parts[0].Topic)
	if q == nil {
		return refused{why: why, number: parts[0].Origin.Number}
	}
	room, ok := v.room(name, q)
	if !ok {
		return refused{why: busy, number: parts[0].Origin.Number}
	}
	applied, old := v.outdated(q.topic, by)
	no, first := q.add(parts, room, old)
	no.applied = applied
	if first {
		q.propose()
	}
	return no
}

// queue finds that of a topic, or makes one; nil when there is none, and why.
func (v *Serving) queue(name string, topic uint64) (q *queue, why reason) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil, notLeader
	}
	if q = v.queues[topic]; q != nil {
		return q, accepted
	}
	if there, _ := v.shard.machine.Incarnation(name); there != topic {
		if v.creating[name] != nil { // the other node may have applied it already
			return nil, busy
		}
		return nil, noTopic
	}
	q = &queue{v: v, topic: topic, limited: v.limits(name, topic), members: make(map[uint64]*expected)}
	v.queues[topic] = q
	return q, accepted
}

// add queues parts for which there is room, and if they are old only those that are empty.
// first says that the caller has to propose.
func (q *queue) add(parts []entry.Part, room *room, old bool) (no refused, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.expects(parts[0].Origin)
	for i, p := range parts {
		switch o := p.Origin; {
		case o.Epoch < next.epoch || o.Epoch == next.epoch && o.Number < next.number:
			continue
		case o.Epoch > next.epoch && o.Number > 1 || o.Epoch == next.epoch && o.Number > next.number:
			return refused{why: gap, number: next.after(o.Epoch)}, q.begin()
		case q.bytes > maxQueued:
			return refused{why: busy, number: o.Number}, q.begin()
		case old && p.Count > 0:
			return refused{why: outdated, number: o.Number}, q.begin()
		case o.Epoch > next.epoch:
			*next = expected{epoch: o.Epoch, number: o.Number}
		}
		promised, limit := next.admit(parts[i:], room)
		if limit != nil {
			return refused{why: full, number: p.Origin.Number, limit: *limit}, q.begin()
		}
		next.number = p.Origin.Number + 1
		q.parts = append(q.parts, queued{p, promised})
		q.bytes += p.Size()
	}
	return refused{}, q.begin()
}

// after is the number that has to come next in an epoch.
func (e *expected) after(epoch uint64) uint64 {
	if epoch > e.epoch {
		return 1
	}
	return e.number
}

// expects is what comes next of a member. The caller holds q.mu.
func (q *queue) expects(o entry.Origin) *expected {
	next := q.members[o.Member]
	if next == nil { // nothing of it is on its way: what was before this term is applied
		epoch, number := q.v.shard.machine.Row(q.topic, o.Member)
		next = &expected{epoch: epoch, number: number + 1}
		q.members[o.Member] = next
	}
	return next
}

// missed is told when a part was not applied because one before it was not: what comes
// next of the member is asked for again. What there was room for, or not, stays so.
func (q *queue) missed(member uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.members[member]
	if next == nil {
		return
	}
	switch epoch, number := q.v.shard.machine.Row(q.topic, member); {
	case epoch == next.epoch:
		next.number = number + 1
	case epoch < next.epoch:
		next.number = 1
	default:
		delete(q.members, member)
	}
}

// landed takes what was promised to the entry that is applied now.
func (q *queue) landed() (promised topic.Promise) {
	q.mu.Lock()
	defer q.mu.Unlock()
	promised, q.promised = q.promised, topic.Promise{}
	return promised
}

// begin says that the caller has to propose. The caller holds q.mu.
func (q *queue) begin() bool {
	if q.inFlight || len(q.parts) == 0 || q.bytes < q.linger.until {
		return false
	}
	q.linger.end()
	q.inFlight = true
	return true
}

// propose has one entry made of what comes first. One caller at a time.
func (q *queue) propose() { q.proposeGroup(q.take()) }

// take takes the parts of one entry.
func (q *queue) take() []entry.Part {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.parts) && (n == 0 || size+q.parts[n].Size() <= maxGroup) {
		size += q.parts[n].Size()
		n++
	}
	group := make([]entry.Part, 0, n)
	for _, p := range q.parts[:n] {
		group = append(group, p.Part)
		q.promised = q.promised.Plus(p.promised)
	}
	q.parts = slices.Delete(q.parts, 0, n)
	q.bytes -= size
	q.linger.proposed = q.v.shard.n.now()
	return group
}

func (q *queue) proposeGroup(group []entry.Part) {
	q.v.propose(group, func(err error) { q.done(group, err) })
}

// done is called when an entry is applied, or will not be.
func (q *queue) done(group []entry.Part, err error) {
	switch {
	case q.v.ended():
	case err != nil: // it was refused: the parts count once, if it is there all the same
		q.v.after(againAfter, func() { q.proposeGroup(group) })
	default:
		if len(group) >= yieldAt {
			runtime.Gosched() // who was answered may publish again, in the next entry
		}
		if q.more(sizeOfParts(group)) {
			q.propose()
		}
	}
}

func sizeOfParts(group []entry.Part) (size int) {
	for i := range group {
		size += group[i].Size()
	}
	return size
}

// more says whether there is another entry to be made now, after one of so many bytes.
func (q *queue) more(applied int) (now bool) {
	q.mu.Lock()
	q.inFlight = false
	d := q.linger.wait(applied, q.bytes, q.v.shard.n.now())
	turn := q.linger.turn
	now = q.begin()
	q.mu.Unlock()
	if d > 0 && !now {
		q.v.after(d, func() { q.lingered(turn) })
	}
	return now
}
