package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/test/order"
	"qmq/test/process"
)

// orderedCase is publishers and consumers of an ordered channel, and a daemon that is killed.
type orderedCase struct {
	settingsCase
	l       *order.Ledger
	orderly atomic.Bool
}

// TestOrderOutlivesKills: whatever is requeued, times out or is broken off, and whenever the
// daemon is killed, messages of a key come one after the other.
func TestOrderOutlivesKills(t *testing.T) {
	t.Parallel()
	for _, ordered := range []string{"key", "channel"} {
		t.Run(ordered, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			t.Cleanup(cancel)
			r := &orderedCase{l: order.New()}
			r.settingsCase = settingsCase{t: t, ctx: ctx, d: newDaemon(t, goodDaemon(t), daemonFlags...)}
			r.try(ordered)
		})
	}
}

func (r *orderedCase) try(ordered string) {
	r.must(r.d.start(r.ctx))
	r.must(r.d.operate(r.ctx, "/topic/create", "t", "", false))
	r.must(r.d.operate(r.ctx, "/channel/create", "t", "c", false))
	r.must(r.ask("PUT", "/topic/config?topic=t", order.KeyFrom, nil))
	r.must(r.ask("PUT", "/channel/config?topic=t&channel=c", fmt.Sprintf(`{"ordered": %q}`, ordered), nil))
	batch, keys := 50, 40
	if ordered == "channel" { // all messages are of one key, and wait for one another
		batch, keys = 4, 1
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var clients, publishers sync.WaitGroup
	for i := range 4 {
		clients.Go(func() { r.consume(ctx, uint64(i)) })
	}
	publishing, stop := context.WithCancel(ctx)
	for i := range 1 + min(2, keys/2) {
		p := &order.Publisher{Ledger: r.l, Name: fmt.Sprint(i), Keys: keys, Random: rand.New(rand.NewPCG(chosenSeed(r.t), uint64(i)))}
		publishers.Go(func() { r.publish(publishing, p, batch) })
	}
	for range 6 {
		wait(r.ctx, 700*time.Millisecond)
		r.d.kill()
		r.must(r.d.start(r.ctx))
	}
	stop()
	publishers.Wait()
	r.orderly.Store(true)
	for r.l.Missing() > 0 && r.ctx.Err() == nil {
		wait(r.ctx, 20*time.Millisecond)
	}
	cancel()
	clients.Wait()
	r.must(r.ctx.Err())
	r.t.Log(r.l)
	for _, wrong := range r.l.Wrong() {
		r.t.Error(wrong)
	}
}

// publish publishes until ctx ends. What is not answered is not published again.
func (r *orderedCase) publish(ctx context.Context, p *order.Publisher, batch int) {
	for ctx.Err() == nil {
		run, err := r.d.awaitUp(ctx)
		if err != nil {
			return
		}
		_, lines, ok := p.Batch(1 + p.Random.IntN(batch))
		if _, err := process.Ask(r.ctx, r.d.client, "POST", run.http, "/mpub?topic=t", lines); err == nil {
			ok()
		}
		wait(ctx, time.Duration(batch)*time.Millisecond)
	}
}

// consume has one consumer after the other until ctx ends.
func (r *orderedCase) consume(ctx context.Context, n uint64) {
	r.consumeWith(ctx, "t", &order.Consumer{Ledger: r.l, Random: rand.New(rand.NewPCG(chosenSeed(r.t), 100+n)), Orderly: r.orderly.Load, Life: 2 * time.Second})
}

// consumeWith has a client consume the channel of a topic until ctx ends.
func (r *orderedCase) consumeWith(ctx context.Context, topic string, c *order.Consumer) {
	for ctx.Err() == nil {
		run, err := r.d.awaitUp(ctx)
		if err != nil {
			return
		}
		_ = c.Consume(ctx, run.tcp, topic, "c", 1+c.Random.IntN(60))
		wait(ctx, 5*time.Millisecond)
	}
}
