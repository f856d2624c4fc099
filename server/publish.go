package server

import (
	"errors"
	"sync"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/budget"
	"qmq/internal/redact"
	"qmq/protocol"
	"qmq/topic"
)

// gatherPublish puts what a command publishes into the batch of its topic.
// Its error ends the connection.
func (s *session) gatherPublish(c *commandBatch, cmd *protocol.Command, now int64) error {
	var need diskqueue.Need
	if cmd.Count > minMany {
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
	if refused := c.addPublish(cmd, index, now); s.traces != nil && !refused {
		c.topics[index].published(cmd, s.remote)
	}
	return nil
}

// minMany is how many messages an MPUB has at least that is looked through
// for what it needs.
const minMany = 1024

// needOf is what the messages of an MPUB take in a batch.
func needOf(messages protocol.Messages) (n diskqueue.Need) {
	for headers, body, ok := messages.NextDescribed(); ok; headers, body, ok = messages.NextDescribed() {
		n.Count(body)
		n.CountHeaders(headers)
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

// publish stores what was gathered for each topic, and keeps what came of each.
func (s *session) publish(c *commandBatch) {
	if len(c.topics) > 1 && c.waitsForOthers() {
		s.publishTogether(c)
	} else {
		for i := range c.topics {
			c.topics[i].store(s.tcp.broker)
		}
	}
	for i := range c.topics {
		if s.traces != nil {
			s.traces.stored(&c.topics[i])
		}
		switch b := &c.topics[i]; {
		case b.topic.Publisher == nil:
		case b.err != nil:
			s.lastTopic = namedPublisher{}
		default:
			s.lastTopic = b.topic
			s.countPublished(b.topic.name, b.records.Len())
		}
	}
}

// publishTogether is publish for topics that other nodes have too: who waits for
// them waits for all at once, however long that takes.
func (s *session) publishTogether(c *commandBatch) {
	var waiting sync.WaitGroup
	for i := range c.topics {
		waiting.Go(func() { c.topics[i].store(s.tcp.broker) })
	}
	waiting.Wait()
}

// waitsForOthers tells whether a topic is not this node's alone.
func (c *commandBatch) waitsForOthers() bool {
	for i := range c.topics {
		if _, local := c.topics[i].topic.Publisher.(*topic.Topic); !local && c.topics[i].topic.Publisher != nil {
			return true
		}
	}
	return false
}

// store publishes the batch, and keeps what came of it.
func (b *topicBatch) store(to *broker.Broker) {
	if b.topic.Publisher == nil {
		return
	}
	p, err := to.Publish(b.topic.Publisher, &b.records)
	if b.err = err; err == nil {
		b.topic.Publisher = p
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
