package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
)

// Holder is one request, and what it was given. Take, Sent, Return and End are the
// request's, one at a time.
type Holder struct {
	all     *Leases
	id      uint64 // of the consumer
	receipt uint64
	poll    Poll

	// subscription is changed by the request alone, with all.mu held, and while nothing is
	// held.
	*subscription

	settled <-chan struct{} // of TakeOrNone; else nil
	heard   <-chan struct{} // see askIfHeard; else nil

	last    []message.ID // of the last Take, in their order
	sending bool         // it has one of all.answers

	// What follows is guarded by all.mu.
	polling   bool
	inherited bool                     // the consumer is that of an earlier request, and nothing has shown yet that it is one still
	dismissed bool                     // see CloseClient
	ended     bool                     // it has come to its end, and its consumer is closed, about to be, or kept
	kept      time.Time                // since when the consumer is kept
	held      map[message.ID]time.Time // until when; nil: nothing was
	timer     *time.Timer              // forgets what has run out; nil until something was held
	late      map[message.ID]error     // answers that failed late, while somebody waits for them
	waiting   int                      // for late answers
}

func (h *Holder) place() place { return place{h.poll.Topic, h.poll.Channel} }

// Receipt is what names the messages of this request: an answer that shows it counts for
// them alone.
func (h *Holder) Receipt() uint64 { return h.receipt }

// subscription is a consumer, which serves one request, or several one after the other.
type subscription struct {
	consumer broker.Consumer
	left     func()        // to be called when the consumer was closed; may be nil
	woken    chan struct{} // of capacity 1: something may be taken
	gone     chan struct{} // closed by leave
	goneOnce sync.Once

	of *Holder // whose it is, or was last; guarded by Leases.mu
}

func newSubscription(h *Holder) *subscription {
	return &subscription{woken: make(chan struct{}, 1), gone: make(chan struct{}), of: h}
}

// leave notes that the channel has closed the consumer, or that it is to be closed.
func (s *subscription) leave() { s.goneOnce.Do(func() { close(s.gone) }) }

// isGone tells whether leave was called.
func (s *subscription) isGone() bool { return isClosed(s.gone) }

// isClosed tells whether a channel, which may be nil, is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// close ends the consumer.
func (s *subscription) close() {
	s.consumer.Close()
	if s.left != nil {
		s.left()
	}
}

// subscribe makes the consumer of a request. One that meets a channel on its way out is
// made after a moment.
func (h *Holder) subscribe() error {
	err := h.subscribeOnce()
	if errors.Is(err, channel.ErrExiting) {
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-h.all.closing:
			timer.Stop()
		}
		err = h.subscribeOnce()
	}
	return err
}

func (h *Holder) subscribeOnce() (err error) {
	s := h.subscription
	s.consumer, s.left, err = h.all.broker.Subscribe(h.poll.Topic, h.poll.Channel, broker.SubscribeOptions{
		ConsumerOptions: channel.ConsumerOptions{
			ID: h.id, MsgTimeout: h.poll.Lease,
			Wake: func() {
				select {
				case s.woken <- struct{}{}:
				default:
				}
			},
			Closed: s.leave,
		},
		AnswerFailed: func(a channel.Answer) { h.all.answerFailed(s, a) },
		Headers:      true,
	})
	return err
}

// elsewhere is how long a request waits at least where another node may have what there
// is: it is asked over the network.
const elsewhere = 100 * time.Millisecond

