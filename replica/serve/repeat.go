package serve

import (
	"qmq/diskqueue"
	"qmq/message"
)

// While nothing may be published, for the disks are full, doubles of what is stored are OK'd
// all the same: they need no room. That all of a batch is known here does not say yet that it
// is there: the topic may have been deleted, or set otherwise, and this node not have heard of
// it. So nothing is sent in the batch's place, under its number. When that is applied here, so
// is all that anybody was told of before the publish, and then it is looked once more.

// repeat is a batch all of which was known when it came.
type repeat struct {
	ids []message.Dedup
	why error // it is refused for, should it not be known any more
}

// repeats is not nil if all of a batch is known.
func (p *Producer) repeats(b *diskqueue.Batch, why error) *repeat {
	list := b.Identified()
	if len(list) != b.Len() {
		return nil
	}
	r := &repeat{why: why}
	for _, id := range list {
		r.ids = append(r.ids, id.Dedup)
	}
	if !p.known(r) {
		return nil
	}
	return r
}

// known says whether all of it are doubles of what is applied here.
func (p *Producer) known(r *repeat) bool {
	now := p.shard.timeNow()
	for i := range r.ids {
		if !p.shard.machine.IsDouble(p.topic, &r.ids[i], now) {
			return false
		}
	}
	return true
}

// judge is what the publisher of a batch is told in whose place nothing is applied.
func (p *Producer) judge(x *pending) error {
	if x.stamped.By != nameOf(p.shard.machine.Settings(p.topic), true) || !p.known(x.repeat) {
		return x.repeat.why
	}
	if x.told != nil {
		x.told.doubles = make([]int, len(x.repeat.ids))
		for i := range x.told.doubles {
			x.told.doubles[i] = i
		}
	}
	p.shard.countRepeats(p.topic, uint64(len(x.repeat.ids)))
	return nil
}

// countRepeats has doubles be counted where those are shown that are applied: at the leader.
// Where it cannot be told they are counted here.
func (s *Shard) countRepeats(topic, n uint64) {
	if to, ok := s.target(); ok && to.serving == nil {
		tell := notice{kind: noticeRepeats, shard: s.id, term: to.term, topic: topic, refused: refused{number: n}}
		if s.n.o.Remote.SendNotice(to.member, tell.encode()) {
			return
		}
	}
	s.machine.NoteDoubles(topic, n)
}
