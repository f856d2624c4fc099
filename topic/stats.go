package topic

import "qmq/channel"

// Stats are a topic's figures. The counters start at 0 with the process.
type Stats struct {
	Depth        int64 // messages that wait in the topic
	BackendDepth int64 // of those, the ones not in memory
	MessageCount uint64
	MessageBytes uint64 // of bodies
	// Dropped messages of an ephemeral topic were published when there was no
	// room for them.
	Dropped uint64
	Paused  bool
}

// Stats returns the topic's figures of this moment.
func (t *Topic) Stats() Stats {
	hot := t.o.Log.HotStart()
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{
		Depth:        t.waiting(t.fanOut, t.end),
		BackendDepth: t.waiting(t.fanOut, min(hot, t.end)),
		MessageCount: t.messages,
		MessageBytes: t.bytes,
		Dropped:      t.lost,
		Paused:       t.paused,
	}
}

// waiting counts the messages of a range. The caller holds t.mu.
func (t *Topic) waiting(from, to uint64) int64 {
	if from >= to {
		return 0
	}
	return int64(to - from - t.voidsWithin(from, to))
}

// BackendDepth is the part of a channel's depth that is not in memory, when its
// figures are s.
func (t *Topic) BackendDepth(s *channel.Stats) int64 {
	if s.Depth == 0 {
		return 0
	}
	hot := t.o.Log.HotStart()
	t.mu.Lock()
	defer t.mu.Unlock()
	return min(s.Depth, t.waiting(s.Cursor, min(hot, t.fanOut)))
}
