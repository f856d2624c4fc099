package server

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/budget"
	"qmq/internal/redact"
	"qmq/protocol"
)

// gatherPublish puts a Pub, Mpub or Dpub into the batch of its topic.
// Its error ends the connection.
func (s *session) gatherPublish(c *commandBatch, cmd *protocol.Command, now int64) error {
	var need diskqueue.Need
	if cmd.Kind == protocol.Mpub && cmd.Count > minMany {
		if need = needOf(cmd.Messages); need.Memory() > budget.FreeBatch {
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
func (s *session) topicFor(name []byte) (namedPublisher, error) {
	if s.lastTopic.Publisher != nil && s.lastTopic.name == string(name) {
		return s.lastTopic, nil
	}
	p, err := s.tcp.broker.Publisher(string(name))
	if err != nil {
		return namedPublisher{}, err
	}
	s.lastTopic = namedPublisher{p, p.Name()}
	return s.lastTopic, nil
}

// publish stores what was gathered for each topic, one after the
// other, and keeps what came of each.
func (s *session) publish(c *commandBatch) {
	for i := range c.topics {
		b := &c.topics[i]
		if b.topic.Publisher == nil {
			continue
		}
		p, err := s.tcp.broker.Publish(b.topic.Publisher, &b.records)
		if b.err = err; err != nil {
			s.lastTopic = namedPublisher{}
			continue
		}
		s.lastTopic = namedPublisher{p, b.topic.name}
		s.countPublished(b.topic.name, b.records.Len())
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

// publishReason is what a client is told about a refused publish.
func publishReason(err error) string {
	if errors.Is(err, channel.ErrExiting) {
		return channel.ErrExiting.Error()
	}
	return redact.Paths(err)
}
