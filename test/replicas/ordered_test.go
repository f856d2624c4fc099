package replicas

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

// TestOrderHoldsWhenLeadersAreKilled: consumers of all members keep what they have when the
// leader dies, and nothing of the same key is given to others before they are done.
func TestOrderHoldsWhenLeadersAreKilled(t *testing.T) {
	orderHolds(t, func(key string) string { return "&key=" + key })
}

// TestOrderOfKeysInBodiesHoldsWhenLeadersAreKilled: who has just started again knows where
// they are before what comes through it is stored.
func TestOrderOfKeysInBodiesHoldsWhenLeadersAreKilled(t *testing.T) {
	orderHolds(t, nil)
}

// orderHolds has keys said with each publish, or taken from bodies where said is nil.
func orderHolds(t *testing.T, said func(key string) string) {
	s := startSet(t, "--msg-timeout=20s")
	s.create("orders", "work")
	if said == nil {
		s.insistPut("/topic/config?topic=orders", `{"key_from": "json:/k"}`)
		said = func(string) string { return "" }
	}
	s.insistPut("/channel/config?topic=orders&channel=work", `{"ordered": "key"}`)
	l := order.New()
	var orderly atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	publishing, stop := context.WithCancel(ctx)
	var publishers, consumers sync.WaitGroup
	for i, m := range s.members {
		p := &order.Publisher{Ledger: l, Name: fmt.Sprint(i), Keys: 20, Random: rand.New(rand.NewPCG(1, uint64(i)))}
		publishers.Go(func() {
			for publishing.Err() == nil {
				key, lines, ok := p.Batch(1 + p.Random.IntN(20))
				if _, err := m.ask("POST", "/mpub?topic=orders"+said(key), lines); err == nil {
					ok()
				}
				pause(publishing, 10*time.Millisecond)
			}
		})
		c := &order.Consumer{Ledger: l, Random: rand.New(rand.NewPCG(2, uint64(i))), Orderly: orderly.Load}
		consumers.Go(func() {
			for ctx.Err() == nil {
				_ = c.Consume(ctx, m.TCP, "orders", "work", 30)
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	for range 3 {
		pause(ctx, 2*time.Second)
		leader := s.leader("orders")
		leader.Kill()
		pause(ctx, 2*time.Second)
		leader.Start(t)
	}
	stop()
	publishers.Wait()
	orderly.Store(true)
	for late := time.Now().Add(2 * process.Timeout); l.Missing() > 0 && time.Now().Before(late); {
		pause(ctx, 20*time.Millisecond)
	}
	cancel()
	consumers.Wait()
	t.Log(l)
	if n := l.Missing(); n > 0 {
		t.Errorf("%d messages were OK'd and never finished", n)
	}
	for _, wrong := range l.Wrong() {
		t.Error(wrong)
	}
}

// insistPut sets settings through the first member, whatever it takes.
func (s *set) insistPut(path, body string) {
	s.t.Helper()
	s.insistPutAt(s.members[0], path, body)
}

// insistPutAt is insistPut at a member.
func (s *set) insistPutAt(m *member, path, body string) {
	s.t.Helper()
	var err error
	for late := time.Now().Add(process.Timeout); time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
		if _, err = m.ask("PUT", path, body); err == nil {
			return
		}
	}
	s.t.Fatalf("%s: %v", path, err)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
