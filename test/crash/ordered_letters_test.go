package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"qmq/test/order"
)

// lettersOfOrder is how often messages of an ordered channel are delivered that nobody
// finishes.
const lettersOfOrder = 3

// TestDeadLettersOfAnOrderedChannelOutliveKills: what is never finished becomes a dead
// letter, at least once, and what was published behind it with its key comes then, and not
// before, whenever the daemon is killed.
func TestDeadLettersOfAnOrderedChannelOutliveKills(t *testing.T) {
	t.Parallel()
	for _, ordered := range []string{"key", "channel"} {
		t.Run(ordered, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			t.Cleanup(cancel)
			r := &orderedCase{l: order.New()}
			// Nothing times out that a client has not read yet: it would not know that it is spent.
			r.settingsCase = settingsCase{t: t, ctx: ctx, d: newDaemon(t, goodDaemon(t), "-max-bytes-per-file=65536", "-msg-timeout=2m")}
			r.tryLetters(ordered)
		})
	}
}

func (r *orderedCase) tryLetters(ordered string) {
	r.must(r.d.start(r.ctx))
	for _, topic := range []string{"t", "dead"} {
		r.must(r.d.operate(r.ctx, "/topic/create", topic, "", false))
		r.must(r.d.operate(r.ctx, "/channel/create", topic, "c", false))
	}
	r.must(r.ask("PUT", "/topic/config?topic=t", order.KeyFrom, nil))
	r.must(r.ask("PUT", "/channel/config?topic=t&channel=c",
		fmt.Sprintf(`{"ordered": %q, "max_attempts": %d, "dead_letter_topic": "dead"}`, ordered, lettersOfOrder), nil))
	batch, keys := 30, 20
	if ordered == "channel" { // all messages are of one key, and wait for one another
		batch, keys = 2, 1
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var clients, publishers sync.WaitGroup
	for i := range uint64(4) {
		clients.Go(func() { r.consumeWith(ctx, "t", r.letters(i)) })
	}
	undertaker := &order.Consumer{Ledger: r.l, Random: rand.New(rand.NewPCG(chosenSeed(r.t), 200)), Orderly: r.orderly.Load, Life: 2 * time.Second, Buries: true}
	clients.Go(func() { r.consumeWith(ctx, "dead", undertaker) })
	publishing, stop := context.WithCancel(ctx)
	for i := range 1 + min(1, keys/2) {
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
	if n := r.l.Missing(); n > 0 {
		r.t.Errorf("%d messages were OK'd and are neither finished nor dead letters", n)
	}
	if r.l.Letters() == 0 {
		r.t.Error("there is no dead letter")
	}
	r.t.Log(r.l)
	for _, wrong := range r.l.Wrong() {
		r.t.Error(wrong)
	}
}

// letters is a client that never finishes some messages.
func (r *orderedCase) letters(n uint64) *order.Consumer {
	return &order.Consumer{
		Ledger: r.l, Random: rand.New(rand.NewPCG(chosenSeed(r.t), 100+n)), Orderly: r.orderly.Load, Life: 2 * time.Second,
		MaxAttempts: lettersOfOrder, Poison: func(_ string, n int) bool { return n%13 == 5 },
	}
}
