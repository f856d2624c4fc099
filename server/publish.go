package server

import (
	"errors"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/protocol"
	"qmq/topic"
)

// freeBatch is how much memory a batch may take without asking for it, bytes.
const freeBatch = 1 << 20

// gatherPublish puts a Pub, Mpub or Dpub into the batch of its topic.
// Its error ends the connection.
func (s *session) gatherPublish(c *commandBatch, cmd *protocol.Command, now int64) error {
	var need diskqueue.Need
	if cmd.Kind == protocol.Mpub && cmd.Count > minMany {
		if need = needOf(cmd.Messages); need.Memory() > freeBatch {
			if err := s.conn.In.Reserve(need.Memory()); err != nil {
				return err
			}
		}
	}
	index, ok := c.batchOf(cmd.Topic)
	if !ok {
		index = c.addBatch(s.topicFor(cmd.Topic))
	}
	c.topics[index].records.Grow(need)
	c.addPublish(cmd, index, now)
	return nil
}

// minMany is how many messages an MPUB has at least that is looked through
// for what it needs.
const minMany = 1024

// needOf is what the messages of an MPUB take in a batch.
func needOf(messages protocol.Messages) (n diskqueue.Need) {
	for body, ok := messages.Next(); ok; body, ok = messages.Next() {
		n.Count(body)
	}
	return n
}

// topicFor gets or creates a topic. Clients mostly publish to one, so the last
// one is remembered; should it have been deleted, Publish says so.
func (s *session) topicFor(name []byte) (*topic.Topic, error) {
	if s.lastTopic != nil && s.lastTopic.Name() == string(name) {
		return s.lastTopic, nil
	}
	t, err := s.tcp.broker.TopicForClient(string(name))
	if err != nil {
		return nil, err
	}
	s.lastTopic = t
	return t, nil
}

// publish stores what was gathered for each topic, one after the
// other, and keeps what came of each.
func (s *session) publish(c *commandBatch) {
	for i := range c.topics {
		b := &c.topics[i]
		if b.topic == nil {
			continue
		}
		t, err := publish(s.tcp.broker, b.topic, &b.records)
		if b.err = err; err != nil {
			s.lastTopic = nil
			continue
		}
		s.lastTopic = t
		s.countPublished(t.Name(), b.records.Len())
	}
}

// countPublished counts for /stats what the client published.
func (s *session) countPublished(name string, messages int) {
	s.mu.Lock()
	if s.published == nil {
		s.published = make(map[string]uint64, 1)
	}
	s.published[name] += uint64(messages)
	s.mu.Unlock()
}

// publish stores records in t or, when t has just been deleted, in the new
// topic of that name, which it returns.
func publish(b *broker.Broker, t *topic.Topic, records *diskqueue.Batch) (*topic.Topic, error) {
	err := t.Publish(records)
	if !errors.Is(err, channel.ErrExiting) {
		return t, err
	}
	if t, err = b.TopicForClient(t.Name()); err != nil {
		return nil, err
	}
	return t, t.Publish(records)
}

// publishReason is what a client is told about a refused publish.
func publishReason(err error) string {
	if errors.Is(err, channel.ErrExiting) {
		return channel.ErrExiting.Error()
	}
	return told(err)
}

// deliverAt is when a message published now (wall clock, ns) with a delay is
// due, in ms since 1970, rounded up so that it is never early; 0 without a delay.
func deliverAt(now int64, delay time.Duration) int64 {
	if delay <= 0 {
		return 0
	}
	const ms = int64(time.Millisecond)
	return (now + int64(delay) + ms - 1) / ms
}
