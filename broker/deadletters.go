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

// publishDeadLetters stores dead letters of a channel in the topic of a name, which is made
// if need be. It is no client's publish: neither --auto-create nor a drain holds it up.
func (b *Broker) publishDeadLetters(topicName, channelName, name string, letters func(*topic.Stamp) *diskqueue.Batch) error {
	if err := b.refuseRound(topicName, channelName, name); err != nil {
		return err
	}
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
	if way := wayOfDeadLetters(b.deadLetterTopics, to, topicName, nil); way != nil {
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
// both included; nil when they do not. next is where those of a topic may go, passed are
// topics before it on the way.
func wayOfDeadLetters(next func(topic string) []string, from, to string, passed []string) []string {
	passed = append(slices.Clip(passed), from)
	if from == to {
		return passed
	}
	for _, name := range next(from) {
		if slices.Contains(passed, name) {
			continue
		}
		if way := wayOfDeadLetters(next, name, to, passed); way != nil {
			return way
		}
	}
	return nil
}

// refuseRound says why dead letters of a channel stay in it: they would come back to their
// topic. So it is where a pattern that is newer than what was set at run time closes the
// round, or one that a member of a set has alone. What was set goes on then, and what the
// pattern says does not.
func (b *Broker) refuseRound(topicName, channelName, to string) error {
	way := wayOfDeadLetters(b.deadLetterTopics, to, topicName, nil)
	if way == nil {
		return nil
	}
	set, _, err := b.ChannelConfig(topicName, channelName)
	if err == nil && set.DeadLetterTopic != nil && wayOfDeadLetters(b.deadLetterTopicsSet, to, topicName, nil) == nil {
		return nil
	}
	return fmt.Errorf("dead letters would go round for ever, from %s to %s: set another dead_letter_topic of one of them, or none", topicName, strings.Join(way, " to "))
}

// tellRounds tells at the start which channels keep their dead letters for that.
func (b *Broker) tellRounds() {
	for _, t := range b.Topics() {
		for _, c := range t.Channels() {
			_, inForce, err := t.ChannelConfig(c.Name())
			to := inForce.Effective().DeadLetterTopic
			if err != nil || to == "" {
				continue
			}
			if err := b.refuseRound(t.Name(), c.Name(), to); err != nil {
				b.o.Logger.Error("a channel keeps what it gives up", "topic", t.Name(), "channel", c.Name(), "error", err)
			}
		}
	}
}

// deadLetterTopics are those that dead letters of a topic's channels go to, of those to
// come too.
func (b *Broker) deadLetterTopics(name string) (list []string) {
	return append(b.common.Settings.DeadLetterTopics(name), b.deadLetterTopicsNow(name)...)
}

// deadLetterTopicsNow are those of the channels that there are.
func (b *Broker) deadLetterTopicsNow(name string) (list []string) {
	b.eachChannelConfig(name, func(_, inForce settings.Channel) {
		if to := inForce.Effective().DeadLetterTopic; to != "" {
			list = append(list, to)
		}
	})
	return list
}

// deadLetterTopicsSet are those that were set of channels by their names.
func (b *Broker) deadLetterTopicsSet(name string) (list []string) {
	b.eachChannelConfig(name, func(set, inForce settings.Channel) {
		if to := inForce.Effective().DeadLetterTopic; to != "" && set.DeadLetterTopic != nil {
			list = append(list, to)
		}
	})
	return list
}

// eachChannelConfig calls f for the channels that a topic has, if there is one.
func (b *Broker) eachChannelConfig(name string, f func(set, inForce settings.Channel)) {
	if b.replicas(name) != nil {
		r, _ := b.Replica(name)
		for i := range r.Channels {
			f(b.ReplicaChannelConfig(&r, &r.Channels[i]))
		}
		return
	}
	t, ok := b.Existing(name)
	if !ok {
		return
	}
	for _, c := range t.Channels() {
		if set, inForce, err := t.ChannelConfig(c.Name()); err == nil {
			f(set, inForce)
		}
	}
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
