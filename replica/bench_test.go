package replica

import (
	"context"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// countingMachine applies nothing.
type countingMachine struct {
	mu          sync.Mutex // guards what follows: checkpoints are made beside applying
	index, term uint64
	members     *pb.ConfState
}

func (m *countingMachine) Applied() (index, term uint64) { return m.index, m.term }
func (m *countingMachine) Members() *pb.ConfState        { return m.members }
func (m *countingMachine) Fatal(error) bool              { return false }

func (m *countingMachine) Checkpoint() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index, nil
}

func (m *countingMachine) Apply(index, term uint64, data []byte) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index, m.term = index, term
	return nil, nil
}

func (m *countingMachine) SetMembers(index, term uint64, members *pb.ConfState) error {
	m.index, m.term, m.members = index, term, members
	return nil
}

// BenchmarkProposal is the way of an entry of 40 KB, as of 200 messages, through
// three members in one process, whose logs and machines take no time: what the
// shards themselves cost.
func BenchmarkProposal(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var shards [4]*Shard
	var mu sync.Mutex // until all are there
	mu.Lock()
	send := func(messages []*pb.Message) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range messages {
			shards[m.GetTo()].Step(m)
		}
	}
	start := time.Now()
	for id := uint64(1); id <= 3; id++ {
		log := newWaitLog()
		go log.run(ctx)
		s, err := Open(Options{
			Member: id, Voters: []uint64{1, 2, 3}, Log: log, Machine: new(countingMachine), Send: send, Events: nobody{},
			Now: func() time.Duration { return time.Since(start) }, Logger: quiet,
		})
		if err != nil {
			b.Fatal(err)
		}
		shards[id] = s
		defer s.Stop()
		go func() {
			for ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
				s.Checkpoint()
			}
		}()
	}
	mu.Unlock()
	for !shards[1].Status().Serving {
		shards[1].Tick()
		time.Sleep(time.Millisecond)
	}
	data := make([]byte, 40<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	done := make(chan error, 16)
	for range 16 {
		done <- nil
	}
	for b.Loop() {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		shards[1].Propose(data, func(_ any, err error) { done <- err })
	}
}
