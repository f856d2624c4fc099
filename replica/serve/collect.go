package serve

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"qmq/replica/entry"
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
	busy             // too much waits
	notLeader        // another node leads, or none
	noTopic          // there is no such topic, nor will there be one of this incarnation
)

// refused is why a part was not taken, and the number that the next one must have.
type refused struct {
	why    reason
	number uint64
}

// queue is where the parts of a topic wait at the leader, in the order of each member.
// One entry of a topic is under way at a time: what comes meanwhile makes the next one,
// so that many who publish a little each share few entries.
type queue struct {
	v     *Serving
	topic uint64

	mu       sync.Mutex // guards what follows; no other lock is taken under it
	parts    []entry.Part
	bytes    int
	inFlight bool
	members  map[uint64]*expected
}

// expected is what the next part of a member has to be; those before it are applied,
// or on their way.
type expected struct{ epoch, number uint64 }

// offer takes parts of the topic of a name from one member, in order, and says from
// where on it did not. What is on its way already, or applied, counts as taken.
func (v *Serving) offer(name string, parts []entry.Part) refused {
	q, why := v.queue(name, parts[0].Topic)
	if q == nil {
		return refused{why: why}
	}
	no, first := q.add(parts)
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
		return nil, noTopic
	}
	q = &queue{v: v, topic: topic, members: make(map[uint64]*expected)}
	v.queues[topic] = q
	return q, accepted
}

// add queues parts. first says that the caller has to propose.
func (q *queue) add(parts []entry.Part) (no refused, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := q.expects(parts[0].Origin)
	for _, p := range parts {
		switch o := p.Origin; {
		case o.Epoch < next.epoch || o.Epoch == next.epoch && o.Number < next.number:
			continue
		case o.Epoch > next.epoch && o.Number > 1 || o.Epoch == next.epoch && o.Number > next.number:
			return refused{why: gap, number: next.after(o.Epoch)}, q.begin()
		case q.bytes > maxQueued:
			return refused{why: busy, number: o.Number}, q.begin()
		default:
			*next = expected{o.Epoch, o.Number + 1}
		}
		q.parts = append(q.parts, p)
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
		next = &expected{epoch, number + 1}
		q.members[o.Member] = next
	}
	return next
}

// missed is told when a part was not applied because one before it was not: what comes
// next of the member is asked for again.
func (q *queue) missed(member uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.members, member)
}

// begin says that the caller has to propose. The caller holds q.mu.
func (q *queue) begin() bool {
	if q.inFlight || len(q.parts) == 0 {
		return false
	}
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
	group := slices.Clone(q.parts[:n])
	q.parts = slices.Delete(q.parts, 0, n)
	q.bytes -= size
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
		if q.more() {
			q.propose()
		}
	}
}

// more says whether there is another entry to be made.
func (q *queue) more() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inFlight = false
	return q.begin()
}
