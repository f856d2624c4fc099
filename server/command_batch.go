package server

import (
	"fmt"
	"sync"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/tracing"
	"qmq/message"
	"qmq/protocol"
	"qmq/topic"
)

// Bounds of what a session gathers before it acts.
const (
	maxBatchBytes   = 1 << 20 // of records
	maxBatchReplies = 8192    // commands
	maxBatchTopics  = 64
)

// commandBatch is what the commands of one read buffer come to: one batch per topic,
// one list of answers to messages, the last RDY, and the replies in the order
// of the commands. They are pooled, so that a session that waits holds none.
type commandBatch struct {
	replies []reply
	topics  []topicBatch
	answers []channel.Answer
	refused []error // of publishes whose headers cannot be
	bytes   int     // of records
	ready   int64   // the last RDY; -1 when there was none
	out     []byte
}

// reply is what is owed to one command: after an answer nothing if it went
// well.
type reply struct {
	kind  protocol.Kind
	index int32 // in topics for what publishes, or less than 0: -1 less the place in refused; else in answers
}

// topicBatch is what one commandBatch publishes to one topic.
type topicBatch struct {
	topic   namedPublisher // without a Publisher when there is none, err says why
	stamp   *topic.Stamp   // of the topic when the batch was begun
	records diskqueue.Batch
	err     error

	wait     func() error // of what was started; else nil
	messages int          // of it

	traced []tracing.Span // of messages that are traced, see traces.stored
}

// namedPublisher is a topic, and its name, which is looked at for each message.
type namedPublisher struct {
	broker.Publisher
	name string
}

var commandBatches = sync.Pool{New: func() any { return &commandBatch{ready: -1} }}

func takeCommandBatch() *commandBatch { return commandBatches.Get().(*commandBatch) }

func (c *commandBatch) give() {
	c.forget()
	c.out = c.out[:0]
	commandBatches.Put(c)
}

// forget drops what was gathered, but not the replies in out.
func (c *commandBatch) forget() {
	for i := range c.topics {
		b := &c.topics[i]
		b.records.Reset()
		b.topic, b.stamp, b.err, b.wait, b.traced = namedPublisher{}, nil, nil, nil, nil
	}
	c.replies, c.topics, c.answers, c.refused = c.replies[:0], c.topics[:0], c.answers[:0], nil
	c.bytes, c.ready = 0, -1
}

// empty tells whether nothing was gathered.
func (c *commandBatch) empty() bool {
	return len(c.replies) == 0 && c.ready < 0
}

// full tells whether it is time to act on what was gathered.
func (c *commandBatch) full() bool {
	return c.bytes >= maxBatchBytes || len(c.replies) >= maxBatchReplies || len(c.topics) >= maxBatchTopics
}

// addAnswer gathers a Fin, Req or Touch.
func (c *commandBatch) addAnswer(cmd *protocol.Command, op channel.AnswerOp) {
	c.replies = append(c.replies, reply{kind: cmd.Kind, index: int32(len(c.answers))})
	c.answers = append(c.answers, channel.Answer{Op: op, ID: cmd.ID, Delay: cmd.Delay})
}

// addPublish gathers what a command publishes for the batch with the given index.
// now is the wall clock in ns. refused says that its headers cannot be.
func (c *commandBatch) addPublish(cmd *protocol.Command, index int, now int64) (refused bool) {
	b := &c.topics[index]
	before := b.records.Bytes()
	var err error
	switch cmd.Kind {
	case protocol.Mpub:
		b.addMulti(cmd.Messages, now)
	case protocol.Hpub:
		err = b.addDescribed(&message.Meta{Timestamp: now, DeliverAt: message.DueAt(now, cmd.Delay)}, cmd.Headers, cmd.Body)
	case protocol.Hmpub:
		err = b.addMultiDescribed(cmd.Messages, now)
	default:
		b.add(&message.Meta{Timestamp: now, DeliverAt: message.DueAt(now, cmd.Delay)}, cmd.Body)
	}
	c.bytes += b.records.Bytes() - before
	if err != nil {
		c.refused = append(c.refused, err)
		index = -len(c.refused)
	}
	c.replies = append(c.replies, reply{kind: cmd.Kind, index: int32(index)})
	return err != nil
}

