package replicas

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"qmq/test/once"
	"qmq/test/process"
)

// TestDoublesAreStoredOnceWhenLeadersAreKilled: publishers that are not sure send again,
// through another member and in another way.
func TestDoublesAreStoredOnceWhenLeadersAreKilled(t *testing.T) {
	s := startSet(t)
	s.create("payments", "work")
	s.insistPut("/topic/config?topic=payments", once.Settings)
	l := once.New()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	consuming, stopConsuming := context.WithCancel(ctx)
	publishing, stop := context.WithCancel(ctx)
	var publishers, consumers sync.WaitGroup
	for i := range uint64(4) {
		p := &once.Publisher{Ledger: l, Name: fmt.Sprint(i / 2), Topic: "payments", Random: rand.New(rand.NewPCG(1, i))}
		publishers.Go(func() {
			for fresh := true; (fresh || p.Open() > 0) && ctx.Err() == nil; fresh = publishing.Err() == nil {
				m := s.members[p.Random.IntN(len(s.members))]
				_ = p.Publish(ctx, m.TCP, m.HTTP, fresh)
				pause(publishing, 10*time.Millisecond)
			}
		})
	}
	for i, m := range s.members {
		random := rand.New(rand.NewPCG(2, uint64(i)))
		consumers.Go(func() {
			for consuming.Err() == nil {
				_ = l.Consume(consuming, random, m.TCP, "payments", "work")
				pause(consuming, 20*time.Millisecond)
			}
		})
	}
	for range 3 {
		pause(ctx, time.Second)
		leader := s.leader("payments")
		leader.Kill()
		pause(ctx, time.Second)
		leader.Start(t)
	}
	stop()
	publishers.Wait()
	for late := time.Now().Add(2 * process.Timeout); l.Missing() > 0 && time.Now().Before(late); {
		pause(ctx, 20*time.Millisecond)
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
