package server

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/diskqueue"
	"qmq/protocol"
	"qmq/topic"
)

// slow is a topic that nobody serves.
type slow string

var errNoLeader = errors.New("no leader")

func (s slow) Name() string { return string(s) }

func (s slow) Stamp() *topic.Stamp { return nil }

func (s slow) Publish(*diskqueue.Batch) error {
	time.Sleep(5 * time.Second)
	return errNoLeader
}

// TestPublishesToTopicsWithoutALeaderWaitTogether when one client sends them at once.
func TestPublishesToTopicsWithoutALeaderWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{tcp: &TCP{broker: new(broker.Broker)}}
		c := takeCommandBatch()
		for _, name := range []string{"a", "b", "c"} {
			index := c.addBatch(namedPublisher{slow(name), name}, nil)
			c.addPublish(&protocol.Command{Kind: protocol.Pub, Body: []byte("x")}, index, 1)
		}
		began := time.Now()
		s.publish(c)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		c.appendReplies()
		if n := strings.Count(string(c.out), "E_PUB_FAILED PUB failed no leader"); n != 3 {
			t.Errorf("%q", c.out)
		}
	})
}
