package fromnsq

import (
	"qmq/internal/nsqdata"
	"qmq/internal/seqset"
	"qmq/state"
)

// channel is a channel of a topic that is being built: which of its messages the
// channel has to get, and how often it had them. Its numbers come in ascending order.
type channel struct {
	*nsqdata.Channel
	incarnation uint64
	start       uint64
	done        *seqset.Set // what it has not got to get
	open        []state.OpenMessage
	next        uint64 // one past the last number that it has to get
	messages    uint64 // that it has to get
}

func newChannel(c *nsqdata.Channel, incarnation, start uint64) *channel {
	return &channel{Channel: c, incarnation: incarnation, start: start, done: seqset.New(start), next: start}
}

// owe says that the channel has to get a message, which it had before so many times.
// The same message may be told of again.
func (c *channel) owe(seq uint64, attempts uint16) {
	if seq >= c.next {
		c.done.AddRange(c.next, seq)
		c.next = seq + 1
		c.messages++
	}
	if attempts == 0 {
		return
	}
	if n := len(c.open); n > 0 && c.open[n-1].Seq == seq {
		c.open[n-1].Attempts = max(c.open[n-1].Attempts, attempts)
		return
	}
	c.open = append(c.open, state.OpenMessage{Seq: seq, Attempts: attempts})
}

// end says that there are no messages for the channel from its end on.
func (c *channel) end(end uint64) { c.done.AddRange(c.next, end) }

// source is the channel as the journal sees it: all of its state, which does not
// change any more. Messages that it had before are open and due at once, all others
// are new to it.
type source struct {
	topic uint64 // incarnation
	c     *channel
}

// Changes is all of the channel's state.
func (s source) Changes(bool) state.ChannelChanges { return s.Snapshot() }

// Snapshot is all of the channel's state.
func (s source) Snapshot() state.ChannelChanges {
	ch := state.ChannelChanges{
		Topic: s.topic, Channel: s.c.incarnation, Version: 1, Full: true,
		Floor: s.c.done.Floor(), Cursor: s.c.done.Floor(), Open: s.c.open,
	}
	for r := range s.c.done.Ranges() {
		ch.Acked = append(ch.Acked, r)
	}
	return ch
}
