package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nsqio/go-nsq"
)

// Feed keeps a consumer of go-nsq connected to the nodes that have a topic, until ctx
// is done or the client is closed: it connects to a node as soon as a directory lists
// it, and leaves those that are not listed any more. It takes the place of
// ConnectToNSQLookupd, which asks directories now and then, and needs directories.
// Where these are NSQ's they are asked every 10 s.
func (c *Client) Feed(ctx context.Context, consumer *nsq.Consumer, topic string) error {
	if len(c.o.Directories) == 0 {
		return errors.New("Feed needs Directories: connect a consumer to a list of nodes with ConnectToNSQDs")
	}
	ctx, done := c.until(ctx)
	defer done()
	changed, followed := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(followed)
		c.lookup.Follow(ctx, c.o.Directories, topic, false, func() { notify(changed) })
	}()
	defer func() { <-followed }()
	again := time.NewTicker(refresh)
	defer again.Stop()
	var connected []string
	for {
		nodes, err := c.topicNodes(ctx, topic)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.o.Logger.Warn("nodes are not known", "topic", topic, "error", err)
		default:
			connected = c.connect(consumer, connected, nodes)
		}
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// connect connects a consumer to nodes, those that it has lost too, and takes it from
// those that are gone. It returns those that it is connected to.
func (c *Client) connect(consumer *nsq.Consumer, before, nodes []string) (now []string) {
	for _, at := range before {
		if !slices.Contains(nodes, at) {
			_ = consumer.DisconnectFromNSQD(at) // it may be gone already
		}
	}
	for _, at := range nodes {
		if err := consumer.ConnectToNSQD(at); err != nil && !errors.Is(err, nsq.ErrAlreadyConnected) {
			c.o.Logger.Warn("no connection", "node", at, "error", err)
			_ = consumer.DisconnectFromNSQD(at) // so that it is connected to anew
			continue
		}
		now = append(now, at)
	}
	return now
}
