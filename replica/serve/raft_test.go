package serve

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
	"qmq/raftlog"
	"qmq/replica"
)

// real is a member whose entries raft agrees on, with a log in memory.
type real struct {
	*member
	shard atomic.Pointer[replica.Shard]
	log   *raftlog.Log
	down  atomic.Bool
	stop  chan struct{}
	all   []*real
}

// withRaft runs a test in a bubble of its own, with three members that have elected a
// leader.
func withRaft(t *testing.T, test func(t *testing.T, s *set, members []*real)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, 3)
		members := startRaft(t, s)
		time.Sleep(3 * time.Second)
		test(t, s, members)
		stopRaft(t, members)
		s.close()
	})
}

func startRaft(t testing.TB, s *set) (list []*real) {
	for _, m := range s.members {
		list = append(list, &real{member: m, stop: make(chan struct{})})
	}
	for _, r := range list {
		r.all = list
		r.node.Close()
		r.startOn(2, r)
		var err error
		r.log, _, err = raftlog.Open(raftlog.Options{FS: vfs.NewMem(), Dir: "/wal", Cluster: 1, Node: r.id, SegmentBytes: 8 << 20, Logger: quiet})
		must(t, err)
		shard, err := replica.Open(replica.Options{
			Member: r.id, Voters: []uint64{1, 2, 3}, Log: replica.LogOf(r.log, 0), Machine: replica.MachineOf(r.machine),
			Send: r.send, Events: events{r.node.Shard(0)}, Alarm: func(err error) { t.Error(err) }, Logger: quiet,
			Now: func() time.Duration { return time.Duration(r.clock.Now()) },
		})
		must(t, err)
		r.shard.Store(shard)
		r.ended.Go(r.tick)
	}
	return list
}

func stopRaft(t testing.TB, list []*real) {
	for _, r := range list {
		r.kill()
		r.shard.Load().Stop()
		must(t, r.log.Close())
	}
}

func (r *real) tick() {
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.shard.Load().Tick()
		case <-r.stop:
			return
		}
	}
}

// kill has the others hear nothing more of it.
func (r *real) kill() {
	if r.down.Swap(true) {
		return
	}
	close(r.stop)
}

func (r *real) Propose(data []byte, done func(any, error)) { r.shard.Load().Propose(data, done) }

func (r *real) ProposeOwn(data []byte, done func(any, error)) { r.shard.Load().ProposeOwn(data, done) }

func (r *real) send(messages []*pb.Message) {
	for _, m := range messages {
		to := r.all[m.GetTo()-1]
		if shard := to.shard.Load(); shard != nil && !r.down.Load() && !to.down.Load() {
			to.frames <- func() { shard.Step(m) }
		}
	}
}

// events are told to a Shard.
type events struct{ *Shard }

func (e events) Applied(a replica.Applied) { e.Shard.Applied(a.Outcome) }

// TestRaftBringsWhatIsPublished through every member, past a leader that dies.
func TestRaftBringsWhatIsPublished(t *testing.T) {
	withRaft(t, func(t *testing.T, s *set, members []*real) {
		leader, _ := members[0].node.Leader("t")
		if leader == 0 {
			t.Fatal("no leader")
		}
		k := members[leader-1].subscribe(t, "c")
		var want []string
		var all sync.WaitGroup
		for _, m := range members {
			if m.id == leader {
				continue
			}
			for i := range 60 {
				body := fmt.Sprint(m.id, "-", i)
				want = append(want, body)
				all.Go(func() {
					time.Sleep(time.Duration(i) * 10 * time.Millisecond)
					if err := m.node.Publish("t", batchOf(body)); err != nil {
						t.Error(err)
					}
				})
			}
		}
		time.Sleep(200 * time.Millisecond)
		k.finish(k.takeAll()...)
		time.Sleep(100 * time.Millisecond)
		members[leader-1].kill()
		for _, m := range members {
			s.separate(members[leader-1].member, m.member, true)
		}
		all.Wait()
		next, _ := members[leader%3].node.Leader("t")
		if next == leader || next == 0 {
			t.Fatalf("led by %d", next)
		}
		k.Close()
		k = members[next-1].subscribe(t, "c")
		left := k.takeAll().bodies()
		if len(left) == 0 || len(left) > len(want)-20 {
			t.Errorf("%d of %d are left", len(left), len(want))
		}
		k.Close()
		got := members[next-1].stored(t, "t")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d messages are there, want %d", len(got), len(want))
		}
	})
}

// BenchmarkRaft is what three members take together, in memory, for a message of 200 B
// that is published through the leader.
func BenchmarkRaft(b *testing.B) {
	for _, c := range []struct{ publishers, batch int }{{1, 1}, {100, 1}, {16, 200}} {
		b.Run(fmt.Sprintf("%d publishers of %d", c.publishers, c.batch), func(b *testing.B) {
			s := newSet(b, 3)
			s.hop = 0
			members := startRaft(b, s)
			leader := uint64(0)
			for leader == 0 {
				time.Sleep(10 * time.Millisecond)
				leader, _ = members[0].node.Leader("t")
			}
			s.members[leader-1].published(b, "first")
			s.members[leader-1].publishAll(b, c.publishers, c.batch)
			stopRaft(b, members)
			s.close()
		})
	}
}
