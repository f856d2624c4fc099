package lease

import (
	"context"
	"sync"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
)

// Holder is the consumer of one request. Take, Sent, Return and End are the request's, one
// at a time.
type Holder struct {
	all     *Leases
	id      uint64
	receipt uint64
	poll    Poll

	consumer broker.Consumer
	left     func()        // to be called when the consumer was closed; may be nil
	woken    chan struct{} // of capacity 1: something may be taken
	gone     chan struct{} // closed when the channel closes the consumer
	goneOnce sync.Once

	last    []message.ID // of the last Take, in their order
	sending bool         // it has one of all.answers

	// What follows is guarded by all.mu.
	polling bool
	ended   bool                     // it is closed, or about to be
	held    map[message.ID]time.Time // until when; nil: nothing was
	timer   *time.Timer              // forgets what has run out; nil until something was held
	late    map[message.ID]error     // answers that failed late, while somebody waits for them
	waiting int                      // for late answers
}

func (h *Holder) place() place { return place{h.poll.Topic, h.poll.Channel} }

// Receipt is what names the messages of this request: an answer that shows it counts for
// them alone.
func (h *Holder) Receipt() uint64 { return h.receipt }

func (h *Holder) subscribe() (err error) {
	h.consumer, h.left, err = h.all.broker.Subscribe(h.poll.Topic, h.poll.Channel, broker.SubscribeOptions{
		ConsumerOptions: channel.ConsumerOptions{
			ID: h.id, MsgTimeout: h.poll.Lease,
			Wake: func() {
				select {
				case h.woken <- struct{}{}:
				default:
				}
			},
			Closed: func() { h.goneOnce.Do(func() { close(h.gone) }) },
		},
		AnswerFailed: h.answerFailed,
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
// when the channel has ended, or a *LimitError.
func (h *Holder) Take(ctx context.Context, s channel.Sink, wait time.Duration) (n int, err error) {
	if _, local := h.consumer.(*channel.Consumer); !local {
		wait = max(wait, elsewhere)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	h.Sent()
	h.consumer.SetReady(int64(h.poll.Max))
	defer h.consumer.SetReady(0) // it does not come while it sends: what comes then is for others
	for {
		room, err := h.room(ctx, late.C)
		if !room {
			return 0, err
		}
		if n, err = h.takeNow(s); n > 0 {
			return n, nil
		}
		h.Sent()
		if err != nil {
			return 0, err
		}
		if woken, err := h.wait(ctx, late.C, h.woken, nil); !woken {
			return 0, err
		}
	}
}

// wait waits until something may be taken from one of the channels, or can be put into the
// other. False without an error means that it is late.
func (h *Holder) wait(ctx context.Context, late <-chan time.Time, woken <-chan struct{}, room chan<- struct{}) (ok bool, err error) {
	select {
	case <-woken:
		return true, nil
	case room <- struct{}{}:
		return true, nil
	case <-late:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-h.gone:
		return false, channel.ErrExiting
	case <-h.all.closing:
		return false, ErrClosing
	}
}

// room waits until the request may have messages to send. While it waits, others get them.
func (h *Holder) room(ctx context.Context, late <-chan time.Time) (ok bool, err error) {
	select {
	case h.all.answers <- struct{}{}:
		h.sending = true
		return true, nil
	default:
	}
	h.consumer.SetReady(0)
	if h.sending, err = h.wait(ctx, late, nil, h.all.answers); h.sending {
		h.consumer.SetReady(int64(h.poll.Max))
	}
	return h.sending, err
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
	h.polling, h.last = false, nil
	over := l.isOver(h)
	l.mu.Unlock()
	if over {
		h.close()
	}
}

// close ends the consumer; it is called once. What is still leased becomes available to
// others.
func (h *Holder) close() {
	if h.timer != nil {
		h.timer.Stop()
	}
	h.consumer.Close()
	if h.left != nil {
		h.left()
	}
}

// isOver says, once, that the consumer of a request that is over has nothing left. mu is
// held.
func (l *Leases) isOver(h *Holder) bool {
	if h.ended || h.polling || len(h.held) > 0 || h.waiting > 0 {
		return false
	}
	h.ended = true
	delete(l.holders, h.id)
	return true
}

// Lease is how long the client has for each message.
func (h *Holder) Lease() time.Duration { return h.poll.Lease }
