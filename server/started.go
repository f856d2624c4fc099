package server

import (
	"sync"

	"qmq/broker"
)

// A publish to a topic that other nodes have too takes several ways over the network.
// Where a client sends the next ones meanwhile they are started, too: so those of one
// client share an entry as those of many do. Each is answered in its turn, and all
// of them before anything else that the client asks for is done.

// started is what is under way of a session's publishes.
type started struct {
	mu      sync.Mutex      // guards what follows; it is held across no wait but its own
	changed sync.Cond       // signalled when something was answered
	batches []*commandBatch // not answered, in order; one that is waited for is the first
	bytes   int             // of their records
	refused bool            // something was not stored: its topic is to be found anew
	failed  error           // of the connection
}

// maxStarted is how many batches of a session are under way. Where they are small, the
// more comes together in the next.
const maxStarted = 32

// onlyStarts tells whether the batch is publishes alone, all of which can be started.
func (c *commandBatch) onlyStarts() bool {
	if len(c.topics) == 0 || len(c.answers) > 0 || c.ready >= 0 {
		return false
	}
	any := false
	for i := range c.topics {
		p := c.topics[i].topic.Publisher
		if _, starts := p.(broker.Starter); !starts && p != nil {
			return false
		}
		any = any || p != nil
	}
	return any
}

// startBatch starts what was gathered, and leaves c empty. It waits while much is
// under way. The error is of the connection.
func (s *session) startBatch(c *commandBatch) error {
	if s.started == nil {
		s.started = new(started)
		s.started.changed.L = &s.started.mu
	}
	bytes := 0
	var waiting sync.WaitGroup
	for i := range c.topics {
		b := &c.topics[i]
		if b.topic.Publisher == nil {
			continue
		}
		bytes += b.records.Bytes()
		b.messages = b.records.Len()
		var ok bool
		if b.wait, ok = b.topic.Publisher.(broker.Starter).Start(&b.records); !ok {
			waiting.Go(func() { b.store(s.tcp.broker) })
		}
		s.lastTopic = b.topic
	}
	waiting.Wait()
	for i := range c.topics {
		c.topics[i].records.Reset()
	}
	s.conn.In.Unreserve()
	under := takeCommandBatch()
	*under, *c = *c, *under
	return s.answerLater(under, bytes)
}

// answerLater has a batch answered when its fate is known.
func (s *session) answerLater(c *commandBatch, bytes int) error {
	u := s.started
	u.mu.Lock()
	defer u.mu.Unlock()
	c.bytes = bytes
	u.batches = append(u.batches, c)
	u.bytes += bytes
	if len(u.batches) == 1 {
		s.tcp.wg.Go(s.answerStarted) // the reading goroutine is counted still
	}
	for u.bytes > maxBatchBytes || len(u.batches) >= maxStarted {
		u.changed.Wait()
	}
	if u.refused {
		s.lastTopic, u.refused = namedPublisher{}, false
	}
	return u.failed
}

// awaitStarted returns when all that was started is answered.
func (s *session) awaitStarted() error {
	u := s.started
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.batches) > 0 {
		u.changed.Wait()
	}
	return u.failed
}

// answerStarted answers what was started until nothing is left of it.
func (s *session) answerStarted() {
	u := s.started
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.batches) > 0 {
		c, failed := u.batches[0], u.failed
		u.mu.Unlock()
		stored := s.awaitFates(c)
		c.appendReplies()
		if failed == nil {
			if failed = s.conn.Out.Write(c.out); failed != nil {
				s.shut()
			}
		}
		bytes := c.bytes
		c.give()
		u.mu.Lock()
		u.batches[0] = nil
		u.batches = u.batches[1:]
		u.bytes -= bytes
		u.refused, u.failed = u.refused || !stored, failed
		u.changed.Broadcast()
	}
}

// awaitFates waits until it is known what became of a batch. stored says that all of
// it was stored.
func (s *session) awaitFates(c *commandBatch) (stored bool) {
	stored = true
	for i := range c.topics {
		b := &c.topics[i]
		if b.wait != nil {
			b.err = b.wait()
		}
		if s.traces != nil {
			s.traces.stored(b)
		}
		if b.err != nil {
			stored = false
			continue
		}
		s.countPublished(b.topic.name, b.messages)
	}
	return stored
}
