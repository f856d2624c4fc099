package server

import (
	"sync/atomic"

	"qmq/server/stream"
)

// delivery says what a session's delivering goroutine is doing. It exists only
// while there is something to deliver:
//
//	idle ──wake──> running ──wake──> again
//	  ^              │  ^              │
//	  └─nothing left─┘  └─look again───┘
//
// A Take that finds nothing parks the consumer, so that every message that
// turns up later comes with a wake; a wake that comes between that Take and
// the goroutine's end turns running into again, and the goroutine looks once
// more. No wake is lost.
type delivery struct {
	state atomic.Int32
}

const (
	deliveryIdle int32 = iota
	deliveryRunning
	deliveryAgain
)

// wake notes that something may be taken. It returns true when the caller is
// to start the delivering goroutine.
func (d *delivery) wake() (start bool) {
	for {
		switch d.state.Load() {
		case deliveryIdle:
			if d.state.CompareAndSwap(deliveryIdle, deliveryRunning) {
				return true
			}
		case deliveryRunning:
			if d.state.CompareAndSwap(deliveryRunning, deliveryAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// idle is called by the goroutine when a Take found nothing. It returns true
// when the goroutine is to end, false when it is to look again.
func (d *delivery) idle() bool {
	if d.state.CompareAndSwap(deliveryRunning, deliveryIdle) {
		return true
	}
	d.state.Store(deliveryRunning)
	return false
}

// answering is called by the reading goroutine before it answers for messages.
// When it returns true the goroutine stands for the delivering one: it is to
// call idle afterwards, and to look for itself when that returns false.
func (d *delivery) answering() bool {
	return d.state.CompareAndSwap(deliveryIdle, deliveryRunning)
}

// maxDeliveryBuffer bounds the buffer that a session asks for at the start of a
// delivery; a Take may grow it by one message.
const maxDeliveryBuffer = 512 << 10

// wake is the consumer's Wake callback. A topic's lock may be held, so it only
// starts the delivery. It is not called when leave has returned.
func (s *session) wake() {
	if s.delivery.wake() {
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
	if s.delivery.idle() {
		return nil // no wake came with the answers
	}
	more, err := s.tryDelivery()
	if err == nil && (more || !s.delivery.idle()) {
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
		if err == nil && !more && s.delivery.idle() {
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
	return len(out), !(*consumer).Parked(), s.conn.Out.Write(out)
}
