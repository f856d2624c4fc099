package broker

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/topic"
)

// Publish stores records in t or, when t has just been deleted, in the new topic
// of that name, which it returns.
func (b *Broker) Publish(t *topic.Topic, records *diskqueue.Batch) (*topic.Topic, error) {
	err := t.Publish(records)
	if !errors.Is(err, channel.ErrExiting) {
		return t, err
	}
	if t, err = b.TopicForClient(t.Name()); err != nil {
		return nil, err
	}
	return t, t.Publish(records)
}
