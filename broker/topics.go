package broker

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/state"
	"qmq/topic"
)

// listing is a topic by name, while it is made, lives and is deleted.
type listing struct {
	topic       *topic.Topic // nil while it is made, and of one that cannot be opened
	incarnation uint64
	// unopened is what is known of a topic that cannot be opened, err why. Should
	// it be opened later, another listing takes the place.
	unopened *state.Topic
	err      error
	made     sync.WaitGroup // until topic or err is set
	gone     chan struct{}  // closed when the name is free again
	// deleting serialises what would end the topic. It is taken before
	// Broker.mu and held across the journal's write.
	deleting sync.Mutex
}

// TopicForClient is Topic for a client that wants to publish or consume. The
// error is also topic.ErrNoAutoCreate.
func (b *Broker) TopicForClient(name string) (*topic.Topic, error) {
	if !b.o.NoAutoCreate {
		return b.Topic(name)
	}
	if t, ok := b.Existing(name); ok {
		return t, nil
	}
	return nil, topic.ErrNoAutoCreate
}

// Topic returns the topic of that name, creating it if need be. It returns
// once the creation is journalled. The name must be valid. The error is also a
// *topic.LimitError.
func (b *Broker) Topic(name string) (*topic.Topic, error) {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return nil, channel.ErrExiting
		}
		s, ok := b.topics[name]
		if limit := b.o.MaxTopics; !ok && limit > 0 && len(b.topics) >= limit {
			b.mu.Unlock()
			return nil, &topic.LimitError{What: "topics of this node", Max: limit, Option: "--max-topics"}
		}
		if !ok {
			name = strings.Clone(name) // it may be a part of a whole request
			s = &listing{}
			s.made.Add(1)
			b.topics[name] = s
		}
		gone := s.gone
		b.mu.Unlock()
		switch {
		case !ok:
			return b.create(name, s)
		case gone != nil:
			<-gone
		default:
			s.made.Wait()
			return s.topic, s.err
		}
	}
}

func (b *Broker) create(name string, s *listing) (*topic.Topic, error) {
	held := b.o.Directory != nil && !b.o.Directory.Alone()
	t, entry, err := b.newTopic(name, held)
	if err == nil {
		err = b.change(entry, func() { b.topicReady(t, s, held) }, t.Discard)
	}
	if err != nil {
		t = nil
		b.mu.Lock()
		s.err = err
		delete(b.topics, name)
		b.mu.Unlock()
	}
	s.made.Done()
	if err == nil && t.Ephemeral() {
		b.watchUnclaimed()
	}
	return t, err
}

// newTopic makes a topic and the entry that makes it known.
func (b *Broker) newTopic(name string, held bool) (*topic.Topic, state.Entry, error) {
	ephemeral := names.IsEphemeral(name)
	o := b.topicOptions(name, b.newIncarnation(), ephemeral)
	o.Held = held
	var err error
	if o.Log, err = b.openLog(o, known{}); err != nil {
		return nil, state.Entry{}, err
	}
	t := topic.New(o)
	if ephemeral {
		return t, state.Entry{}, nil
	}
	return t, state.Entry{Op: state.CreateTopic, Topic: o.Incarnation, Name: name, FanOut: o.Log.End(), Unlearnt: held}, nil
}

// topicReady lets everybody find a topic whose creation is journalled.
func (b *Broker) topicReady(t *topic.Topic, s *listing, held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.topic, s.incarnation = t, t.Incarnation()
	b.register(t, "") // before anybody can make a channel
	if held {
		b.startLearning(t)
	}
}

// Existing finds the topic of that name.
func (b *Broker) Existing(name string) (*topic.Topic, bool) {
	b.mu.Lock()
	s, ok := b.topics[name]
	ok = ok && s.gone == nil
	b.mu.Unlock()
	if !ok {
		return nil, false
	}
	s.made.Wait()
	return s.topic, s.err == nil
}

// Topics lists the topics, sorted by name.
func (b *Broker) Topics() []*topic.Topic {
	b.mu.Lock()
	list := make([]*topic.Topic, 0, len(b.topics))
	for _, s := range b.topics {
		if s.topic != nil && s.gone == nil {
			list = append(list, s.topic)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(list, func(x, y *topic.Topic) int { return strings.Compare(x.Name(), y.Name()) })
	return list
}

// waitForListings waits for the topics that are being made or deleted: none begins to
// be any more.
func (b *Broker) waitForListings() {
	b.mu.Lock()
	listings := slices.Collect(maps.Values(b.topics))
	b.mu.Unlock()
	for _, s := range listings {
		s.made.Wait()
		s.deleting.Lock()
		//lint:ignore SA2001 the deletion that held it has ended
		s.deleting.Unlock()
	}
}
