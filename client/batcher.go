package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// BatchOptions say when what was collected is published: as soon as one of the limits
// is reached.
type BatchOptions struct {
	Messages int           // 0: 500
	Bytes    int           // of bodies and headers; 0: 512 KiB. A larger message goes alone.
	Linger   time.Duration // how long the first one waits for more; 0: 5 ms
}

const (
	defaultBatchMessages = 500
	defaultBatchBytes    = 512 << 10
	defaultLinger        = 5 * time.Millisecond
	// maxLinger and maxBatchBytes bound what one may ask for: nodes take commands of
	// 5 MiB by default.
	maxLinger     = time.Minute
	maxBatchBytes = 4 << 20
)

func (o *BatchOptions) check() error {
	switch {
	case o.Messages < 0:
		return fmt.Errorf("batches of %d messages: it is 1 or more", o.Messages)
	case o.Bytes < 0 || o.Bytes > maxBatchBytes:
		return fmt.Errorf("batches of %d bytes: it is up to %d", o.Bytes, maxBatchBytes)
	case o.Linger < 0 || o.Linger > maxLinger:
		return fmt.Errorf("a linger of %v: it is up to %v", o.Linger, maxLinger)
	}
	return nil
}

func (o *BatchOptions) defaults() {
	if o.Messages == 0 {
		o.Messages = defaultBatchMessages
	}
	if o.Bytes == 0 {
		o.Bytes = defaultBatchBytes
	}
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
}

// Batcher collects messages of one topic and publishes them together, one batch after
// the other in the order in which they were added. While a batch is on its way the
// next one fills, and Add waits when that is full. Its methods may be called
// concurrently.
type Batcher struct {
	c     *Client
	topic string
	o     BatchOptions

	full chan struct{} // has room for one: somebody is to publish what there is
	left chan struct{} // has room for one: there is room again
	done chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex // guards what follows
	closed bool
	batch  *collected
}

// collected is a batch.
type collected struct {
	messages []Message
	bytes    int
	due      bool          // it waits for no more
	done     chan struct{} // closed when its fate is known
	err      error
}

// Result is the fate of a message that was added, and of all others of its batch.
type Result struct{ of *collected }

// Wait waits until the message's batch is published, or is not; the errors are those of
// [Client.Publish], or ctx's, which leaves the batch on its way.
func (r Result) Wait(ctx context.Context) error {
	select {
	case <-r.of.done:
		return r.of.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Batcher collects messages for a topic until its Close.
func (c *Client) Batcher(topic string, o BatchOptions) (*Batcher, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if _, err := newPack(topic, []Message{{Body: []byte("x")}}); err != nil {
		return nil, err
	}
	o.defaults()
	b := &Batcher{c: c, topic: topic, o: o, full: make(chan struct{}, 1), left: make(chan struct{}, 1), done: make(chan struct{}), batch: newCollected()}
	if err := c.start(b.run); err != nil {
		return nil, err
	}
	return b, nil
}

func newCollected() *collected { return &collected{done: make(chan struct{})} }

// ErrBatcherClosed means that a batcher was closed before.
var ErrBatcherClosed = errors.New("the batcher is closed")

// Add adds a message, which must not be changed before its fate is known. It waits
// while a full batch waits for another one. A message that cannot be published as it
// is, such as one with a delay, is refused at once and spoils no batch.
func (b *Batcher) Add(ctx context.Context, m Message) (Result, error) {
	if m.Delay != 0 {
		return Result{}, errors.New("a message of a batch has no delay: Publish takes those")
	}
	if _, err := m.encode(); err != nil {
		return Result{}, err
	}
	for {
		r, ok, err := b.add(&m)
		if ok || err != nil {
			return r, err
		}
		select {
		case <-b.left:
		case <-b.done:
			return Result{}, ErrBatcherClosed
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
	}
}

// add adds a message if there is room.
func (b *Batcher) add(m *Message) (r Result, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.c.ctx.Err() != nil { // what is on its way fails then, and leaves room for nothing
		return r, false, ErrBatcherClosed
	}
	n := b.batch
	size := m.size()
	if len(n.messages) > 0 && (len(n.messages) >= b.o.Messages || n.bytes+size > b.o.Bytes) {
		n.due = true
		notify(b.full)
		return r, false, nil
	}
	n.messages = append(n.messages, *m)
	n.bytes += size
	if n.due = n.due || len(n.messages) >= b.o.Messages || n.bytes >= b.o.Bytes; n.due || len(n.messages) == 1 {
		notify(b.full)
	}
	notify(b.left) // others may have waited with this one
	return Result{n}, true, nil
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Flush publishes what was added so far without waiting for more, and waits for its
// fate or for ctx.
func (b *Batcher) Flush(ctx context.Context) error {
	b.mu.Lock()
	n := b.batch
	if len(n.messages) == 0 {
		b.mu.Unlock()
		return nil
	}
	n.due = true
	b.mu.Unlock()
	notify(b.full)
	return Result{n}.Wait(ctx)
}

// Close publishes what was added and ends the batcher. The error is that of the last
// batch. When ctx is done before it stops waiting: the batch stays on its way until the
// client is closed.
func (b *Batcher) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	n := b.batch
	n.due = true
	b.mu.Unlock()
	notify(b.full)
	select {
	case <-b.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(n.messages) == 0 {
		return nil
	}
	return n.err
}

// run publishes batches until Close.
func (b *Batcher) run() {
	defer close(b.done)
	linger := time.NewTimer(0)
	defer linger.Stop()
	<-linger.C
	lingers := false
	for {
		b.mu.Lock()
		n, closed := b.batch, b.closed
		waiting := len(n.messages)
		take := waiting > 0 && n.due
		if take {
			b.batch = newCollected()
		}
		b.mu.Unlock()
		switch {
		case take:
			lingers = false
			linger.Stop()
			notify(b.left)
			n.err = b.c.Publish(b.c.ctx, b.topic, n.messages...)
			close(n.done)
			continue
		case closed:
			return
		case b.c.ctx.Err() != nil:
			b.end(n)
			return
		}
		if waiting > 0 && !lingers {
			lingers = true
			linger.Reset(b.o.Linger)
		}
		select {
		case <-b.full:
		case <-linger.C:
			b.mu.Lock()
			n.due = true
			b.mu.Unlock()
		case <-b.c.ctx.Done():
		}
	}
}

// end refuses what is left when the client is closed.
func (b *Batcher) end(n *collected) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	n.err = ErrClosed
	close(n.done)
}
