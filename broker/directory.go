package broker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/state"
	"qmq/topic"
)

// Directory is where nodes tell one another which topics and channels they
// have.
type Directory interface {
	// Register and Unregister say that a topic, or a channel of it if channel
	// is not empty, came or went; with a topic go all its channels. The
	// incarnation is the topic's and tells it from an earlier one of its name.
	// They must not wait.
	Register(topic string, incarnation uint64, channel string)
	Unregister(topic string, incarnation uint64, channel string)
	// TakingChanged says that [Broker.Taking] may say something else. It is called with
	// locks held: it must not wait, nor call the broker.
	TakingChanged()
	// Alone says that there is nobody who could know other channels.
	Alone() bool
	// Elsewhere says which channels a topic has anywhere and whether each is
	// paused, and whether the topic itself is, until ctx is done. Unknown counts
	// as not paused. The error is that nobody could tell the channels: it will
	// be asked again.
	Elsewhere(ctx context.Context, topic string) (channels map[string]bool, paused bool, err error)
}

const (
	// maxHold is how long a new topic gives no message out while its
	// channels are asked for.
	maxHold = time.Second
	// maxQuestion is how long an answer is waited for that nothing waits
	// for.
	maxQuestion = 5 * time.Second
	// The pause before topics are asked for again doubles from the one to the
	// other.
	minLearnPause = 100 * time.Millisecond
	maxLearnPause = 15 * time.Second
)

func (b *Broker) register(t *topic.Topic, channel string) {
	if b.o.Directory != nil {
		b.o.Directory.Register(t.Name(), t.Incarnation(), channel)
	}
}

func (b *Broker) unregister(t *topic.Topic, channel string) {
	if b.o.Directory != nil {
		b.o.Directory.Unregister(t.Name(), t.Incarnation(), channel)
	}
}

// startLearning asks for the channels of a topic that is new to this node and
// held. The caller holds b.mu.
func (b *Broker) startLearning(t *topic.Topic) {
	if b.closed {
		return
	}
	b.background.Go(func() {
		err := b.learn(t, maxHold)
		t.Release()
		if err == nil {
			err = b.noteLearnt(t)
		}
		if err != nil {
			b.learnLater(t, err)
		}
	})
}

// learn makes the channels that a topic has elsewhere, as far as they become
// known within that time, and pauses what is paused there. The error is that it
// should be tried again.
func (b *Broker) learn(t *topic.Topic, within time.Duration) error {
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	channels, paused, err := b.o.Directory.Elsewhere(ctx, t.Name())
	if err != nil {
		return err
	}
	if paused {
		err = t.Pause()
	}
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		if err != nil {
			break
		}
		if !names.Valid(name) || names.IsEphemeral(name) {
			continue
		}
		err = b.learnChannel(t, name, channels[name])
	}
	return err
}

// learnChannel makes a channel that a topic has elsewhere, unless there may be
// none more here: to try that again would help nobody.
func (b *Broker) learnChannel(t *topic.Topic, name string, paused bool) error {
	err := topic.ErrNoAutoCreate
	switch {
	case b.o.NoAutoCreate:
		if _, ok := t.ExistingChannel(name); ok {
			return nil
		}
	case paused:
		err = t.LearnPaused(name)
	default:
		err = t.Learn(name)
	}
	var limit *topic.LimitError
	if err == topic.ErrNoAutoCreate || errors.As(err, &limit) {
		b.o.Logger.Warn("channel of a new topic not made", slog.String("topic", t.Name()), slog.String("channel", name), slog.Any("error", err))
		return nil
	}
	return err
}

// errNotLearnt is why a topic that was brought back is asked for.
var errNotLearnt = errors.New("the daemon stopped before")

// noteLearnt has a restart not ask for a topic again.
func (b *Broker) noteLearnt(t *topic.Topic) error {
	if t.Ephemeral() {
		return nil
	}
	return b.journal.Commit(state.Entry{Op: state.LearnTopic, Topic: t.Incarnation()})
}

// learnLater has a topic asked for again, unless it was deleted meanwhile.
func (b *Broker) learnLater(t *topic.Topic, reason error) {
	b.o.Logger.Debug("channels of new topic not learnt yet", slog.String("topic", t.Name()), slog.Any("error", reason))
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.topics[t.Name()]; b.closed || s == nil || s.topic != t {
		return
	}
	if b.unlearnt == nil {
		b.unlearnt = make(map[*topic.Topic]struct{})
		b.background.Go(b.learnRest)
	}
	b.unlearnt[t] = struct{}{}
}

// learnRest asks for topics until all are learnt. While nobody answers it asks
// for one at a time, with growing pauses.
func (b *Broker) learnRest() {
	for pause := minLearnPause; ; pause = min(2*pause, maxLearnPause) {
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(pause):
		}
		for answered := true; answered; {
			t := b.nextUnlearnt()
			if t == nil {
				return
			}
			err := b.learn(t, maxQuestion)
			if err == nil {
				err = b.noteLearnt(t)
			}
			if answered = err == nil || errors.Is(err, channel.ErrExiting); answered {
				b.mu.Lock()
				delete(b.unlearnt, t)
				b.mu.Unlock()
				pause = minLearnPause
			}
		}
	}
}

// nextUnlearnt picks a topic that is still to be asked for. It is nil when there
// is none: then the goroutine that asks has to end.
func (b *Broker) nextUnlearnt() *topic.Topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t := range b.unlearnt { // in no order: none keeps the others from their turn
		return t
	}
	b.unlearnt = nil
	return nil
}
