package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"qmq/internal/tcpclient"
	"qmq/protocol"
)

// publisher sends batches to nodes and counts what they OK. It belongs to one
// goroutine.
type publisher struct {
	topic     string
	producers []*tcpclient.Producer
	all       bool    // each message goes to every node
	rate      float64 // messages a second; 0: no limit
	start     time.Time

	next            int           // producer whose turn it is
	sent            int64         // messages
	flights         []flight      // unanswered, in the order in which they were sent
	messages, bytes int64         // that were OK'd
	oks             map[int]int64 // messages, by producer
}

// flight is a batch that is on its way to one node.
type flight struct {
	batch batch
	to    int // producer
	acks  []*tcpclient.Ack
}

// unanswered is how many batches are on their way at a time.
const unanswered = 16

// connect fails when none of the nodes, or where all are wanted one of them,
// can be reached.
func (p *publisher) connect(ctx context.Context) error {
	p.oks = make(map[int]int64)
	var errs []error
	for _, producer := range p.producers {
		if err := producer.Connect(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(p.producers) || p.all && len(errs) > 0 {
		return errors.Join(errs...)
	}
	return nil
}

func (p *publisher) close() {
	for _, producer := range p.producers {
		producer.Close()
	}
}

// publish sends what comes until the channel is closed or ctx is done, and waits
// for the answers.
func (p *publisher) publish(ctx context.Context, batches <-chan batch) error {
	for {
		b, err := p.incoming(ctx, batches)
		if err == nil && len(b.messages) == 0 {
			return p.awaitAnswers(0)
		}
		if err == nil {
			err = p.send(b)
		}
		if err != nil {
			return errors.Join(err, p.awaitAnswers(0))
		}
	}
}

// incoming is the next batch; an empty one ends them. While there is none,
// answers are counted.
func (p *publisher) incoming(ctx context.Context, batches <-chan batch) (batch, error) {
	for len(p.flights) > 0 {
		select {
		case b := <-batches:
			return p.paced(ctx, b), nil
		default:
		}
		if err := p.awaitAnswers(len(p.flights) - 1); err != nil {
			return batch{}, err
		}
	}
	select {
	case b := <-batches:
		return p.paced(ctx, b), nil
	case <-ctx.Done():
		return batch{}, nil
	}
}

// paced is b as soon as the rate allows it, or an empty batch if ctx is done
// before.
func (p *publisher) paced(ctx context.Context, b batch) batch {
	if ctx.Err() != nil || p.pace(ctx) != nil {
		return batch{}
	}
	return b
}

// pace waits until the rate allows another batch.
func (p *publisher) pace(ctx context.Context) error {
	if p.rate <= 0 {
		return nil
	}
	due := p.start.Add(time.Duration(float64(p.sent) / p.rate * float64(time.Second)))
	wait := time.Until(due)
	if wait <= 0 {
		return nil
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends a batch to the node whose turn it is, or to all.
func (p *publisher) send(b batch) error {
	p.sent += int64(len(b.messages))
	targets := []int{p.next % len(p.producers)}
	p.next++
	if p.all {
		targets = targets[:0]
		for i := range p.producers {
			targets = append(targets, i)
		}
	}
	for _, to := range targets {
		p.flights = append(p.flights, flight{b, to, p.begin(b, to)})
	}
	return p.awaitAnswers(unanswered)
}

// begin sends a batch to one node.
func (p *publisher) begin(b batch, to int) (acks []*tcpclient.Ack) {
	ctx := context.Background() // what is begun is not given up
	var bodies [][]byte
	if b.headed() {
		return p.beginHeaded(ctx, b, to)
	}
	for _, m := range b.messages {
		if m.delay > 0 {
			acks = append(acks, p.producers[to].Defer(ctx, p.topic, m.delay, m.body))
			continue
		}
		bodies = append(bodies, m.body)
	}
	if len(bodies) > 0 {
		acks = append(acks, p.producers[to].Publish(ctx, p.topic, bodies...))
	}
	return acks
}

// headed tells whether a message of the batch has headers.
func (b *batch) headed() bool {
	return slices.ContainsFunc(b.messages, func(m outgoing) bool { return len(m.headers) > 0 })
}

// beginHeaded is begin for messages with headers.
func (p *publisher) beginHeaded(ctx context.Context, b batch, to int) (acks []*tcpclient.Ack) {
	var together []tcpclient.Outgoing
	for _, m := range b.messages {
		one := tcpclient.Outgoing{Headers: m.headers, Body: m.body}
		if m.delay > 0 {
			acks = append(acks, p.producers[to].PublishHeaded(ctx, p.topic, m.delay, one))
			continue
		}
		together = append(together, one)
	}
	if len(together) > 0 {
		acks = append(acks, p.producers[to].PublishHeaded(ctx, p.topic, 0, together...))
	}
	return acks
}

// awaitAnswers waits for answers until no more than left batches are unanswered.
func (p *publisher) awaitAnswers(left int) error {
	for len(p.flights) > left {
		f := p.flights[0]
		p.flights = p.flights[1:]
		if err := p.outcome(f); err != nil {
			return err
		}
	}
	return nil
}

// outcome waits for the answers to a batch. Where one node is as good as another,
// a batch that one did not take goes to the next.
func (p *publisher) outcome(f flight) error {
	err := wait(f.acks)
	for tries := 1; err != nil && !p.all && tries < len(p.producers) && !isForever(err); tries++ {
		f.to = (f.to + 1) % len(p.producers)
		err = wait(p.begin(f.batch, f.to))
	}
	if err != nil {
		var refused *tcpclient.RefusedError
		if errors.As(err, &refused) {
			err = fmt.Errorf("%s refuses: %w", p.producers[f.to].Address(), err)
		}
		return fmt.Errorf("%s not published: %w", f.batch.pieces(), err)
	}
	p.oks[f.to] += int64(len(f.batch.messages))
	if !p.all || f.to == len(p.producers)-1 {
		p.messages += int64(len(f.batch.messages))
		p.bytes += int64(f.batch.bytes)
	}
	return nil
}

func wait(acks []*tcpclient.Ack) (err error) {
	for _, a := range acks {
		if failed := a.Wait(); failed != nil {
			err = failed
		}
	}
	return err
}

// isForever tells whether other nodes would refuse the same.
func isForever(err error) bool {
	var refused *tcpclient.RefusedError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case protocol.CodePubFailed, protocol.CodeMpubFailed, protocol.CodeDpubFailed, protocol.CodeHpubFailed, protocol.CodeHmpubFailed:
		return false
	}
	return true
}

// pieces says where in the input a batch came from.
func (b *batch) pieces() string {
	if len(b.messages) == 1 {
		return fmt.Sprintf("message %d", b.from)
	}
	return fmt.Sprintf("%d messages from message %d on", len(b.messages), b.from)
}

// told says what was OK'd, and by whom.
func (p *publisher) told() string {
	where := p.producers[0].Address()
	if len(p.producers) > 1 {
		var each []string
		for i, producer := range p.producers {
			each = append(each, fmt.Sprintf("%s %d", producer.Address(), p.oks[i]))
		}
		where = "nodes: " + strings.Join(each, ", ")
		if p.all {
			where = "each of " + plural(int64(len(p.producers)), "node")
		}
	}
	return fmt.Sprintf("%s OK'd by %s", plural(p.messages, "message"), where)
}

// perNode counts what was OK'd by node.
func (p *publisher) perNode() map[string]int64 {
	counts := make(map[string]int64)
	for i, producer := range p.producers {
		counts[producer.Address()] = p.oks[i]
	}
	return counts
}
