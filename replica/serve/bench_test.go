package serve

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// alone is a Raft of one member, which agrees with itself: what is proposed while it
// is at work, it takes up next.
type alone struct {
	m       *member
	index   uint64
	work    chan proposal
	entries atomic.Int64
	pause   time.Duration // as that of a sync
}

func (a *alone) Propose(data []byte, done func(any, error)) {
	a.work <- proposal{data: data, done: done}
}

func (a *alone) ProposeOwn(data []byte, done func(any, error)) { a.Propose(data, done) }

func (a *alone) run() {
	for p := range a.work {
		if a.pause > 0 {
			time.Sleep(a.pause)
		}
		a.index++
		a.entries.Add(1)
		outcome, err := a.m.machine.Apply(a.index, 1, p.data)
		if err != nil {
			panic(err)
		}
		a.m.node.Shard(0).Applied(outcome)
		p.done(outcome, nil)
	}
}

// BenchmarkPublish is what a publish costs at the leader, beside the raft log: numbering,
// copying, making entries, applying them and telling the fate; per message of 200 B.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct {
		publishers, batch int
		pause             time.Duration
	}{{1, 1, 0}, {100, 1, 0}, {100, 1, time.Millisecond}, {16, 200, 0}, {16, 200, time.Millisecond}} {
		b.Run(fmt.Sprintf("%d publishers of %d, %v", c.publishers, c.batch, c.pause), func(b *testing.B) {
			benchmarkPublish(b, c.publishers, c.batch, c.pause)
		})
	}
}

func benchmarkPublish(b *testing.B, publishers, batch int, pause time.Duration) {
	s := newSet(b, 1)
	defer s.close()
	m := s.members[0]
	m.node.Close()
	a := &alone{m: m, work: make(chan proposal, 1<<10), pause: pause}
	var running sync.WaitGroup
	running.Go(a.run)
	m.startOn(2, a)
	m.node.Shard(0).Leader(1, 1)
	m.node.Shard(0).Led(1)
	m.published(b, "first")
	a.entries.Store(0)
	m.publishAll(b, publishers, batch)
	b.ReportMetric(float64(b.N)/float64(batch)/float64(a.entries.Load()), "batches/entry")
	m.node.Close()
	close(a.work)
	running.Wait()
}

// publishAll publishes b.N messages.
func (m *member) publishAll(b *testing.B, publishers, batch int) {
	bodies := make([]string, batch)
	for i := range bodies {
		bodies[i] = strings.Repeat("x", 200)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			records := batchOf(bodies...)
			for left.Add(-int64(batch)) > -int64(batch) {
				must(b, m.node.Publish("t", records))
			}
		})
	}
	all.Wait()
	b.StopTimer()
}
