package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/settings"
	"qmq/topic"
)

// publishDeadLetters stores dead letters in the topic of a name, which is made if need
// be. It is no client's publish: neither --auto-create nor a drain holds it up.
func (b *Broker) publishDeadLetters(name string, letters func(*topic.Stamp) *diskqueue.Batch) error {
	for again := false; ; again = true {
		p, err := b.ownPublisher(name)
		if err != nil {
			return err
		}
		_, err = b.PublishOwn(p, letters(p.Stamp()))
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

// errBeingDeleted refuses a dead-letter topic that is about to go.
var errBeingDeleted = errors.New("the dead-letter topic is being deleted")

// routeDeadLetters is topic.Common.RouteDeadLetters. Dead letters may not come back to
// their topic: they would go round for ever.
func (b *Broker) routeDeadLetters(topicName, channelName, to string) (done func(), err error) {
	b.routing.Lock()
	if way := b.wayOfDeadLetters(to, topicName, nil); way != nil {
		b.routing.Unlock()
		return nil, settings.Mistakes{fmt.Sprintf("dead_letter_topic must not lead back to the channel's topic: dead letters of %s/%s would go from %s to %s",
			topicName, channelName, topicName, strings.Join(way, " to "))}
	}
	if err := b.makeDeadLetterTopic(to); err != nil {
		b.routing.Unlock()
		return nil, err
	}
	return b.routing.Unlock, nil
}

// wayOfDeadLetters is over which topics dead letters may come from one topic to another,
// both included; nil when they do not. passed are topics before it on the way.
func (b *Broker) wayOfDeadLetters(from, to string, passed []string) []string {
	passed = append(slices.Clip(passed), from)
	if from == to {
		return passed
	}
	for _, next := range b.deadLetterTopics(from) {
		if slices.Contains(passed, next) {
			continue
		}
		if way := b.wayOfDeadLetters(next, to, passed); way != nil {
			return way
		}
	}
	return nil
}

// deadLetterTopics are those that dead letters of a topic's channels go to, of those to
// come too.
func (b *Broker) deadLetterTopics(name string) (list []string) {
	return append(b.common.Settings.DeadLetterTopics(name), b.deadLetterTopicsNow(name)...)
}

// deadLetterTopicsNow are those of the channels that there are.
func (b *Broker) deadLetterTopicsNow(name string) (list []string) {
	if b.replicas(name) == nil {
		if t, ok := b.Existing(name); ok {
			list = t.DeadLetterTopics()
		}
		return list
	}
	r, _ := b.Replica(name)
	for i := range r.Channels {
		if _, inForce := b.ReplicaChannelConfig(&r, &r.Channels[i]); inForce.Effective().DeadLetterTopic != "" {
			list = append(list, inForce.Effective().DeadLetterTopic)
		}
	}
	return list
}

// makeDeadLetterTopic makes a topic if there is none of that name. A channel is about to
// be changed, for which others wait: it does not wait for a deletion.
func (b *Broker) makeDeadLetterTopic(name string) error {
	b.mu.Lock()
	s := b.topics[name]
	going := s != nil && s.gone != nil
	b.mu.Unlock()
	if going {
		return errBeingDeleted
	}
	_, err := b.ownPublisher(name)
	return err
}
