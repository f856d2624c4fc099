package server

import (
	"sync"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/protocol"
	"qmq/topic"
)

// Bounds of what a session gathers before it acts.
const (
	roundBytes   = 1 << 20 // of records
	roundReplies = 8192    // commands
	roundTopics  = 64
)

// round is what the commands of one read buffer come to: one batch per topic,
// one list of answers to messages, the last RDY, and the replies in the order
// of the commands. Rounds are pooled, so that a session that waits holds none.
type round struct {
	replies []reply
	batches []topicBatch
	answers []channel.Answer
	bytes   int   // of records
	ready   int64 // the last RDY; -1 when there was none
	out     []byte
}

// reply is what is owed to one command: after an answer nothing if it went
// well.
type reply struct {
	kind  protocol.Kind
	index int32 // in batches for Pub, Mpub and Dpub, else in answers
}

// topicBatch is what one round publishes to one topic.
type topicBatch struct {
	topic   *topic.Topic // nil when there is none, err says why
	records diskqueue.Batch
	err     error
}

var rounds = sync.Pool{New: func() any { return &round{ready: -1} }}

func takeRound() *round { return rounds.Get().(*round) }

func (r *round) give() {
	r.forget()
	r.out = r.out[:0]
	rounds.Put(r)
}

// forget drops what was gathered, but not the replies in out.
func (r *round) forget() {
	for i := range r.batches {
		b := &r.batches[i]
		b.records.Reset()
		b.topic, b.err = nil, nil
	}
	r.replies, r.batches, r.answers = r.replies[:0], r.batches[:0], r.answers[:0]
	r.bytes, r.ready = 0, -1
}

// full tells whether it is time to act on what was gathered.
func (r *round) full() bool {
	return r.bytes >= roundBytes || len(r.replies) >= roundReplies || len(r.batches) >= roundTopics
}

// addAnswer gathers a Fin, Req or Touch.
func (r *round) addAnswer(cmd *protocol.Command, op channel.AnswerOp) {
	r.replies = append(r.replies, reply{kind: cmd.Kind, index: int32(len(r.answers))})
	r.answers = append(r.answers, channel.Answer{Op: op, ID: cmd.ID, Delay: cmd.Delay})
}

// addPublish gathers a Pub, Mpub or Dpub for the batch with the given index.
// now is the wall clock in ns.
func (r *round) addPublish(cmd *protocol.Command, index int, now int64) {
	r.replies = append(r.replies, reply{kind: cmd.Kind, index: int32(index)})
	records := &r.batches[index].records
	before := records.Bytes()
	if cmd.Kind == protocol.Mpub {
		addMulti(records, cmd.Messages, now)
	} else {
		records.Add(message.Meta{Timestamp: now, DeliverAt: deliverAt(now, cmd.Delay)}, cmd.Body)
	}
	r.bytes += records.Bytes() - before
}

// addMulti adds the messages of one MPUB, all or nothing.
func addMulti(records *diskqueue.Batch, messages protocol.Messages, now int64) {
	records.BeginMulti()
	for body, ok := messages.Next(); ok; body, ok = messages.Next() {
		records.Add(message.Meta{Timestamp: now}, body)
	}
	records.EndMulti()
}

// batchOf finds the batch of a topic that this round has published to already.
func (r *round) batchOf(name []byte) (index int, ok bool) {
	for i := len(r.batches) - 1; i >= 0; i-- {
		if b := &r.batches[i]; b.topic != nil && b.topic.Name() == string(name) {
			return i, true
		}
	}
	return 0, false
}

// addBatch starts a batch; t is nil when the topic cannot be had, for which err
// is the reason.
func (r *round) addBatch(t *topic.Topic, err error) (index int) {
	if len(r.batches) < cap(r.batches) {
		r.batches = r.batches[:len(r.batches)+1] // with the memory of an earlier round
	} else {
		r.batches = append(r.batches, topicBatch{})
	}
	index = len(r.batches) - 1
	b := &r.batches[index]
	b.topic, b.err = t, err
	return index
}

// appendReplies appends the frames that the round owes, in command order.
func (r *round) appendReplies() {
	for _, p := range r.replies {
		switch p.kind {
		case protocol.Pub, protocol.Mpub, protocol.Dpub:
			if err := r.batches[p.index].err; err != nil {
				r.out = protocol.AppendError(r.out, protocol.PublishFailed(p.kind, publishReason(err)))
			} else {
				r.out = append(r.out, protocol.OKFrame...)
			}
		default:
			if a := &r.answers[p.index]; a.Err != nil {
				r.out = protocol.AppendError(r.out, protocol.AnswerFailed(p.kind, a.ID, a.Err.Error()))
			}
		}
	}
	r.replies = r.replies[:0]
}
