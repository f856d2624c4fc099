package server

import "sync/atomic"

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

// rest is called by the goroutine when a Take found nothing. It returns true
// when the goroutine is to end, false when it is to look again.
func (d *delivery) rest() bool {
	if d.state.CompareAndSwap(deliveryRunning, deliveryIdle) {
		return true
	}
	d.state.Store(deliveryRunning)
	return false
}

// longestDelivery bounds the buffer that a session asks for at the start of a
// delivery; a Take may grow it by one message.
const longestDelivery = 512 << 10

// wake is the consumer's Wake callback. The channel calls it with its lock
// held, so it only starts the delivery.
func (s *session) wake() {
	if s.delivery.wake() {
		s.tcp.wg.Add(1) // the reader's count or the caller's keeps it above zero
		go s.deliver()
	}
}

// deliver sends messages until there is nothing to take, or the connection
// fails.
func (s *session) deliver() {
	defer s.tcp.wg.Done()
	before, longest := int(s.frameSize.Load()), 0
	frames := takeBuffer(before)
	defer func() {
		s.frameSize.Store(int32(nextFrameSize(before, longest)))
		frames.give()
	}()
	for {
		n, err := s.deliverSome(frames)
		longest = max(longest, n)
		if err != nil {
			s.shut() // the consumer is gone with it: no wake comes any more
			return
		}
		if n == 0 && s.delivery.rest() {
			return
		}
	}
}

// nextFrameSize is how large a buffer the next delivery asks for, after one
// that asked for before and wrote at most longest bytes at a time. It shrinks
// slowly, so that a rare long delivery does not leave large buffers in the
// hands of clients that are slow to take short ones.
func nextFrameSize(before, longest int) int {
	return min(max(longest, before/2, readBuffer), longestDelivery)
}

// deliverSome takes messages and writes them; n is how many bytes. Both happen
// under one lock, so that whoever holds it knows that nothing taken is still to
// be written.
func (s *session) deliverSome(frames *buffer) (n int, err error) {
	consumer := s.consumer.Load()
	if consumer == nil || s.stopping.Load() {
		return 0, nil
	}
	s.delivering.Lock()
	defer s.delivering.Unlock()
	out, messages := consumer.Take(frames.b[:0])
	if cap(out) > len(frames.b) {
		frames.b = out[:cap(out)]
	}
	if messages == 0 {
		return 0, nil
	}
	return len(out), s.out.write(out)
}