// add adds a message with what its body says of it.
func (b *topicBatch) add(m *message.Meta, body []byte) {
	if b.stamp != nil {
		stamped := *m // the next message may be told of by the same m
		b.stamp.Apply(&stamped, body)
		m = &stamped
	}
	b.records.Add(m, body)
}

// addMulti adds the messages of one MPUB, all or nothing.
func (b *topicBatch) addMulti(messages protocol.Messages, now int64) {
	b.records.BeginMulti()
	m := message.Meta{Timestamp: now}
	for body, ok := messages.Next(); ok; body, ok = messages.Next() {
		b.add(&m, body)
	}
	b.records.EndMulti()
}

// addDescribed adds a message with headers, or says why they cannot be.
func (b *topicBatch) addDescribed(m *message.Meta, headers, body []byte) error {
	if len(headers) > 0 {
		if err := m.Describe(headers); err != nil {
			return err
		}
	}
	b.add(m, body)
	return nil
}

// addMultiDescribed adds the messages of one HMPUB, all or nothing.
func (b *topicBatch) addMultiDescribed(messages protocol.Messages, now int64) error {
	before := b.records.Len()
	b.records.BeginMulti()
	defer b.records.EndMulti()
	for headers, body, ok := messages.NextDescribed(); ok; headers, body, ok = messages.NextDescribed() {
		if err := b.addDescribed(&message.Meta{Timestamp: now}, headers, body); err != nil {
			err = fmt.Errorf("message %d: %w", b.records.Len()-before, err)
			b.records.Truncate(before)
			return err
		}
	}
	return nil
}

// batchOf finds the batch of a topic that was published to already.
func (c *commandBatch) batchOf(name []byte) (index int, ok bool) {
	for i := len(c.topics) - 1; i >= 0; i-- {
		if b := &c.topics[i]; b.topic.Publisher != nil && b.topic.name == string(name) {
			return i, true
		}
	}
	return 0, false
}

// addBatch starts a batch; t is empty when the topic cannot be had, for which err
// is the reason.
func (c *commandBatch) addBatch(t namedPublisher, err error) (index int) {
	if len(c.topics) < cap(c.topics) {
		c.topics = c.topics[:len(c.topics)+1] // with the memory of an earlier use
	} else {
		c.topics = append(c.topics, topicBatch{})
	}
	index = len(c.topics) - 1
	b := &c.topics[index]
	if b.topic, b.err = t, err; t.Publisher != nil {
		b.stamp = t.Stamp().Begin(&b.records)
	}
	return index
}

// appendReplies appends the frames that are owed, in command order.
func (c *commandBatch) appendReplies() {
	for _, p := range c.replies {
		switch p.kind {
		case protocol.Pub, protocol.Mpub, protocol.Dpub, protocol.Hpub, protocol.Hmpub:
			if err := c.errorOf(p); err != nil {
				c.out = protocol.AppendError(c.out, protocol.PublishFailed(p.kind, publishReason(err)))
			} else {
				c.out = append(c.out, protocol.OKFrame...)
			}
		default:
			if a := &c.answers[p.index]; a.Err != nil {
				c.out = protocol.AppendError(c.out, protocol.AnswerFailed(p.kind, a.ID, a.Err.Error()))
			}
		}
	}
	c.replies = c.replies[:0]
}

// errorOf is why what a command publishes was not stored; nil: it was.
func (c *commandBatch) errorOf(p reply) error {
	if p.index < 0 {
		return c.refused[-1-p.index]
	}
	return c.topics[p.index].err
}
