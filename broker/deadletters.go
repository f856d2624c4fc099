package broker

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
)

// publishDeadLetters stores dead letters in the topic of a name, which is made if need
// be. It is no client's publish: neither --auto-create nor a drain holds it up.
func (b *Broker) publishDeadLetters(name string, letters *diskqueue.Batch) error {
	for again := false; ; again = true {
		p, err := b.ownPublisher(name)
		if err != nil {
			return err
		}
		_, err = b.PublishOwn(p, letters)
		if again || !errors.Is(err, channel.ErrExiting) { // else it was deleted: into the next one of that name
			return err
		}
	}
}

// ownPublisher finds or makes a topic for what the node publishes itself.
func (b *Broker) ownPublisher(name string) (Publisher, error) {
	if r := b.replicas(name); r != nil {
		return r.Publisher(name, true)
	}
	t, err := b.Topic(name)
	if err != nil {
		return nil, err
	}
	return t, nil
}
