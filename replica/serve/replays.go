package serve

import (
	"time"

	"qmq/internal/names"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/topic"
)

// A channel may be asked to begin somewhere in the log once more: by a member whose leader
// died before it answered, and by those who look after nodes and ask each of them. So it is
// noted with what is done for whom it was, and for which place. The same request of a member
// is done once, whoever leads. What comes through another member soon after, for the same
// place, is the same.

// joinedWithin is for how long a replay that comes through another member is the same. It is
// as long as tools take that go from node to node: who wants a second one is not kept from it.
const joinedWithin = 10 * time.Second

// replayOnce has a channel begin where a request says, unless that is done already.
func (v *Serving) replayOnce(r Request) error {
	if err := v.beginActing(); err != nil {
		return err
	}
	defer v.endActing()
	t, err := v.Topic(r.Topic)
	if err != nil {
		return err
	}
	a := v.replayAction(&r)
	if a == nil {
		return r.apply(t)
	}
	asked, known := v.shard.machine.Asked(a)
	before := asked.Through(r.member)
	switch {
	case !known:
	case before != nil && before.Request == r.number:
		return r.replayed(t, &asked)
	case before == nil && a.At-asked.By[0].At < int64(joinedWithin):
		if err := v.log.commit(&entry.Entry{Action: a}); err != nil {
			return err
		}
		if err := r.replayed(t, &asked); err != nil || r.Replay == nil {
			return err
		}
		r.Replay.Joined = true
		return nil
	}
	return v.log.with(a, func() error { return r.apply(t) })
}

// replayAction is the action that a request asks for; nil: it is not noted.
func (v *Serving) replayAction(r *Request) *entry.Action {
	if repeatable := v.shard.n.o.Repeatable; repeatable != nil && !repeatable() || names.IsEphemeral(r.Channel) {
		return nil
	}
	a := v.action(r)
	for _, text := range []string{r.From, r.Until} {
		p := topic.Position{}
		if text != "" {
			var err error
			if p, err = topic.ParsePosition(text, 0); err != nil {
				return nil // which it is told
			}
		}
		a.Place += p.Canonical() + " "
	}
	if r.Leaves {
		a.Place += "leaves"
	}
	return a
}

// replayed tells how a channel goes on that has begun where the request asks it to.
func (r *Request) replayed(t *topic.Topic, asked *machine.Asked) error {
	replay, err := t.Replayed(r.Channel, asked.By[0].From)
	if err == nil && r.Replay != nil {
		*r.Replay = replay
	}
	return err
}
