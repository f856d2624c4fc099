package broker

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/topic"
)

// Publisher finds or makes the topic of that name for a client that publishes to it.
// The name must be valid. The error is also topic.ErrNoAutoCreate or a
// *topic.LimitError.
func (b *Broker) Publisher(name string) (Publisher, error) {
	if r := b.replicas(name); r != nil {
		p, err := r.Publisher(name, !b.o.NoAutoCreate)
		return p, b.refused.note(err)
	}
	if t, ok := b.Existing(name); ok {
		return t, nil
	}
	if err := b.door.refusalOfNew(); err != nil {
		return nil, b.refused.note(err) // it would make a topic for nothing
	}
	t, err := b.TopicForClient(name)
	if err != nil {
		return nil, b.refused.note(err)
	}
	return t, nil
}

// Publish stores records that a client publishes in a topic or, when it has just been
// deleted, in the new topic of that name, which it returns. The error is also
// ErrDraining, a *SpaceError or a *topic.FullError.
func (b *Broker) Publish(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	err := b.door.refusal(p)
	switch {
	case err == nil:
		p, err = b.store(p, records, Publisher.Publish)
	case repeats(p, records, err):
		return p, nil
	}
	return p, b.refused.note(err)
}

// repeats says of a publish that is refused, for there is too little room, that it needs none:
// all of it is stored.
func repeats(p Publisher, records *diskqueue.Batch, refused error) bool {
	t, local := p.(*topic.Topic)
	var space *SpaceError
	return local && errors.As(refused, &space) && t.Repeats(records)
}

// PublishOwn is Publish for what the node publishes itself, such as dead letters: it goes
// on while the node is drained, and though the topic is full.
func (b *Broker) PublishOwn(p Publisher, records *diskqueue.Batch) (Publisher, error) {
	if err := b.door.refusalOfOwn(p); err != nil {
		return nil, err
	}
	return b.store(p, records, publishOwn)
}

func (b *Broker) store(p Publisher, records *diskqueue.Batch, publish func(Publisher, *diskqueue.Batch) error) (Publisher, error) {
	err := publish(p, records)
	if !errors.Is(err, channel.ErrExiting) {
		return p, err
	}
	if p, err = b.Publisher(p.Name()); err != nil {
		return nil, err
	}
	return p, publish(p, records)
}

// publishOwn has a topic take records though it is full; who leads a replicated one knows
// them by what they are.
func publishOwn(p Publisher, records *diskqueue.Batch) error {
	if t, ok := p.(*topic.Topic); ok {
		return t.PublishOwn(records)
	}
	return p.Publish(records)
}
