package broker

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
)

// Publisher finds or makes the topic of that name for a client that publishes to it.
// The name must be valid. The error is also topic.ErrNoAutoCreate or a
// *topic.LimitError.
func (b *Broker) Publisher(name string) (Publisher, error) {
	if r := b.replicas(name); r != nil {
		return r.Publisher(name, !b.o.NoAutoCreate)
	}
	t, err := b.TopicForClient(name)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Publish stores records in a topic or, when it has just been deleted, in the new
// topic of that name, which it returns.
func (b *Broker) Publish(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	err := p.Publish(records)
	if !errors.Is(err, channel.ErrExiting) {
		return p, err
	}
	if p, err = b.Publisher(p.Name()); err != nil {
		return nil, err
	}
	return p, p.Publish(records)
}
