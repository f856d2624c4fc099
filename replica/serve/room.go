package serve

import (
	"qmq/message"
	"qmq/replica/entry"
	"qmq/settings"
	"qmq/topic"
)

// A topic that is full and refuses what is beyond its limits has the leader refuse
// parts before they are proposed. The leader tells the origin, which leaves nothing of
// them but their numbers and sends those again, as it does with what is given up. Until
// then the leader takes no part of such a number that is not empty: one that was sent
// twice never comes in when there is room again. Another leader decides anew, if the
// origin had sent it the part before it heard of the refusal; then it does not count.

// limit is why parts were refused for good, and which: from the one with the number of
// the refusal on.
type limit struct {
	through  uint64 // number of the last of them
	messages bool   // the limit is one of messages; else it is of bytes
	max      int64
}

// err is what publishers are told.
func (l *limit) err(name string) error {
	e := &topic.FullError{Topic: name, Setting: topic.MaxBytes, Max: l.max}
	if l.messages {
		e.Setting = topic.MaxMessages
	}
	return e
}

// barred is the numbers of what was refused for good; limit.through is 0 when there are
// none.
type barred struct {
	from uint64
	limit
}

// limits says whether a topic refuses what is beyond its limits.
func (v *Serving) limits(name string, id uint64) bool {
	set, _ := settings.ParseTopic(v.shard.machine.Settings(id)) // what it does not know is told where it is served
	e := v.common.ReplicaSettings(name, set).Effective()
	return e.Limited() && e.Overflow == settings.Reject
}

// room says whether a topic has room for parts.
type room struct {
	topic *topic.Topic
	shard *Shard
}

// room is that of a topic; nil: parts are taken without. ok is false while the topic that
// has to be asked is being restored.
func (v *Serving) room(name string, q *queue) (r *room, ok bool) {
	if refusable := v.shard.n.o.Refusable; refusable != nil && !refusable() {
		return nil, true
	}
	s := v.served(q.topic)
	if s == nil {
		if q.limited {
			v.work(func() { _, _ = v.Topic(name) }) // in case of an error it is asked for again
		}
		return nil, !q.limited
	}
	select {
	case <-s.made:
		if s.topic == nil {
			return nil, !q.limited
		}
		return &room{s.topic, v.shard}, true
	default: // nobody has set limits since
		return nil, !q.limited
	}
}

// admit keeps room for the first of some parts, in order, or says which of them are
// refused for good. The caller holds queue.mu.
func (e *expected) admit(parts []entry.Part, room *room) (promised topic.Promise, no *limit) {
	p := &parts[0]
	number := p.Origin.Number
	switch {
	case p.Count == 0 || number <= e.admitted:
		return promised, nil
	case e.barred.from <= number && number <= e.barred.through:
		no := e.barred.limit
		return promised, &no
	}
	if room != nil {
		promised, no = room.ask(p)
	}
	if no == nil {
		e.admitted = number
		return promised, nil
	}
	no.through = number
	for i := range parts[1:] { // those behind it for which there is no room either
		next := &parts[1+i]
		if next.Count == 0 || next.Origin.Number != no.through+1 {
			break
		}
		promised, full := room.ask(next)
		if full == nil {
			room.topic.Withdraw(promised)
			break
		}
		no.through++
	}
	e.barred = barred{number, *no}
	return topic.Promise{}, no
}

// ask asks for room for a part. Doubles need none.
func (r *room) ask(p *entry.Part) (promised topic.Promise, no *limit) {
	promised, err := r.topic.Admit(p.Count, len(p.Records))
	full, is := err.(*topic.FullError)
	if !is || own(p.Records) {
		return promised, nil
	}
	messages, bytes := r.shard.withoutDoubles(p)
	if messages == 0 {
		return promised, nil
	}
	if messages < p.Count {
		if promised, err = r.topic.Admit(messages, bytes); err == nil {
			return promised, nil
		}
	}
	return promised, &limit{messages: full.Setting == topic.MaxMessages, max: full.Max}
}

// withoutDoubles is what is left of a part without the doubles of what is applied.
func (s *Shard) withoutDoubles(p *entry.Part) (messages, bytes int) {
	now := s.timeNow()
	for records := p.Records; len(records) > 0; {
		n, ok := message.Size(records)
		if !ok || n > len(records) {
			return p.Count, len(p.Records)
		}
		v := message.Decode(records[:n])
		if id, counts := v.Dedup(); !counts || !s.machine.IsDouble(p.Topic, &id, now) {
			messages, bytes = messages+1, bytes+n
		}
		records = records[n:]
	}
	return messages, bytes
}

// own says whether all records are what nodes publish themselves, which a full topic
// takes: dead letters, and those that are put back.
func own(records []byte) bool {
	for len(records) > 0 {
		n, ok := message.Size(records)
		if !ok || n > len(records) {
			return false
		}
		v := message.Decode(records[:n])
		if !v.Again() {
			return false
		}
		records = records[n:]
	}
	return true
}
