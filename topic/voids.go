package topic

import (
	"errors"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
)

// damaged is called by a channel that could not read messages for good.
func (t *Topic) damaged(from, to uint64) {
	if to <= t.needed() {
		return // done by everybody while it was being read
	}
	t.mu.Lock()
	if t.dropped { // and its files with it
		t.mu.Unlock()
		return
	}
	before := t.voidsWithin(0, t.end)
	t.addVoid(seqset.Range{From: from, To: to})
	lost := t.voidsWithin(0, t.end) - before
	t.mu.Unlock()
	t.reclaim.letGo()
	if lost > 0 {
		t.o.Logger.Error("messages cannot be read and are lost", "topic", t.o.Name, "first", from, "messages", lost)
		t.o.Damaged(t, from, to, lost)
	}
}

// logReader reads for a channel. What was fanned out was in the log: a number
// that is not is lost for good, and no channel waits for it.
type logReader struct {
	*diskqueue.Reader
}

func (r logReader) Read(seq uint64) (message.View, error) {
	v, err := r.Reader.Read(seq)
	if errors.Is(err, diskqueue.ErrNotFound) {
		err = &diskqueue.DamageError{From: seq, To: seq + 1}
	}
	return v, err
}

// addVoid makes a range void in every channel. The caller holds t.mu.
func (t *Topic) addVoid(r seqset.Range) {
	t.voids = seqset.Union(t.voids, []seqset.Range{r})
	for _, s := range t.channels {
		s.channel.Void(r.From, r.To)
	}
	if t.aside != nil {
		t.aside.Void(r.From, r.To)
	}
}

// voidsWithin counts the void numbers of a range. The caller holds t.mu.
func (t *Topic) voidsWithin(from, to uint64) (n uint64) {
	for _, v := range t.voids {
		if lo, hi := max(v.From, from), min(v.To, to); lo < hi {
			n += hi - lo
		}
	}
	return n
}

// readFailed is called by a channel whose messages cannot be read, or can be
// again.
func (t *Topic) readFailed(channel string, err error) {
	t.mu.Lock()
	dropped := t.dropped
	t.mu.Unlock()
	if dropped && err != nil {
		return // its files are gone, and so are its consumers
	}
	if err != nil {
		t.o.Logger.Error("messages cannot be read now", "topic", t.o.Name, "channel", channel, "error", err)
	}
	t.o.ReadFailed(t, channel, err)
}
