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
	if t, ok := b.Existing(name); ok {
		return t, nil
	}
	if err := b.door.refusalOfNew(); err != nil {
		return nil, err // it would make a topic for nothing
	}
	t, err := b.TopicForClient(name)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Publish stores records that a client publishes in a topic or, when it has just been
// deleted, in the new topic of that name, which it returns. The error is also
// ErrDraining or a *SpaceError.
func (b *Broker) Publish(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	if err := b.door.refusal(p); err != nil {
		return nil, err
	}
	return b.store(p, records)
}

// PublishOwn is Publish for what the node publishes itself, such as dead letters: it goes
// on while the node is drained.
func (b *Broker) PublishOwn(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	if err := b.door.refusalOfOwn(p); err != nil {
		return nil, err
	}
	return b.store(p, records)
}

func (b *Broker) store(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	err := p.Publish(records)
	if !errors.Is(err, channel.ErrExiting) {
		return p, err
	}
	if p, err = b.Publisher(p.Name()); err != nil {
		return nil, err
	}
	return p, p.Publish(records)
}
