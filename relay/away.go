package relay

import "time"

// A link that breaks says nothing of the clients behind it: mostly they go on, and their
// node has another link in a moment. So what they hold stays theirs for a while: their
// consumers are away, which get nothing more, until the node has claimed over the next
// link what its clients still hold. What nobody has claimed goes to others then. A node
// that has died, or does not come back in time, claims nothing.

// awayWithin is Options.AwayWithin unless it says otherwise.
const awayWithin = 2 * time.Second

// absence is of the consumers that a leadership serves for another node whose link broke.
// Relay.mu guards it.
type absence struct {
	consumers []*served
	joining   int  // how many consumers of the node are about to join anew
	claimed   bool // the node says that all have asked to
	timer     *time.Timer
}

// beginAbsence has a node be absent from now on, with those whose absence had begun before.
// The caller holds r.mu.
func (r *Relay) beginAbsence(l *leadership, member uint64) *absence {
	a := new(absence)
	if before := l.away[member]; before != nil {
		before.timer.Stop()
		a.consumers = before.consumers
	}
	a.timer = time.AfterFunc(r.o.AwayWithin, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.away[member] == a { // not one that has begun since
			r.endAbsence(l, member)
		}
	})
	l.away[member] = a
	return a
}

// endAbsence gives back what nobody has claimed. The caller holds r.mu.
func (r *Relay) endAbsence(l *leadership, member uint64) {
	over := l.away[member].consumers
	l.away[member].timer.Stop()
	delete(l.away, member)
	r.startLocked(func() {
		for _, v := range over {
			v.close()
		}
	})
}

// endClaimed ends the absence of a node when all that it claims is taken up. The caller
// holds r.mu.
func (r *Relay) endClaimed(l *leadership, member uint64) {
	if a := l.away[member]; a != nil && a.claimed && a.joining == 0 {
		r.endAbsence(l, member)
	}
}

// takeAway takes out the consumers that are away: the leadership, or all, is over. The
// caller holds r.mu, and closes them.
func (l *leadership) takeAway() (over []*served) {
	for member, a := range l.away {
		a.timer.Stop()
		over = append(over, a.consumers...)
		delete(l.away, member)
	}
	return over
}

// linkBroke has the consumers of a node be away, of which no frame is going to come.
func (r *Relay) linkBroke(member uint64) {
	r.mu.Lock()
	var lost []*served
	for at, v := range r.served {
		if at.member == member {
			delete(r.served, at)
			r.keepAway(v)
			lost = append(lost, v)
		}
	}
	for at, j := range r.joining {
		j.lost = j.lost || at.member == member
	}
	r.mu.Unlock()
	for _, v := range lost { // before there is a next link
		v.goAway()
	}
}

// keepAway counts a consumer as one that is away. The caller holds r.mu.
func (r *Relay) keepAway(v *served) {
	a := v.leading.away[v.at.member]
	if a == nil {
		a = r.beginAbsence(v.leading, v.at.member)
	}
	a.consumers = append(a.consumers, v)
}

// joinedInVain has a consumer be away whose link broke while it joined.
func (r *Relay) joinedInVain(v *served) {
	v.goAway()
	r.mu.Lock()
	over := v.leading.shard.leading != v.leading || r.closed
	if !over {
		r.keepAway(v)
	}
	r.mu.Unlock()
	if over {
		v.close()
	}
}

// goAway has the channel give the consumer nothing more, and keep what it has for it.
func (v *served) goAway() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.away = true
	v.consumer.SetAway()
}
