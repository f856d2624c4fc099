package order

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"qmq/test/wire"
)

// KeyFrom is the settings of a topic whose messages Publisher and Consumer make and take.
const KeyFrom = `{"key_from": "json:/k"}`

// Publisher publishes messages of keys that are its own.
type Publisher struct {
	Ledger *Ledger
	Name   string // begins its keys
	Keys   int
	Random *rand.Rand

	next map[string]int
}

// Batch is the next messages of a key, a line each, and what to call when they are OK'd.
func (p *Publisher) Batch(n int) (key, lines string, ok func()) {
	if p.next == nil {
		p.next = make(map[string]int)
	}
	var b strings.Builder
	k := p.Random.IntN(p.Keys)
	k = p.Random.IntN(k + 1) // the lower the more
	key = fmt.Sprintf("%s-%d", p.Name, k)
	first := p.next[key] + 1
	for range n {
		p.next[key]++
		fmt.Fprintf(&b, `{"k":"%s","n":%d}`+"\n", key, p.next[key])
	}
	return key, b.String(), func() {
		for i := range n {
			p.Ledger.OK(key, first+i)
		}
	}
}

// Consumer takes messages, and mostly finishes them.
type Consumer struct {
	Ledger *Ledger
	Random *rand.Rand
	// Orderly has everything be finished from some time on.
	Orderly func() bool
	// Life is how long a connection lasts at most; 0: for ever.
	Life time.Duration
	// MaxAttempts is how often a message is delivered before it becomes a dead letter; 0: it
	// never does.
	MaxAttempts uint16
	// Poison says of a message that it is never finished. Nil: none is.
	Poison func(key string, n int) bool
	// Buries has what comes be dead letters, and not the messages themselves.
	Buries bool
}

const answerLimit = 30 * time.Second

// Consume takes from a channel until the connection ends, which it does with ctx too.
func (c *Consumer) Consume(ctx context.Context, address, topic, channel string, ready int) error {
	w, err := wire.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.Ledger.Gone(w)
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	if err := w.Subscribe(`{"client_id":"order","feature_negotiation":true,"heartbeat_interval":1000}`, topic, channel, time.Now().Add(answerLimit)); err != nil {
		return err
	}
	w.Ready(ready)
	end := time.Now().Add(time.Duration(1 + c.Random.Int64N(int64(max(c.Life, 1)))))
	for c.Life == 0 || c.Orderly() || time.Now().Before(end) {
		if err := w.Flush(time.Now().Add(answerLimit)); err != nil {
			return err
		}
		kind, data, err := w.Any(time.Now().Add(answerLimit))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; kind, data, more, err = w.Buffered() {
			if err := c.frame(w, kind, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// frame takes a frame.
func (c *Consumer) frame(w *wire.Client, kind int, data []byte) error {
	if kind == wire.Response && string(data) == "_heartbeat_" {
		w.Out = append(w.Out, "NOP\n"...)
		return nil
	}
	if kind != wire.Delivery {
		return nil
	}
	head, body, err := wire.ParseHead(data)
	if err != nil {
		return err
	}
	var key string
	var n int
	if _, err := fmt.Sscanf(strings.ReplaceAll(string(body), `"`, " "), "{ k : %s , n :%d}", &key, &n); err != nil {
		return fmt.Errorf("the body %q: %w", body, err)
	}
	if c.Buries {
		c.Ledger.Buried(key, n)
		w.Answer("FIN", &head.ID)
		return nil
	}
	c.Ledger.Came(w, key, n)
	dice, poison := c.Random.IntN(100), c.Poison != nil && c.Poison(key, n)
	switch {
	case !poison && (c.Orderly() || dice < 88):
		c.Ledger.Finishes(key, n)
		w.Answer("FIN", &head.ID)
	case poison || dice < 99:
		c.gives(w, key, n, head.Attempts)
		w.Requeue(&head.ID, time.Duration(c.Random.IntN(100))*time.Millisecond)
	default: // it times out
		c.gives(w, key, n, head.Attempts)
	}
	return nil
}

// gives notes that a message is about to be given back, or left alone.
func (c *Consumer) gives(holder any, key string, n int, attempts uint16) {
	if c.MaxAttempts > 0 && attempts >= c.MaxAttempts {
		c.Ledger.Spends(holder, key, n)
		return
	}
	c.Ledger.Leaves(holder, key, n)
}
