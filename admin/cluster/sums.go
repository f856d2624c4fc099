package cluster

import "qmq/internal/nodeclient"

// sums are figures that add up: over channels to a topic, over topics to a
// node, over nodes to the cluster.
type sums struct {
	depth      int64 // waiting in topics and channels
	topicDepth int64 // the part of it that waits in topics
	backend    int64 // the part of depth that is on disk only
	inFlight   int64
	deferred   int64
	heldBack   int64 // the part of depth that waits for others of its keys
	stopped    int64 // given up in their place, and hold back what comes after them
	doubles    int64 // of a topic and above: publishes that were not stored
	messages   int64 // published, of a topic and above; copied in, of a channel
	copied     int64 // copied into channels
	requeues   int64
	timeouts   int64
	consumers  int64
	ready      int64 // RDY of the consumers, of nodes that tell it
	channels   int64
	paused     int64 // how many of them, on how many nodes
	bounded    int64 // likewise, have an end
	done       int64 // of these, have had everything before
	leaving    int64 // of these, are deleted then
	withDefer  int64 // channels with deferred messages

	// Per second, over the last interval between two answers of a node.
	published, bytes, in, finished, delivered, requeued, timedOut float64
}

func (s *sums) add(o *sums) {
	s.depth += o.depth
	s.topicDepth += o.topicDepth
	s.backend += o.backend
	s.inFlight += o.inFlight
	s.deferred += o.deferred
	s.messages += o.messages
	s.doubles += o.doubles
	s.addChannelCounters(o)
	s.published += o.published
	s.bytes += o.bytes
}

// addChannel adds a channel to its topic.
func (s *sums) addChannel(c *sums) {
	s.depth += c.depth
	s.backend += c.backend
	s.inFlight += c.inFlight
	s.deferred += c.deferred
	s.addChannelCounters(c)
}

func (s *sums) addChannelCounters(c *sums) {
	s.heldBack += c.heldBack
	s.stopped += c.stopped
	s.copied += c.copied
	s.requeues += c.requeues
	s.timeouts += c.timeouts
	s.consumers += c.consumers
	s.ready += c.ready
	s.channels += c.channels
	s.paused += c.paused
	s.bounded += c.bounded
	s.done += c.done
	s.leaving += c.leaving
	s.withDefer += c.withDefer
	s.in += c.in
	s.finished += c.finished
	s.delivered += c.delivered
	s.requeued += c.requeued
	s.timedOut += c.timedOut
}

// held is how many messages a channel has not finished.
func (s *sums) held() int64 { return s.depth + s.inFlight + s.deferred }

// channelSums are those of a channel on one node. Rates need what was before:
// dt (s) is the time between, 0 if it cannot be compared. How many messages
// were finished and delivered no node tells; it follows from the others.
func channelSums(c *nodeclient.Channel, before *sums, dt float64, emptied bool) sums {
	s := sums{
		depth: c.Depth, backend: c.BackendDepth, inFlight: c.InFlight, deferred: c.Deferred,
		messages: c.Messages, copied: c.Messages, requeues: c.Requeued, timeouts: c.TimedOut,
		consumers: c.ClientCount, ready: c.Ready, channels: 1, heldBack: c.HeldBack, stopped: c.Stopped,
	}
	if c.Paused {
		s.paused = 1
	}
	if c.Deferred > 0 {
		s.withDefer = 1
	}
	if c.Until > 0 {
		s.bounded, s.done, s.leaving = 1, one(c.Done), one(c.Leaves)
	}
	if dt <= 0 || c.Messages < before.copied || c.Requeued < before.requeues || c.TimedOut < before.timeouts {
		return s
	}
	s.in = float64(s.copied-before.copied) / dt
	s.requeued = float64(s.requeues-before.requeues) / dt
	s.timedOut = float64(s.timeouts-before.timeouts) / dt
	if emptied {
		return s // what went away was not finished
	}
	s.finished = max(0, s.in-float64(s.held()-before.held())/dt)
	s.delivered = max(0, s.finished+s.requeued+s.timedOut+float64(s.inFlight-before.inFlight)/dt)
	return s
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// topicSums are those of a topic on one node, without its channels.
func topicSums(t *nodeclient.Topic, before *nodeTopic, dt float64) (own sums) {
	own = sums{depth: t.Depth, topicDepth: t.Depth, backend: t.BackendDepth, messages: t.Messages, doubles: t.Doubles}
	if dt <= 0 || t.Messages < before.messages || t.Bytes < before.bytesTotal {
		return own
	}
	own.published = float64(t.Messages-before.messages) / dt
	own.bytes = float64(t.Bytes-before.bytesTotal) / dt
	return own
}
