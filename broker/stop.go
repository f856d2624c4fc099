package broker

import (
	"errors"
	"time"

	"qmq/state"
	"qmq/topic"
)

const (
	// maxStopping is how many logs are brought to disk at a time: the disk
	// makes one write of what comes together.
	maxStopping = 64
	// stopWithin is how long each part of a stop waits for the disk: for what is
	// under way, for the last syncs, and for removals.
	stopWithin = 2 * time.Second
	// stopReport is how often a stop says what it waits for.
	stopReport = time.Second
)

// stopping is the end of a broker: what has to wait for the disk waits side by
// side and for a bounded time, and what is waited for is said.
type stopping struct {
	b *Broker
	// topics are those that do not hang. The others are left to themselves: they
	// may have the disk for as long as the process lives.
	topics []*topic.Topic
}

// stopTopics ends what is under way in the topics and tells the journal what it
// has to know of them.
func (s *stopping) stopTopics() error {
	all := s.topics
	for _, t := range all {
		t.Refuse() // all, before the first is waited for
	}
	s.each("writes and syncs under way", func(t *topic.Topic) error {
		return t.Stop()
	})
	var positions []state.Entry
	for _, t := range all {
		if e, needed := t.FanOutEntry(); needed {
			positions = append(positions, e)
		}
	}
	return s.b.journal.Commit(positions...)
}

// closeLogs syncs and closes the logs.
func (s *stopping) closeLogs() error { return s.each("logs to be synced", (*topic.Topic).Close) }

// within waits until f returns, for so long.
func (s *stopping) within(what string, f func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		f()
	}()
	timeout := time.NewTimer(stopWithin)
	defer timeout.Stop()
	select {
	case <-over:
	case <-timeout.C:
		s.b.o.Logger.Warn("stopping without waiting any longer: the next start goes on with it", "for", what)
	}
}

// stopResult is how f ended for a topic.
type stopResult struct {
	topic *topic.Topic
	err   error
}

// each calls f for all topics, side by side, and joins their errors. Topics that
// are not done in time are left to themselves and not asked again.
func (s *stopping) each(what string, f func(*topic.Topic) error) error {
	waiting := make(map[*topic.Topic]struct{}, len(s.topics))
	for _, t := range s.topics {
		waiting[t] = struct{}{}
	}
	todo, results := sideBySide(s.topics, f)
	s.topics = nil
	timeout, report := time.NewTimer(stopWithin), time.NewTicker(stopReport)
	defer timeout.Stop()
	defer report.Stop()
	var errs []error
	for len(waiting) > 0 {
		select {
		case r := <-results:
			delete(waiting, r.topic)
			s.topics = append(s.topics, r.topic)
			errs = append(errs, r.err)
		case <-report.C:
			s.b.o.Logger.Info("stopping: waiting for the disk", "for", what, "topics", len(waiting), "one", oneOf(waiting))
		case <-timeout.C:
			for range todo { // nor are the others begun with any more
			}
			s.b.o.Logger.Warn("stopping without waiting any longer: what is written and not synced is lost if the machine loses its power",
				"for", what, "topics", len(waiting), "one", oneOf(waiting))
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

// sideBySide calls f for all topics, maxStopping at a time. todo is what it has
// not begun with; results has room for all, so that nobody has to wait for them.
func sideBySide(topics []*topic.Topic, f func(*topic.Topic) error) (<-chan *topic.Topic, <-chan stopResult) {
	todo := make(chan *topic.Topic, len(topics))
	results := make(chan stopResult, len(topics))
	for _, t := range topics {
		todo <- t
	}
	close(todo)
	for range min(maxStopping, len(topics)) {
		go func() {
			for t := range todo {
				results <- stopResult{t, f(t)}
			}
		}()
	}
	return todo, results
}

func oneOf(topics map[*topic.Topic]struct{}) string {
	for t := range topics {
		return t.Name()
	}
	return ""
}
