package replicas

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"qmq/test/once"
	"qmq/test/process"
)

// TestDoublesAreStoredOnceWhenLeadersAreKilled: publishers that are not sure send again,
// through another member and in another way.
func TestDoublesAreStoredOnceWhenLeadersAreKilled(t *testing.T) {
	s := startSet(t)
	s.publishOnce(func(ctx context.Context) {
		for range 3 {
			pause(ctx, time.Second)
			leader := s.leader("payments")
			leader.Kill()
			pause(ctx, time.Second)
			leader.Start(t)
		}
	})
}

// TestDoublesAreStoredOnceWhileTheLeaderStands still, and goes on where others lead by then.
func TestDoublesAreStoredOnceWhileTheLeaderStands(t *testing.T) {
	s := startSet(t)
	s.publishOnce(func(ctx context.Context) {
		for range 2 {
			pause(ctx, time.Second)
			leader := s.leader("payments")
			signal(t, leader, syscall.SIGSTOP)
			process.Eventually(t, "another leader", func() bool {
				for _, m := range s.others(leader) {
					if st, ok := m.stats("payments"); ok && st.Replica.Role == "leader" {
						return true
					}
				}
				return false
			})
			pause(ctx, time.Second)
			signal(t, leader, syscall.SIGCONT)
		}
	})
}

// TestDoublesAreStoredOnceWhileSettingsChange through one member after the other, in each of
// which all ids that are sent again are known.
func TestDoublesAreStoredOnceWhileSettingsChange(t *testing.T) {
	s := startSet(t)
	s.publishOnce(func(ctx context.Context) {
		for i, settings := range []string{
			`{"dedup_max_ids": 500000}`, `{"dedup_window": "30m", "max_age": "2h"}`, `{"dedup_max_ids": null, "key_from": null}`,
			`{"dedup_window": "2h"}`, `{"dedup_max_ids": 400000, "key_from": "json:/id"}`, `{"max_messages": 1000000, "dedup_window": "1h"}`,
		} {
			pause(ctx, 300*time.Millisecond)
			s.insistPutAt(s.members[i%len(s.members)], "/topic/config?topic=payments", settings)
		}
	})
}

func signal(t *testing.T, m *member, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(m.PID(), sig); err != nil {
		t.Fatal(err)
	}
}

// publishOnce has publishers, two of each name, publish through all members what they are
// not sure of again, and much of the rest, while there is trouble; all is there once.
func (s *set) publishOnce(trouble func(ctx context.Context)) {
	t := s.t
	s.create("payments", "work")
	s.insistPut("/topic/config?topic=payments", once.Settings)
	l := once.New()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
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
	trouble(ctx)
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
