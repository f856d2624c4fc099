package cluster

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"qmq/broker"
	"qmq/internal/names"
	"qmq/state"
	"qmq/topic"
)

// maxElsewhere is how long a topic that the set does not have waits until the directories
// have said which channels it has elsewhere.
const maxElsewhere = time.Second

// elsewhere is the topics for which this node asks the directories.
type elsewhere struct {
	mu     sync.Mutex
	asking map[string]*learning // by topic
}

// learning is a topic that is being made.
type learning struct {
	made chan struct{} // closed when it is, or is not
	err  error         // why not; set before
}

// createAsElsewhere makes a topic that the set does not have with the channels that the
// directories know, before anything is published to it through this node. Where they know
// none, or do not answer in time, whoever asks makes the topic as ever. Whoever wants
// the same topic through this node meanwhile waits too. The error is why the topic cannot be
// made, and is for clients.
func (r *run) createAsElsewhere(name string) error {
	if r.s.h.Elsewhere == nil || r.knowsTopic(name) {
		return nil
	}
	e := &r.elsewhere
	e.mu.Lock()
	l, busy := e.asking[name]
	if !busy {
		l = &learning{made: make(chan struct{})}
		if e.asking == nil {
			e.asking = make(map[string]*learning)
		}
		e.asking[name] = l
	}
	e.mu.Unlock()
	if busy {
		<-l.made // which the end of r's context ends too
		return l.err
	}
	l.err = r.askElsewhere(name)
	e.mu.Lock()
	delete(e.asking, name)
	e.mu.Unlock()
	close(l.made)
	return l.err
}

// knowsTopic tells whether this member knows a topic of that name.
func (r *run) knowsTopic(name string) bool {
	_, there := r.machines[shardOf(name)].Incarnation(name)
	return there
}

// askElsewhere asks for a topic, and makes what is known.
func (r *run) askElsewhere(name string) error {
	ctx, cancel := context.WithTimeout(r.ctx, maxElsewhere)
	defer cancel()
	channels, paused, err := r.s.h.Elsewhere(ctx, name)
	if err != nil {
		r.lacks(name, err)
		return nil
	}
	maps.DeleteFunc(channels, func(channel string, _ bool) bool { return !names.Valid(channel) || names.IsEphemeral(channel) })
	if len(channels) == 0 && !paused {
		return nil
	}
	if err := r.change(broker.Change{Op: state.CreateTopic, Topic: name}); err != nil {
		return err
	}
	if err := r.makeChannels(name, channels, paused); err != nil {
		r.lacks(name, err)
	}
	return nil
}

func (r *run) lacks(name string, err error) {
	r.s.o.Logger.Warn("a new topic may lack channels that lookup directories know", slog.String("topic", name), slog.Any("error", err))
}

// makeChannels makes the channels of a topic that was just made; true is of those that are
// paused. What is published meanwhile through a member that did not ask goes to those that
// are made by then, or to the first one.
func (r *run) makeChannels(name string, channels map[string]bool, paused bool) error {
	var changes []broker.Change
	if paused {
		changes = append(changes, broker.Change{Op: state.PauseTopic, Topic: name})
	}
	for _, channel := range slices.Sorted(maps.Keys(channels)) {
		changes = append(changes, broker.Change{Op: state.CreateChannel, Topic: name, Channel: channel})
		if channels[channel] {
			changes = append(changes, broker.Change{Op: state.PauseChannel, Topic: name, Channel: channel})
		}
	}
	for _, c := range changes {
		var limit *topic.LimitError
		if err := r.change(c); errors.As(err, &limit) {
			r.lacks(name, err) // what is paused may be among the others
		} else if err != nil {
			return err
		}
	}
	return nil
}
