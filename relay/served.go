package relay

import (
	"sync"

	"qmq/channel"
	"qmq/internal/wake"
	"qmq/topic"
)

// seat is a consumer of a channel that this node serves, as its shell sees it.
type seat struct {
	consumer *channel.Consumer
	left     func() // called when the consumer has been closed
	let      func() // called when it has been admitted

	mu       sync.Mutex // guards what follows; the channel's lock is taken under it
	ready    int64
	admitted bool
	full     bool  // no message has room on its way
	applied  int64 // the RDY count that the channel knows
}

// setReady sets how many messages the client accepts in flight.
func (s *seat) setReady(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = n
	s.apply()
}

// admit lets the consumer have messages.
func (s *seat) admit() {
	s.mu.Lock()
	s.admitted = true
	s.apply()
	s.mu.Unlock()
	s.let()
}

func (s *seat) isAdmitted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitted
}

// apply tells the channel what the consumer accepts: one that it wakes has to come. The
// caller holds s.mu.
func (s *seat) apply() {
	n := s.ready
	if !s.admitted || s.full {
		n = 0
	}
	if n != s.applied {
		s.applied = n
		s.consumer.SetReady(n)
	}
}

// leave closes the consumer.
func (s *seat) leave() {
	s.consumer.Close()
	s.left()
}

// served is a consumer of another node. A goroutine that exists only while there is
// something to send delivers to it.
type served struct {
	seat
	r           *Relay
	leading     *leadership
	at          place
	topic       *topic.Topic
	channel     *channel.Channel
	incarnation uint64 // see identity
	attributes  bool   // are wanted

	delivery wake.State
	// seat.mu guards what follows.
	window     int64  // bytes of messages that may still be sent; less than 0 after a long one
	generation uint32 // of ready
	welcomed   bool   // before that nothing is sent
	away       bool   // nothing is sent any more: see away.go
	greeting   []byte // the opened frame, to be sent first
	answers    uint32 // that were applied since the last results
	failures   []failure
	asked      bool // one of them asks for a sign: see settle.go
	closed     bool // the channel has closed it
	farewell   bool // and that was sent
}

// maxFrame bounds the messages of a frame in bytes, unless one is longer.
const maxFrame = 64 << 10

// wake has the delivering goroutine look whether there is something to send. It is the
// consumer's Wake callback, and does not wait.
func (v *served) wake() {
	if v.delivery.Wake() {
		v.r.start(v.deliver)
	}
}

// welcome has the consumer told that it is served, before anything else.
func (v *served) welcome(refused []uint64) {
	v.mu.Lock()
	v.welcomed, v.greeting = true, appendOpened(nil, v.at.consumer, v.incarnation, refused)
	v.mu.Unlock()
	v.wake()
}

// deliver sends until there is nothing left to send.
func (v *served) deliver() {
	memory := frames.Get().(*[]byte)
	defer giveFrame(memory)
	for {
		sent, ok := v.deliverSome(memory)
		if !ok {
			return // the connection is gone, or the channel: no wake means anything
		}
		if !sent && v.delivery.Idle() {
			return
		}
	}
}

// deliverSome sends what there is to say, and messages. It says whether there was any,
// and whether there may be more at all.
func (v *served) deliverSome(memory *[]byte) (sent, ok bool) {
	v.mu.Lock()
	b := batch{b: appendMessagesHead((*memory)[:0], v.at.consumer, v.generation), room: int(min(v.window, maxFrame)), attributes: v.attributes}
	mayTake := v.welcomed && !v.away && !v.closed && v.window > 0
	admitted := v.admitted
	v.mu.Unlock()
	n := 0
	if mayTake {
		n = v.consumer.Take(&b, channel.MaxTake)
	}
	// A message may be one that an answer has just given back: its result goes first.
	for _, frame := range v.spend(int64(len(b.b)-messagesHeadSize), admitted) {
		sent = true
		if !v.r.o.Lane.Send(v.at.member, frame) {
			return false, false
		}
	}
	ok = n == 0 || v.r.o.Lane.Send(v.at.member, b.b)
	*memory = b.b
	return sent || n > 0, ok
}

// spend notes the bytes of messages that are about to be sent, and returns the frames
// that come before them. With the window used up the channel is to give the messages to
// others. Admitted says whether there could be messages; there were none to be had when the
// leadership is over, and no sign of it is given.
func (v *served) spend(bytes int64, admitted bool) (frames [][]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.welcomed || v.away {
		return nil
	}
	v.window -= bytes
	v.full = v.window <= 0
	v.apply()
	if v.greeting != nil {
		frames = append(frames, v.greeting)
		v.greeting = nil
	}
	if v.answers > 0 && (admitted && !v.leading.over.Load() || !v.asked) {
		frames = append(frames, appendResults(nil, v.at.consumer, v.answers, v.failures))
		v.answers, v.failures, v.asked = 0, nil, false
	}
	if v.closed && !v.farewell {
		v.farewell = true
		frames = append(frames, appendClosed(nil, v.at.consumer, channel.ErrExiting))
	}
	return frames
}

// batch is the Sink of a frame of messages.
type batch struct {
	b    []byte
	room int // bytes; beside the first message

	attributes bool // are wanted
}

// Put appends a message.
func (b *batch) Put(m *channel.Message) bool {
	if used := len(b.b) - messagesHeadSize; used > 0 && used+messageHeadSize+len(m.Attrs)+len(m.Body) > b.room {
		return false
	}
	b.b = appendMessage(b.b, m, b.attributes)
	return true
}

// taken notes what the client got.
func (v *served) taken(bytes int64) {
	v.mu.Lock()
	v.window = min(v.window+bytes, window)
	v.full = v.window <= 0
	v.apply()
	v.mu.Unlock()
	v.wake()
}

// readyIs sets how many messages the client accepts. What is taken afterwards is of
// that generation.
func (v *served) readyIs(n int64, generation uint32) {
	v.setReady(n)
	v.mu.Lock()
	v.generation = generation
	v.mu.Unlock()
}

// answer applies answers. The results go back with what is sent next.
func (v *served) answer(answers []channel.Answer) {
	v.mu.Lock() // also while they are applied: see deliverSome
	v.consumer.Answer(answers)
	for i := range answers {
		v.asked = v.asked || answers[i].ID == nobodys
		if err := answers[i].Err; err != nil {
			c, _ := codeOf(err)
			v.failures = append(v.failures, failure{v.answers + uint32(i), c})
		}
	}
	v.answers += uint32(len(answers))
	v.mu.Unlock()
	v.wake()
}

// channelClosed is the consumer's Closed callback. Where another node leads now, that
// one is told of by others.
func (v *served) channelClosed() {
	if !v.channelGone() {
		return
	}
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.wake()
}

// channelGone says whether a channel that closed has come to its end: it has not if
// another node leads now.
func (v *served) channelGone() bool {
	v.r.mu.Lock()
	defer v.r.mu.Unlock()
	if v.leading.shard.leading != v.leading {
		return false
	}
	delete(v.leading.channels, v.channel)
	return true
}

// close gives back what the client had.
func (v *served) close() { v.leave() }

// consumerLeft ends a channel with its last consumer, if that is how it ends.
func (v *served) consumerLeft() {
	if v.channel.MayEnd() {
		v.r.start(func() { v.topic.ConsumerLeft(v.channel) })
	}
}
