package fromnsq

import (
	"qmq/diskqueue"
	"qmq/internal/nsqdata"
	"qmq/message"
)

// topic is a topic that is being built. Its messages come in the order in which they
// are stored.
type topic struct {
	*nsqdata.Topic
	incarnation uint64
	log         *diskqueue.Log
	bodies      *bodies
	channels    []*channel // as nsqd's are

	batch    diskqueue.Batch
	most     int    // bytes of a batch
	start    uint64 // number of the first message
	fanOut   uint64 // where what the channels have got ends
	next     uint64 // number of the next message
	messages uint64
	bytes    int64 // of bodies
	repeated uint64
	attrs    []byte
	written  func(bytes int) error
}

// batchBytes is how much is written at a time.
const batchBytes = 1 << 20

// put stores a message, of which there is an entry for each queue that has it.
func (t *topic) put(same []entry, stretches []stretch) error {
	first := &same[0]
	body, err := t.bodies.read(first)
	if err != nil {
		return err
	}
	t.attrs = message.AppendNSQID(t.attrs[:0], first.id)
	t.batch.AddView(message.View{Timestamp: first.timestamp, Attrs: t.attrs, Body: body})
	seq := t.next
	t.next++
	t.messages++
	t.bytes += int64(len(body))
	for i := range same {
		t.owe(seq, &same[i], &stretches[same[i].stretch])
		if i > 0 && stretches[same[i].stretch].channel == stretches[same[i-1].stretch].channel {
			t.repeated++
		}
	}
	if first.group%2 == 0 {
		t.fanOut = t.next
	}
	if t.batch.Bytes() < t.most {
		return nil
	}
	return t.flush()
}

// owe has the channels get a message that one queue has.
func (t *topic) owe(seq uint64, e *entry, s *stretch) {
	switch {
	case s.channel != ofTopic:
		t.channels[s.channel].owe(seq, e.attempts)
	case e.group%2 == 0: // nsqd was about to give it to all
		for _, c := range t.channels {
			c.owe(seq, 0)
		}
	}
}

// flush writes the messages that wait.
func (t *topic) flush() error {
	n := t.batch.Bytes()
	if n == 0 {
		return nil
	}
	if _, err := t.log.Append([]*diskqueue.Batch{&t.batch}); err != nil {
		return err
	}
	t.batch.Reset()
	return t.written(n)
}

// end writes and syncs what is left. The topic's numbers are settled by then.
func (t *topic) end() error {
	if err := t.flush(); err != nil {
		return err
	}
	for _, c := range t.channels {
		c.end(t.fanOut)
	}
	return nil
}
