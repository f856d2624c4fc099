package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"qmq/internal/nodeclient"
	"qmq/internal/tcpclient"
)

// watch shows messages of topics, each read through the channel of that name.
type watch struct {
	cluster    *cluster
	agent      string
	topics     []string
	channel    string
	inFlight   int
	refresh    time.Duration
	sampleRate int
	ack        string
	tail       bool                     // take nothing away from others
	options    func(*tcpclient.Options) // nil: none
	show       *shower
	log        *slog.Logger

	mu   sync.Mutex // guards show and held: each node has a goroutine
	held []tcpclient.Message
	err  error // of printing
}

// drawn decides whether a message is among so many in a hundred.
func drawn(percent float64) bool { return rand.Float64()*100 < percent }

// run shows until ctx is done, or enough was shown.
func (w *watch) run(ctx context.Context) error {
	if w.show.count > 0 {
		w.inFlight = min(w.inFlight, w.show.count)
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	errs := make(chan error, len(w.topics))
	for _, topic := range w.topics {
		go func() {
			err := w.topic(ctx, topic, done)
			if err != nil {
				done()
			}
			errs <- err
		}()
	}
	var all []error
	for range w.topics {
		all = append(all, <-errs)
	}
	return errors.Join(append(all, w.err)...)
}

// topic shows one topic. A node that cannot promise that a tail takes nothing is
// asked over HTTP whether it would.
func (w *watch) topic(ctx context.Context, topic string, done func()) error {
	err := w.consumer(topic, w.tail, done).Run(ctx)
	if !errors.Is(err, tcpclient.ErrNoTail) {
		return w.explain(err, topic)
	}
	if err := w.mayTail(ctx, topic); err != nil {
		return err
	}
	return w.consumer(topic, false, done).Run(ctx)
}

func (w *watch) consumer(topic string, tail bool, done func()) *tcpclient.Consumer {
	o := tcpclient.ConsumerOptions{
		Options: w.cluster.tcp(w.agent), Topic: topic, Channel: w.channel, MaxInFlight: w.inFlight,
		Nodes:    func(ctx context.Context) ([]string, error) { return w.cluster.tcpNodes(ctx, topic) },
		Handle:   func(messages []tcpclient.Message) { w.handle(topic, messages, done) },
		Stopping: w.giveBack,
		Logger:   w.log,
	}
	o.Tail, o.SampleRate = tail, w.sampleRate
	if len(w.cluster.lookupds) > 0 {
		o.Refresh, o.Follow = w.refresh, w.cluster.follow(topic)
	}
	if w.options != nil {
		w.options(&o.Options)
	}
	return tcpclient.NewConsumer(o)
}

// handle shows what came and answers it once it is printed.
func (w *watch) handle(topic string, messages []tcpclient.Message, done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := 0
	for i := range messages {
		if w.show.enough() || w.err != nil {
			break
		}
		w.show.take(topic, &messages[i])
		taken++
	}
	if err := w.show.printer.flush(); err != nil && w.err == nil {
		w.err = fmt.Errorf("cannot print: %w", err)
		taken = 0
	}
	w.answer(messages[:taken])
	for _, m := range messages[taken:] { // more than were wanted
		m.From.Requeue(m.ID, 0)
	}
	messages[0].From.Flush()
	if w.show.enough() || w.err != nil {
		done()
	}
}

// answer says what becomes of messages that were shown. The caller holds w.mu.
func (w *watch) answer(messages []tcpclient.Message) {
	for _, m := range messages {
		switch w.ack {
		case "req":
			w.held = append(w.held, m)
		case "none":
			m.From.Drop()
		default:
			m.From.Finish(m.ID)
		}
	}
}

// giveBack ends the holding of messages.
func (w *watch) giveBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.held {
		m.From.Requeue(m.ID, 0)
		m.From.Flush()
	}
	w.held = nil
}

// explain says what can be done about a tail that is refused.
func (w *watch) explain(err error, topic string) error {
	var refused *tcpclient.RefusedError
	if w.tail && errors.As(err, &refused) && strings.HasSuffix(err.Error(), "no such topic") {
		return fmt.Errorf("%w; a publish makes it, q topics create %s too, and q topics lists those that there are", err, topic)
	}
	if w.tail && errors.As(err, &refused) {
		return fmt.Errorf("%w; q peek looks at a channel, q sub %s CHANNEL takes from a durable one, --take-backlog takes all that waits", err, topic)
	}
	return err
}

// mayTail is the rule that qd itself knows, for nodes that do not: a topic that
// is paused or has no other channel is not tailed.
func (w *watch) mayTail(ctx context.Context, topic string) error {
	nodes, err := w.cluster.httpNodes(ctx, topic)
	if err != nil {
		return fmt.Errorf("whether a tail of %s would take messages away from others is not known: %w", topic, err)
	}
	for _, n := range nodes {
		stats, err := w.cluster.nodes.Stats(ctx, n.HTTP, nodeclient.Wanted{Topic: topic}, new(nodeclient.Decoder))
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		for _, t := range stats.Topics {
			if t.Name != topic {
				continue
			}
			if t.Paused || len(t.Channels) == 0 {
				return fmt.Errorf("%s: tail refused: %s wait for a first channel, or the topic is paused; --take-backlog takes them", n.Name, plural(t.Depth, "message"))
			}
		}
		if len(stats.Topics) == 0 {
			return fmt.Errorf("%s: tail refused: there is no such topic", n.Name)
		}
	}
	return nil
}
