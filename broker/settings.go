package broker

import (
	"slices"

	"qmq/settings"
	"qmq/topic"
)

// TopicConfig is what is set of a topic, and all that is in force. The error is
// ErrNoTopic or why the topic is not served.
func (b *Broker) TopicConfig(name string) (set, inForce settings.Topic, err error) {
	if r := b.replicas(name); r != nil {
		t, ok := r.Topic(name)
		if !ok {
			return set, inForce, ErrNoTopic
		}
		set, inForce = b.ReplicaConfig(&t)
		return set, inForce, nil
	}
	t, err := b.existing(name)
	if err != nil {
		return set, inForce, err
	}
	set, inForce = t.Config()
	return set, inForce, nil
}

// TopicPatterns is which pattern of the node's options says what is in force of a topic,
// by the names of the settings of which one does.
func (b *Broker) TopicPatterns(name string, set, inForce settings.Topic) map[string]string {
	return b.o.Settings.TopicPatterns(name, set, inForce)
}

// ChannelPatterns is TopicPatterns of a channel.
func (b *Broker) ChannelPatterns(topicName, name string, set, inForce settings.Channel) map[string]string {
	return b.o.Settings.ChannelPatterns(topicName, name, set, inForce)
}

// UnmetSettings is what patterns ask for of a topic that is replicated, and is not in
// force for that.
func (b *Broker) UnmetSettings(name string) []string {
	if b.replicas(name) == nil {
		return nil
	}
	return b.common.ReplicaUnmet(name)
}

// tellUnmet tells, at the start of a member of a set, what patterns ask for and replicated
// topics do not get.
func (b *Broker) tellUnmet() {
	if b.o.Replicas == nil {
		return
	}
	for _, text := range b.common.ReplicasUnmet() {
		b.o.Logger.Warn("replicated topics do not have a setting that a pattern asks for", "error", text)
	}
}

// ChannelConfig is what is set of a channel, and all that is in force. The error is
// ErrNoTopic, topic.ErrNoChannel or why the topic is not served.
func (b *Broker) ChannelConfig(topicName, name string) (set, inForce settings.Channel, err error) {
	if r := b.replicas(topicName); r != nil {
		t, ok := r.Topic(topicName)
		if !ok {
			return set, inForce, ErrNoTopic
		}
		i := slices.IndexFunc(t.Channels, func(c ReplicaChannel) bool { return c.Name == name })
		if i < 0 {
			return set, inForce, topic.ErrNoChannel
		}
		set, inForce = b.ReplicaChannelConfig(&t, &t.Channels[i])
		return set, inForce, nil
	}
	t, err := b.existing(topicName)
	if err != nil {
		return set, inForce, err
	}
	return t.ChannelConfig(name)
}

// ReplicaConfig is what is set of a replicated topic, and what is in force where this
// node serves it.
func (b *Broker) ReplicaConfig(r *Replica) (set, inForce settings.Topic) {
	set, _ = settings.ParseTopic(r.Settings) // what it does not know is told where it is served
	return set, b.common.ReplicaSettings(r.Name, set)
}

// ReplicaChannelConfig is ReplicaConfig of a channel of r.
func (b *Broker) ReplicaChannelConfig(r *Replica, c *ReplicaChannel) (set, inForce settings.Channel) {
	set, _ = settings.ParseChannel(c.Settings)
	return set, b.common.ChannelSettings(r.Name, c.Name, set)
}
