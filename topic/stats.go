package topic

import "qmq/channel"

// Stats are a topic's figures. The counters start at 0 with the process; those of a
// replicated topic with the topic.
type Stats struct {
	Depth        int64 // messages that wait in the topic
	BackendDepth int64 // of those, the ones not in memory
	MessageCount uint64
	MessageBytes uint64 // of bodies
	// Dropped messages are those that there was no room for: the oldest ones, by the
	// topic's settings, or those of an ephemeral topic that came then.
	Dropped uint64
	Expired uint64 // messages that were too old
	Paused  bool
	// DiskBytes is what the topic's segments take on the disk.
	DiskBytes int64
}

// Stats returns the topic's figures of this moment.
func (t *Topic) Stats() Stats {
	s := t.fanout.stats(t.o.Log.HotStart())
	if !t.o.Ephemeral {
		s.DiskBytes = t.o.Log.Bytes()
	}
	return s
}

// BackendDepth is the part of a channel's depth that is not in memory, when its
// figures are s.
func (t *Topic) BackendDepth(s *channel.Stats) int64 {
	if s.Depth == 0 {
		return 0
	}
	return min(s.Depth, t.fanout.waitingCold(s.Cursor, t.o.Log.HotStart()))
}

// stats is the figures when the messages from hot on are in memory.
func (f *fanout) stats(hot uint64) Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Stats{
		Depth:        f.waiting(f.fanOut, f.end),
		BackendDepth: f.waiting(f.fanOut, min(hot, f.end)),
		MessageCount: f.messages,
		MessageBytes: f.bytes,
		Dropped:      f.lost + f.discarded[dropped],
		Expired:      f.discarded[expired],
		Paused:       f.paused,
	}
}

// waitingCold counts the messages from a number on that were given to the
// channels, when those from hot on are in memory.
func (f *fanout) waitingCold(from, hot uint64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting(from, min(hot, f.fanOut))
}

// waiting counts the messages of a range. The caller holds f.mu.
func (f *fanout) waiting(from, to uint64) int64 {
	if from >= to {
		return 0
	}
	return int64(to - from - f.voidsWithin(from, to))
}
