package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"qmq/internal/names"
	"qmq/internal/tcpclient"
	"qmq/message"
)

// Delivery is a message that came from a channel.
type Delivery struct {
	ID       string
	Time     time.Time // when it was published
	Attempts int       // how often it was delivered, with this time
	Topic    string
	Node     string // TCP address of the node that it came from
	Headers  Headers
	Body     []byte // its owner's until nobody holds it

	from *tcpclient.Subscription
	id   tcpclient.ID
}

// Key is what the message is about, DedupID what doubles of it are known by; empty:
// nothing is known.
func (d *Delivery) Key() string { return d.Headers.Get(headerKey) }

// Touch asks the node for another time-out for the message.
func (d *Delivery) Touch() {
	d.from.Touch(d.id)
	d.from.Flush()
}

// Handler does what is to be done with a message. It is finished when that returns nil;
// with an error it is given back, and delivered again after a time that grows with its
// attempts, or that [After] says. ctx is done when Consume is to end; the message may be
// handled to its end nonetheless.
type Handler func(ctx context.Context, d *Delivery) error

// After is an error of a handler with which the message comes again after a delay.
func After(delay time.Duration, err error) error { return &afterError{delay, err} }

type afterError struct {
	delay time.Duration
	err   error
}

func (e *afterError) Error() string { return fmt.Sprintf("again after %v: %v", e.delay, e.err) }
func (e *afterError) Unwrap() error { return e.err }

const (
	requeueStep = time.Second // the delay after an error is so much for each attempt
	requeueMost = time.Minute
)

func delayAfter(err error, attempts int) time.Duration {
	var after *afterError
	if errors.As(err, &after) {
		return after.delay
	}
	return min(time.Duration(attempts)*requeueStep, requeueMost)
}

// Consumption says what is consumed.
type Consumption struct {
	Topic, Channel string
	Handlers       int // how many messages are handled at a time; 0: 1
	// MaxInFlight is how many messages are on their way or being handled, over all nodes,
	// each of which may send one at least; 0: 4 for each handler, 16 at least.
	MaxInFlight int
	// Grace is how long Consume waits at its end for handlers; 0: 30 s. What is not
	// finished then is delivered again.
	Grace time.Duration
}

const (
	defaultInFlight = 16
	defaultGrace    = 30 * time.Second
	maxHandlers     = 10_000
	// refresh is how often nodes are asked for that cannot be followed.
	refresh = 10 * time.Second
)

func (o *Consumption) check() error {
	switch {
	case !names.Valid(o.Topic):
		return fmt.Errorf("topic %q: %s", o.Topic, names.Rule)
	case !names.Valid(o.Channel):
		return fmt.Errorf("channel %q: %s", o.Channel, names.Rule)
	case o.Handlers < 0 || o.Handlers > maxHandlers:
		return fmt.Errorf("%d handlers: it is 1 to %d", o.Handlers, maxHandlers)
	case o.MaxInFlight < 0 || o.Grace < 0:
		return errors.New("MaxInFlight and Grace cannot be negative")
	}
	return nil
}

func (o *Consumption) defaults() {
	if o.Handlers == 0 {
		o.Handlers = 1
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = max(defaultInFlight, 4*o.Handlers)
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
}

// Consume gives the messages of a channel to a handler, from all nodes that have the
// topic, until ctx is done or the client is closed: then no more are asked for, those
// that came are handled or given back, and it returns nil. It returns an error early
// when all nodes refuse what they were asked for, or when, of a list of nodes, none can
// be reached at the start. A node that is lost is tried again and again; with
// directories nodes come and go as these say, at once where they are qlookupd.
func (c *Client) Consume(ctx context.Context, o Consumption, handler Handler) error {
	if err := o.check(); err != nil {
		return err
	}
	o.defaults()
	return c.consume(ctx, &o, handler, func(ctx context.Context) ([]string, error) { return c.topicNodes(ctx, o.Topic) }, false)
}

// consume consumes from the nodes that are given, which may change with those that
// take publishes, or with those that have the topic.
func (c *Client) consume(ctx context.Context, o *Consumption, handler Handler, nodes func(context.Context) ([]string, error), ofWriters bool) error {
	ctx, done := c.until(ctx)
	defer done()
	w := newWork(c, o, handler)
	t := tcpclient.ConsumerOptions{
		Options: c.tcp(), Topic: o.Topic, Channel: o.Channel, MaxInFlight: o.MaxInFlight,
		Nodes: nodes, Handle: w.take, Stopping: w.giveBack, Grace: o.Grace, Logger: c.o.Logger,
	}
	if len(c.o.Directories) > 0 {
		t.Refresh = refresh
		t.Follow = func(ctx context.Context, changed func()) {
			c.lookup.Follow(ctx, c.o.Directories, o.Topic, ofWriters, changed)
		}
	}
	var handling sync.WaitGroup
	for range o.Handlers {
		handling.Go(func() { w.run(ctx) })
	}
	err := tcpclient.NewConsumer(t).Run(ctx)
	w.end()
	handling.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// work is what came and is not handled yet.
type work struct {
	c       *Client
	o       *Consumption
	handler Handler

	mu      sync.Mutex // guards what follows
	come    sync.Cond  // there is something in waiting, or ended
	waiting []tcpclient.Message
	giving  bool // what waits is given back
	ended   bool
}

func newWork(c *Client, o *Consumption, handler Handler) *work {
	w := &work{c: c, o: o, handler: handler}
	w.come.L = &w.mu
	return w
}

// take takes messages over. It does not wait: nodes send no more than was asked for.
func (w *work) take(messages []tcpclient.Message) {
	w.mu.Lock()
	if giving := w.giving; giving {
		w.mu.Unlock()
		requeue(messages)
		return
	}
	w.waiting = append(w.waiting, messages...)
	w.come.Broadcast()
	w.mu.Unlock()
}

// giveBack gives back what no handler has begun with.
func (w *work) giveBack() {
	w.mu.Lock()
	w.giving = true
	left := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	requeue(left)
}

func requeue(messages []tcpclient.Message) {
	for _, m := range messages {
		m.From.Requeue(m.ID, 0)
		m.From.Flush()
	}
}

// end lets handlers end when nothing waits.
func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.come.Broadcast()
}

func (w *work) next() (m tcpclient.Message, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 && !w.ended {
		w.come.Wait()
	}
	if len(w.waiting) == 0 {
		return m, false
	}
	m = w.waiting[0]
	w.waiting[0] = tcpclient.Message{}
	w.waiting = w.waiting[1:]
	return m, true
}

// run handles messages, one at a time.
func (w *work) run(ctx context.Context) {
	for {
		m, ok := w.next()
		if !ok {
			return
		}
		d := deliveryOf(&m, w.o.Topic)
		if err := w.handler(ctx, d); err != nil {
			w.c.o.Logger.Warn("a message is given back", "topic", d.Topic, "id", d.ID, "attempts", d.Attempts, "error", err)
			m.From.Requeue(m.ID, delayAfter(err, d.Attempts))
		} else {
			m.From.Finish(m.ID)
		}
		m.From.Flush()
	}
}

func deliveryOf(m *tcpclient.Message, topic string) *Delivery {
	d := &Delivery{
		ID: string(m.ID[:]), Time: m.Time(), Attempts: int(m.Attempts), Topic: topic,
		Node: m.From.Address(), Body: m.Body, from: m.From, id: m.ID,
	}
	for key, value := range message.Headers(m.Headers) {
		d.Headers = append(d.Headers, Header{string(key), string(value)})
	}
	return d
}
