package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"qmq/internal/tcpclient"
)

const (
	firstPause = 50 * time.Millisecond // before all nodes are tried again
	maxPause   = time.Second
)

// Publish stores messages, all or none, in a topic of one node, and returns when that
// has said so; nil is OK. What else it may return, and when it tries another node, the
// package says. The messages may be used again when it has returned.
func (c *Client) Publish(ctx context.Context, topic string, messages ...Message) error {
	p, err := newPack(topic, messages)
	if err != nil {
		return err
	}
	return c.publish(ctx, p, "")
}

// publish publishes to one of the nodes, to the one with that address rather than to
// others, if it is not empty.
func (c *Client) publish(ctx context.Context, p *pack, rather string) error {
	given := ctx
	ctx, done := c.until(ctx)
	defer done()
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Patience, errPatience)
	defer cancel()
	t := trial{c: c, p: p, only: ""}
	r := c.routeTo(p.topic)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		over, err := t.round(ctx, r, rather)
		if over {
			return err
		}
		r.forget()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			why := context.Cause(ctx)
			if c.ctx.Err() != nil {
				why = ErrClosed
			} else if given.Err() != nil {
				why = given.Err()
			}
			return t.gaveUp(why)
		}
	}
}

var errPatience = errors.New("no node took it in time")

// trial is a publish that is under way.
type trial struct {
	c    *Client
	p    *pack
	only string // the node that alone may be tried, for it may have the messages; empty: any
	// lost is the failure that leaves it open whether the messages are stored.
	lost   *UnansweredError
	failed []NodeError // of each node the last failure
}

// round tries the nodes one after the other; over says that the publish has come to an
// end, with err.
func (t *trial) round(ctx context.Context, r *route, rather string) (over bool, err error) {
	order := []string{t.only}
	if t.only == "" {
		nodes, refusing, err := t.c.order(ctx, r)
		if err != nil {
			t.note("directory", err)
		}
		for _, n := range refusing {
			t.note(n.Node, errors.New(n.Why))
		}
		order = nodes
		if rather != "" {
			order = append([]string{rather}, slices.DeleteFunc(slices.Clone(nodes), func(at string) bool { return at == rather })...)
		}
	}
	for _, at := range order {
		n := t.c.node(at)
		if n == nil {
			return true, t.gaveUp(ErrClosed)
		}
		if over, err := t.attempt(ctx, at, n); over {
			return true, err
		}
		if ctx.Err() != nil || t.only != "" {
			break
		}
	}
	if without := func(e NodeError) bool { return !errors.Is(e.Err, ErrNoHeaders) }; len(t.failed) > 0 && !slices.ContainsFunc(t.failed, without) {
		return true, t.gaveUp(ErrNoHeaders)
	}
	return false, nil
}

// attempt tries one node.
func (t *trial) attempt(ctx context.Context, at string, n *node) (over bool, err error) {
	err = n.send(ctx, t.p)
	var lost *tcpclient.UnansweredError
	var refused *tcpclient.RefusedError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &lost):
		n.failed()
		t.lost = &UnansweredError{at, lost.Err}
		switch {
		case t.c.o.Duplicates || t.p.allIDs && t.c.o.Replicated:
			t.note(at, err)
			return false, nil
		case t.p.allIDs:
			t.only = at
			return false, nil
		}
		return true, t.lost
	case errors.As(err, &refused) && !isForNow(refused):
		if t.lost != nil { // of what was sent before, nothing more is known now
			return true, t.lost
		}
		return true, &RefusedError{at, refused}
	case refused == nil && ctx.Err() == nil && !errors.Is(err, ErrNoHeaders):
		n.failed()
	}
	t.note(at, err)
	return false, nil
}

// send publishes to the node and waits for the answer.
func (n *node) send(ctx context.Context, p *pack) error {
	switch {
	case p.bodies == nil:
		return n.producer.PublishHeaded(ctx, p.topic, p.delay, p.messages...).WaitUntil(ctx)
	case p.delay > 0:
		return n.producer.Defer(ctx, p.topic, p.delay, p.bodies[0]).WaitUntil(ctx)
	}
	return n.producer.Publish(ctx, p.topic, p.bodies...).WaitUntil(ctx)
}

// note keeps a node's failure.
func (t *trial) note(at string, err error) {
	i := slices.IndexFunc(t.failed, func(e NodeError) bool { return e.Node == at })
	if i < 0 {
		t.failed = append(t.failed, NodeError{at, err})
		return
	}
	t.failed[i].Err = err
}

// gaveUp is the error of a publish that is given up.
func (t *trial) gaveUp(why error) error {
	if t.lost != nil {
		return t.lost
	}
	return &UnpublishedError{t.p.topic, t.failed, why}
}