// Take waits until there are messages, and gives them to s: as many as there are, while s
// has room and no more than the request's Max are leased to it. None without an error
// means that wait has passed. The error is that of ctx, ErrClosing, channel.ErrExiting
// when the channel has ended, ErrNoRoom, a *LimitError, or that of Poll.Still.
func (h *Holder) Take(ctx context.Context, s channel.Sink, wait time.Duration) (n int, err error) {
	if !h.isLocal() {
		wait = max(wait, elsewhere)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	n, err = h.take(ctx, s, late.C)
	if errors.Is(err, channel.ErrExiting) && h.mayRenew() {
		if err := h.subscribe(); err != nil {
			return 0, err
		}
		n, err = h.take(ctx, s, late.C)
	}
	return n, err
}

// isLocal tells whether the channel is served by this node, and by no other.
func (s *subscription) isLocal() bool {
	_, local := s.consumer.(*channel.Consumer)
	return local
}

// take is Take until it is late, or the consumer has gone.
func (h *Holder) take(ctx context.Context, s channel.Sink, late <-chan time.Time) (n int, err error) {
	h.Sent()
	h.consumer.SetReady(int64(h.poll.Max))
	defer h.consumer.SetReady(0) // it does not come while it sends: what comes then is for others
	for last := false; ; {
		inTime, err := h.room(ctx, late)
		if err != nil {
			return 0, err
		}
		last = last || !inTime
		if err := h.may(); err != nil {
			return 0, err
		}
		if n, err = h.takeNow(s); n > 0 {
			return n, nil
		}
		h.Sent()
		if err != nil || last {
			return 0, err
		}
		h.askIfHeard()
		woken, err := h.wait(ctx, late, h.woken, nil)
		if err != nil {
			return 0, err
		}
		if last = !woken; last { // what came at the last moment is taken
			late = over
		}
	}
}

// may says whether the client may still have messages.
func (h *Holder) may() error {
	if h.poll.Still == nil {
		return nil
	}
	return h.poll.Still()
}

// over is the time of who is late.
var over = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// wait waits until something may be taken from one of the channels, or can be put into the
// other. False without an error means that it is late.
func (h *Holder) wait(ctx context.Context, late <-chan time.Time, woken <-chan struct{}, room chan<- struct{}) (ok bool, err error) {
	for {
		select {
		case <-woken:
			return true, nil
		case room <- struct{}{}:
			return true, nil
		case <-late:
			return false, nil
		case <-h.settled:
			return false, nil
		case <-h.heard:
			h.confirm()
		case <-ctx.Done():
			return false, ctx.Err()
		case <-h.gone:
			return false, channel.ErrExiting
		case <-h.all.closing:
			return false, ErrClosing
		}
	}
}

// patience is for how long a request that has had no room waits for some when it is late:
// there is some again as soon as one of the others has sent what it has.
const patience = time.Second

// room waits until the request may have messages to send; inTime is false when that was
// late. While it waits, others get them. The error may be ErrNoRoom.
func (h *Holder) room(ctx context.Context, late <-chan time.Time) (inTime bool, err error) {
	select {
	case h.all.answers <- struct{}{}:
		h.sending = true
		return true, nil
	default:
	}
	h.consumer.SetReady(0)
	settles := h.settled != nil
	h.settled = nil // it would be said of what comes with that RDY count
	if inTime, err = h.wait(ctx, late, nil, h.all.answers); err != nil {
		return false, err
	}
	if h.sending = inTime; !inTime {
		last := time.NewTimer(patience)
		defer last.Stop()
		if h.sending, err = h.wait(ctx, last.C, nil, h.all.answers); err != nil {
			return false, err
		}
	}
	if !h.sending {
		return false, ErrNoRoom
	}
	h.consumer.SetReady(int64(h.poll.Max))
	if settles {
		h.settled = h.consumer.(broker.Settler).Settle()
	}
	return inTime, nil
}

// Sent says that what the last Take gave was sent, and its memory is free again.
func (h *Holder) Sent() {
	if h.sending {
		h.sending = false
		<-h.all.answers
	}
}

// noting is a Sink that notes what passes.
type noting struct {
	sink channel.Sink
	ids  []message.ID
	full bool
}

// Put passes a message on.
func (n *noting) Put(m *channel.Message) bool {
	if n.full = !n.sink.Put(m); n.full {
		return false
	}
	n.ids = append(n.ids, m.ID)
	return true
}

// takeNow takes what there is.
func (h *Holder) takeNow(s channel.Sink) (n int, err error) {
	granted := h.all.reserve(h.poll.Max)
	noted := noting{sink: s, ids: h.last[:0]}
	for more := granted > 0; more; {
		got := h.consumer.Take(&noted, granted-n)
		n += got
		more = got > 0 && n < granted && !noted.full && !h.consumer.Parked()
	}
	h.last = noted.ids
	h.all.lease(h, granted-n)
	if granted == 0 {
		return 0, &LimitError{What: "messages leased at a time", Max: h.all.o.MaxMessages, Option: "--max-http-leases"}
	}
	return n, nil
}

// Return gives back what the last Take gave: the client has gone before it got any of it.
// The messages are available at once, and this does not count as an attempt.
func (h *Holder) Return() {
	answers := make([]channel.Answer, 0, len(h.last))
	for i := len(h.last) - 1; i >= 0; i-- { // the last one that is returned is the first to be taken
		answers = append(answers, channel.Answer{Op: channel.Return, ID: h.last[i]})
	}
	h.consumer.Answer(answers)
	l := h.all
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned += uint64(len(h.last))
	for _, id := range h.last {
		l.forget(h, id)
	}
	h.last = h.last[:0]
}

// End says that the request is over. What it was given stays leased.
func (h *Holder) End() {
	h.Sent()
	l := h.all
	l.mu.Lock()
	l.polls--
	h.polling, h.last, h.poll.Still = false, nil, nil
	over := l.isOver(h)
	l.mu.Unlock()
	if over {
		h.close()
	}
}

// isOver says, once, that a request that is over has nothing left, and that its consumer is
// to be closed. mu is held.
func (l *Leases) isOver(h *Holder) bool {
	if h.ended || h.polling || len(h.held) > 0 || h.waiting > 0 {
		return false
	}
	h.ended = true
	if h.timer != nil {
		h.timer.Stop()
	}
	if l.keep(h) {
		return false
	}
	delete(l.holders, h.id)
	return true
}

// Lease is how long the client has for each message.
func (h *Holder) Lease() time.Duration { return h.poll.Lease }
