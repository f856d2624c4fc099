package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"qmq/internal/balance"
	"qmq/internal/tcpclient"
)

// sender sends messages to destinations, by their number, and tells how that
// went. Its methods may be called concurrently.
type sender interface {
	// send sends messages to a topic, where there are topics; done is called once for
	// each of them, with how long it took, and nil when the destination has it. Headers go
	// with them where the destination takes headers.
	send(to int, topic string, messages []tcpclient.Outgoing, done func(i int, took time.Duration, err error))
	// batches tells whether many messages are best sent to one destination
	// together.
	batches() bool
	close()
}

// forwarding is a forward at work.
type forwarding struct {
	cluster  *cluster
	tcp      tcpclient.Options
	topics   []string
	channel  string
	inFlight int
	refresh  time.Duration
	pool     *balance.Pool
	key      func(body []byte) []byte
	keyed    bool // equal keys go the same way
	filter   filter
	delay    func(attempts int) time.Duration
	// most is how often a message is tried before it is finished all the same; 0:
	// it is never given up.
	most   uint16
	target func(topic string) string
	send   sender
	log    *slog.Logger
	done   forwarded
}

// watched is run with its progress on a terminal.
func (f *forwarding) watched(c console, progress *bar) error {
	progress.count("forwarded")
	stop := progress.during(f.done.messages.Load)
	defer progress.end()
	defer stop()
	return f.run(c)
}

// run forwards until a signal comes.
func (f *forwarding) run(c console) error {
	ctx, stop := c.untilSignal()
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(f.topics))
	for _, topic := range f.topics {
		go func() {
			err := f.topic(ctx, topic)
			if err != nil {
				cancel()
			}
			errs <- err
		}()
	}
	var all []error
	for range f.topics {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// topic forwards one topic.
func (f *forwarding) topic(ctx context.Context, topic string) error {
	w := &topicForward{forwarding: f, to: f.target(topic)}
	o := tcpclient.ConsumerOptions{
		Options: f.tcp, Topic: topic, Channel: f.channel, MaxInFlight: f.inFlight,
		Nodes:  func(ctx context.Context) ([]string, error) { return f.cluster.tcpNodes(ctx, topic) },
		Handle: w.take,
		Logger: f.log,
	}
	if len(f.cluster.lookupds) > 0 {
		o.Refresh, o.Follow = f.refresh, f.cluster.follow(topic)
	}
	w.pace.consumer = tcpclient.NewConsumer(o)
	w.pace.full = f.inFlight
	defer w.pace.stop()
	return w.pace.consumer.Run(ctx)
}

// topicForward forwards one topic.
type topicForward struct {
	*forwarding
	to   string // its name where it goes
	pace pace
}

// share is what of some messages goes to one destination.
type share struct {
	messages []tcpclient.Message
	outgoing []tcpclient.Outgoing
	bytes    int
}

// take sends what came. It waits while the destinations have enough to do.
func (w *topicForward) take(messages []tcpclient.Message) {
	shares := make(map[int]*share)
	together := -1 // who gets all of them, where a batch is as good as a message
	now := time.Now()
	for _, m := range messages {
		body, pass := w.filter.pass(m.Body)
		if !pass {
			w.done.filtered.Add(1)
			m.From.Finish(m.ID)
			continue
		}
		to := together
		if to < 0 {
			to = w.pool.Choose(now, w.key(m.Body))
			if w.send.batches() && !w.keyed {
				together = to
			}
		}
		s, size := shares[to], len(m.Headers)+len(body)
		if s != nil && s.bytes+size > tcpclient.MaxBatch {
			w.dispatch(to, s)
			s = nil
		}
		if s == nil {
			s = new(share)
			shares[to] = s
		}
		s.messages, s.outgoing, s.bytes = append(s.messages, m), append(s.outgoing, tcpclient.Outgoing{Headers: m.Headers, Body: body}), s.bytes+size
	}
	for to, s := range shares {
		w.dispatch(to, s)
	}
	messages[0].From.Flush()
}

// dispatch sends messages to a destination and answers them when it is known how
// that went.
func (w *topicForward) dispatch(to int, s *share) {
	var open atomic.Int64
	open.Store(int64(len(s.outgoing)))
	w.send.send(to, w.to, s.outgoing, func(i int, took time.Duration, err error) {
		m := &s.messages[i]
		if err == nil {
			w.done.messages.Add(1)
			w.done.by[to].Add(1)
			m.From.Finish(m.ID)
		} else {
			w.failed(m, err)
		}
		w.pool.Done(to, time.Now(), took, err)
		w.pace.sent(err == nil)
		if open.Add(-1) == 0 || !w.send.batches() {
			m.From.Flush()
		}
	})
}

// failed gives a message back, or up if it was tried as often as it may be.
func (w *topicForward) failed(m *tcpclient.Message, err error) {
	if w.most > 0 && m.Attempts >= w.most {
		w.log.Error("given up", "topic", w.to, "id", string(m.ID[:]), "attempts", m.Attempts, "error", err)
		w.done.givenUp.Add(1)
		m.From.Finish(m.ID)
		return
	}
	w.done.givenBack.Add(1)
	delay := w.delay(int(m.Attempts))
	w.log.Warn("not forwarded", "topic", w.to, "id", string(m.ID[:]), "attempts", m.Attempts, "again_in", delay, "error", err)
	m.From.Requeue(m.ID, delay)
}
