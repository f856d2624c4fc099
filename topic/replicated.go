package topic

import (
	"errors"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
	"qmq/state"
)

// A replicated topic is served by one of the nodes that have it: the log of each of
// them is appended to by whoever applies what a majority has agreed on, and this one
// gives the messages out. When another node takes over, Stop ends the topic here, and
// the log goes on without it.

// ErrReplicated refuses to publish past the others that have the topic.
var ErrReplicated = errors.New("the topic is replicated: its log is not written by this node alone")

// Promise is room that a replicated topic keeps for what is about to be agreed on. The
// zero Promise is none.
type Promise struct{ load load }

// Plus is the room of two.
func (p Promise) Plus(o Promise) Promise { return Promise{p.load.plus(o.load)} }

// Admit keeps room for messages that take so many bytes in the log, or refuses them with
// a *FullError. The promise is given back to Committed, or to Withdraw where they are not
// published.
func (t *Topic) Admit(messages, bytes int) (Promise, error) {
	limits := t.limiter.limits.Load()
	if limits == nil || limits.Overflow != settings.Reject {
		return Promise{}, nil
	}
	promised, err := t.limiter.admitLoad(load{int64(messages), int64(bytes)}, limits)
	return Promise{promised}, err
}

// Withdraw gives back what is not needed.
func (t *Topic) Withdraw(p Promise) { t.fanout.unpromise(p.load) }

// Committed tells a replicated topic what was appended to its log, with how many
// bytes of bodies, of which so much was promised, and gives it to the channels. Calls
// come in the order of the numbers and do not overlap. What the topic was made with
// already is passed over; numbers that were left out before it belong to no message.
func (t *Topic) Committed(added diskqueue.Appended, bodyBytes uint64, promised Promise) {
	if added.End <= t.fanout.committed() {
		t.Withdraw(promised)
	} else {
		bytes := int(bodyBytes) + int(added.End-added.First)*message.HeaderSize
		if t.fanout.commit(added, bodyBytes, bytes, promised.load) != nil {
			return // nobody wants it any more
		}
		t.committed(added)
		if t.limiter.limits.Load() != nil {
			t.keeper.begin()
		}
	}
}

// FanOutKnown says that a FanOutEntry with this position is committed.
func (t *Topic) FanOutKnown(position uint64) { t.fanout.journalled(position) }

// voids is what no channel of a restored topic gets a message of. What the log of one
// node alone has lost is not void where others have it.
func (t *Topic) voids(st *state.Topic) []seqset.Range {
	if t.o.Replicated {
		return seqset.Union(st.Voids)
	}
	return seqset.Union(t.o.Log.Voids(), st.Voids)
}
