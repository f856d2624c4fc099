package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"qmq/test/once"
)

// TestDoublesAreStoredOnceWhateverIsKilled: publishers that are not sure send again, in
// another way, and two of each name publish the same; the daemon is killed meanwhile.
func TestDoublesAreStoredOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	r := &settingsCase{t: t, ctx: ctx, d: newDaemon(t, goodDaemon(t), "-max-bytes-per-file=65536", "-msg-timeout="+msgTimeout.String())}
	r.must(r.d.start(ctx))
	r.must(r.d.operate(ctx, "/topic/create", "t", "", false))
	r.must(r.d.operate(ctx, "/channel/create", "t", "c", false))
	r.must(r.ask("PUT", "/topic/config?topic=t", once.Settings, nil))
	l, seed := once.New(), chosenSeed(t)
	consuming, stopConsuming := context.WithCancel(ctx)
	publishing, stop := context.WithCancel(ctx)
	var publishers, consumers sync.WaitGroup
	for i := range uint64(4) {
		p := &once.Publisher{Ledger: l, Name: fmt.Sprint(i / 2), Topic: "t", Random: rand.New(rand.NewPCG(seed, i))}
		publishers.Go(func() {
			for fresh := true; fresh || p.Open() > 0; fresh = publishing.Err() == nil {
				run, err := r.d.awaitUp(ctx)
				if err != nil {
					return
				}
				_ = p.Publish(ctx, run.tcp, run.http, fresh)
				wait(publishing, 5*time.Millisecond)
			}
		})
	}
	for i := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 100+i))
		consumers.Go(func() {
			for consuming.Err() == nil {
				if run, err := r.d.awaitUp(consuming); err == nil {
					_ = l.Consume(consuming, random, run.tcp, "t", "c")
				}
				wait(consuming, 5*time.Millisecond)
			}
		})
	}
	for range 6 {
		wait(ctx, 700*time.Millisecond)
		r.d.kill()
		r.must(r.d.start(ctx))
	}
	stop()
	publishers.Wait()
	for l.Missing() > 0 && ctx.Err() == nil {
		wait(ctx, 20*time.Millisecond)
	}
	stopConsuming()
	consumers.Wait()
	t.Log(l)
	if n := l.Missing(); n > 0 {
		t.Errorf("%d ids were OK'd and did not come", n)
	}
	for _, wrong := range l.Wrong() {
		t.Error(wrong)
	}
}
