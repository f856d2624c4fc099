package server

import "qmq/server/stream"

// maxDeliveryBuffer bounds the buffer that a session asks for at the start of a
// delivery; a Take may grow it by one message.
const maxDeliveryBuffer = 512 << 10

// The delivering goroutine exists only while there is something to deliver. A Take
// that finds nothing parks the consumer, so that every message that turns up later
// comes with a wake.

// wake is the consumer's Wake callback. A topic's lock may be held, so it only
// starts the delivery. It is not called when leave has returned.
func (s *session) wake() {
	if s.delivery.Wake() {
		s.startDelivery()
	}
}

func (s *session) startDelivery() {
	s.tcp.wg.Add(1) // the reader's count or the caller's keeps it above zero
	go s.deliver()
}

// maxFewReady is the highest RDY count of a client that is said to take a few
// messages at a time.
const maxFewReady = 32

// deliverAnswered delivers, on the reading goroutine, what its answers have made
// room for: a client that takes a few messages at a time would wait for another
// goroutine each time. (One that takes many gains from a goroutine that gathers
// more meanwhile.) The reading goroutine never waits here, for a disk or for
// the client to read: when it would have to, it leaves the rest to a delivering
// goroutine, as it does with what is more than one Take.
func (s *session) deliverAnswered() error {
	if s.delivery.Idle() {
		return nil // no wake came with the answers
	}
	more, err := s.tryDelivery()
	if err == nil && (more || !s.delivery.Idle()) {
		s.startDelivery()
	}
	return err
}

// tryDelivery takes messages and sends what can be sent without waiting. It
// returns true when there may be more to take or to send.
func (s *session) tryDelivery() (more bool, err error) {
	if s.stopping.Load() {
		return false, nil
	}
	if s.late.any.Load() {
		return true, nil
	}
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if !s.conn.Out.TryLock() {
		return true, nil // a heartbeat is being written, and perhaps waits
	}
	defer s.conn.Out.Unlock()
	buffer := stream.TakeBuffer(int(s.deliverySize.Load()))
	defer buffer.Give()
	consumer := *s.consumer.Load()
	f := s.frames.begin(buffer)
	messages := consumer.TakeCached(f, f.limit())
	out := f.end(messages)
	more = !consumer.Parked()
	if messages > 0 {
		var all bool
		all, err = s.conn.Out.TryWrite(out)
		more = more || !all
		s.traces.delivered(err)
	}
	return more, err
}

// deliver sends what was left over, and messages until there is nothing to take
// or the connection fails.
func (s *session) deliver() {
	defer s.tcp.wg.Done()
	before, longest := int(s.deliverySize.Load()), 0
	buffer := stream.TakeBuffer(before)
	defer func() {
		s.deliverySize.Store(int32(nextDeliverySize(before, longest)))
		buffer.Give()
	}()
	more, err := true, s.conn.Out.Flush()
	for err == nil {
		var n int
		n, more, err = s.deliverSome(buffer)
		longest = max(longest, n)
		if err == nil && !more && s.delivery.Idle() {
			return
		}
	}
	s.shut() // the consumer is gone with it: no wake comes any more
}

// nextDeliverySize is how large a buffer the next delivery asks for, after one
// that asked for before and wrote at most longest bytes at a time. It shrinks
// slowly, so that a rare long delivery does not leave large buffers in the
// hands of clients that are slow to take short ones.
func nextDeliverySize(before, longest int) int {
	return min(max(longest, before/2, stream.ReadBuffer), maxDeliveryBuffer)
}

// deliverSome takes messages and writes them; n is how many bytes, more whether
// to look again. Both happen under one lock, so that whoever holds it knows that
// nothing taken is still to be written.
func (s *session) deliverSome(buffer *stream.Buffer) (n int, more bool, err error) {
	consumer := s.consumer.Load()
	if consumer == nil || s.stopping.Load() {
		return 0, false, nil
	}
	s.delivering.Lock()
	defer s.delivering.Unlock()
	if s.late.any.Load() {
		if err := s.conn.Out.Write(s.late.take()); err != nil {
			return 0, false, err
		}
	}
	f := s.frames.begin(buffer)
	messages := (*consumer).Take(f, f.limit())
	out := f.end(messages)
	if messages == 0 {
		return 0, false, nil
	}
	more, err = !(*consumer).Parked(), s.conn.Out.Write(out)
	s.traces.delivered(err)
	return len(out), more, err
}
