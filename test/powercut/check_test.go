package powercut

import (
	"sync"
	"testing"
	"time"

	"qmq/test/process"
)

// check compares what a node has after a cut with what was promised. What was
// promised after the deadline may be lost; a zero deadline forgives nothing.
func (l *ledger) check(t *testing.T, n *node, deadline time.Time) {
	t.Helper()
	s := n.stats()
	if damaged(s.Damage) {
		t.Errorf("power was lost, and there is damage: %v", s.Damage)
	}
	n.healthy()
	lost := func(promised time.Time) bool { return !deadline.IsZero() && promised.After(deadline) }
	there := s.left()
	for name, topic := range l.topics {
		channels, ok := there[name]
		switch {
		case topic.doubt || lost(topic.made) || lost(topic.deleted):
			l.adopt(name, ok)
		case topic.deleted.IsZero() != ok:
			t.Errorf("topic %s, made %v, deleted %v: there %v", name, topic.made, topic.deleted, ok)
		}
		if !ok {
			continue
		}
		for channel, c := range topic.channels {
			if _, ok := channels[channel]; ok {
				continue
			}
			if !topic.doubt && !lost(c.made) {
				t.Errorf("channel %s of %s, made %v, is gone", channel, name, c.made)
			}
			delete(topic.channels, channel)
		}
		for channel := range channels {
			l.checkChannel(t, n, name, channel, lost)
		}
		topic.doubt = false
	}
}

// adopt takes a topic as it was found, of which either was right.
func (l *ledger) adopt(name string, there bool) {
	topic := l.topics[name]
	topic.deleted = time.Time{}
	if !there {
		topic.deleted, topic.doubt = time.Now(), false
		clear(topic.channels)
	}
}

// checkChannel takes all that a channel has.
func (l *ledger) checkChannel(t *testing.T, n *node, name, channel string, lost func(time.Time) bool) {
	t.Helper()
	topic := l.topics[name]
	c := topic.channels[channel]
	if c == nil { // its creation was never answered, or it is that of an earlier life
		c = &channelLedger{made: time.Now(), owed: make(map[string]time.Time), finished: make(map[string]bool)}
		topic.channels[channel] = c
	}
	got := l.drain(t, n, name, channel)
	for body := range got {
		of, life, ok := lifeOf(body)
		if !ok || of != name {
			t.Errorf("%s/%s: a message that nobody published: %.60q", name, channel, body)
		}
		if life != topic.life && !topic.doubt && !lost(topic.made) {
			t.Errorf("%s/%s: a message of life %d in life %d", name, channel, life, topic.life)
		}
	}
	for body, promised := range c.owed {
		if !got[body] && !c.finished[body] && !lost(promised) && !topic.doubt && !lost(c.made) {
			t.Errorf("%s/%s: lost, OK'd %v: %.40q", name, channel, promised, body)
		}
	}
	clear(c.owed)
}

// drain takes and finishes what a channel has.
func (l *ledger) drain(t *testing.T, n *node, name, channel string) map[string]bool {
	t.Helper()
	left := func() int { s := n.stats(); return s.left()[name][channel] }
	got := make(map[string]bool)
	if left() == 0 {
		return got
	}
	var mu sync.Mutex
	w := &load{t: t, n: n, l: l}
	c := w.consumer(name, channel, func(body string) {
		mu.Lock()
		defer mu.Unlock()
		got[body] = true
	})
	process.Eventually(t, name+"/"+channel+" becomes empty", func() bool { return left() == 0 })
	c.Stop()
	<-c.StopChan
	return got
}
