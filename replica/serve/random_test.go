package serve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
)

// fates are what publishers were told of what they published, and what consumers had.
type fates struct {
	mu       sync.Mutex
	told     map[string]error
	list     [][]string // by publisher, in the order in which it published
	finished map[string]bool
	over     bool
}

// consumer takes messages at a node whenever it serves, and finishes most.
func (f *fates) consumer(m *member, r *rand.Rand) {
	for !f.isOver() {
		time.Sleep(time.Duration(1+r.IntN(10)) * time.Millisecond)
		served, err := m.node.Topic("t", false)
		if err != nil {
			continue
		}
		c, there := served.ExistingChannel("c")
		if !there {
			continue
		}
		k, err := c.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Hour})
		if err != nil {
			continue
		}
		k.SetReady(int64(1 + r.IntN(20)))
		var ds deliveries
		k.Take(&ds, channel.MaxTake)
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		f.finish(k, ds, r)
		k.Close()
	}
}

func (f *fates) isOver() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// finish answers for messages, and notes what was taken as finished.
func (f *fates) finish(k *channel.Consumer, ds deliveries, r *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range ds {
		a := []channel.Answer{{Op: channel.Finish, ID: d.id}}
		if r.IntN(4) == 0 {
			a[0] = channel.Answer{Op: channel.Requeue, ID: d.id, Delay: time.Duration(r.IntN(50)) * time.Millisecond}
		}
		if k.Answer(a); a[0].Err == nil && a[0].Op == channel.Finish {
			f.finished[d.body] = true
		}
	}
}

// publisher publishes one batch after another, some of them MPUBs.
func (f *fates) publisher(m *member, id int, r *rand.Rand) {
	for i := range 20 + r.IntN(20) {
		bodies := []string{fmt.Sprintf("%d-%d", id, i)}
		for n := range r.IntN(3) {
			bodies = append(bodies, fmt.Sprintf("%s+%d", bodies[0], n))
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		err := m.node.Publish("t", batchOf(bodies...))
		f.mu.Lock()
		for _, body := range bodies {
			f.told[body] = err
		}
		f.list[id] = append(f.list[id], bodies...)
		f.mu.Unlock()
	}
}

// TestWhateverHappensIsAppliedOnce: leaders come and go, some for longer than anybody
// waits, entries and frames are lost, connections break, nodes lag. What was OK'd is
// there once, what was refused at most once, all nodes have the same, and a publisher's
// messages are in its order. A channel gets all of it.
func TestWhateverHappensIsAppliedOnce(t *testing.T) {
	for seed := range uint64(20) {
		withSet(t, 3, func(t *testing.T, s *set) {
			r := rand.New(rand.NewPCG(seed, 1))
			f := &fates{told: make(map[string]error), list: make([][]string, 9), finished: make(map[string]bool)}
			s.lead(s.members[0], 0)
			s.members[0].subscribe(t, "c").Close()
			s.members[0].published(t, "first")
			var all, consumers sync.WaitGroup
			for i, m := range s.members {
				own := rand.New(rand.NewPCG(seed, uint64(i)+20))
				consumers.Go(func() { f.consumer(m, own) })
			}
			for id := range f.list {
				own := rand.New(rand.NewPCG(seed, uint64(id)+2))
				all.Go(func() { f.publisher(s.members[id%3], id, own) })
			}
			for range 30 {
				s.injectFault(r)
				time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
			}
			s.recover(r)
			all.Wait()
			s.members[1].published(t, "last")
			time.Sleep(time.Second)
			f.mu.Lock()
			f.over = true
			f.mu.Unlock()
			consumers.Wait()
			time.Sleep(time.Second)
			f.check(t, seed, s)
		})
	}
}

// injectFault is one thing that happens.
func (s *set) injectFault(r *rand.Rand) {
	a, b := s.members[r.IntN(3)], s.members[r.IntN(3)]
	switch r.IntN(10) {
	case 0, 1, 2:
		s.lead(a, r.IntN(3))
	case 3:
		s.depose(r.IntN(3))
		time.Sleep(time.Duration(r.IntN(8)) * time.Second)
		s.lead(a, 0)
	case 4:
		s.hold(r.IntN(2) == 0)
	case 5:
		a.setLag(r.IntN(2) == 0)
	case 6, 7:
		if a != b {
			s.separate(a, b, r.IntN(2) == 0)
		}
	case 8:
		lost := rand.New(rand.NewPCG(r.Uint64(), 1))
		s.mu.Lock()
		s.lossy = func(uint64, uint64) bool { return lost.IntN(4) == 0 }
		s.mu.Unlock()
	case 9:
		s.mu.Lock()
		for _, p := range s.proposals {
			p.m.events <- func() { p.done(nil, errLost) }
		}
		s.proposals = nil
		s.mu.Unlock()
	}
}

// recover ends all trouble.
func (s *set) recover(r *rand.Rand) {
	s.mu.Lock()
	s.lossy = nil
	s.mu.Unlock()
	for i, a := range s.members {
		a.setLag(false)
		for _, b := range s.members[:i] {
			s.separate(a, b, false)
		}
	}
	s.hold(false)
	s.lead(s.members[r.IntN(3)], 0)
}

func (f *fates) check(t *testing.T, seed uint64, s *set) {
	t.Helper()
	synctest.Wait()
	stored := s.members[0].stored(t, "t")
	place := make(map[string]int)
	for i, body := range stored {
		if _, twice := place[body]; twice {
			t.Errorf("seed %d: %s is there twice", seed, body)
		}
		place[body] = i
	}
	for _, m := range s.members[1:] {
		if !slices.Equal(m.stored(t, "t"), stored) {
			t.Errorf("seed %d: nodes have different messages", seed)
		}
	}
	k := s.leader.subscribe(t, "c")
	for _, d := range k.takeAll() {
		f.finished[d.body] = true
	}
	k.Close()
	for _, body := range stored {
		if !f.finished[body] {
			t.Errorf("seed %d: %s was not given out", seed, body)
		}
	}
	for _, list := range f.list {
		last := 0
		for _, body := range list {
			i, there := place[body]
			if !there {
				if err := f.told[body]; err == nil {
					t.Errorf("seed %d: %s was OK'd and is not there", seed, body)
				}
				continue
			}
			if i < last {
				t.Errorf("seed %d: %s is out of order", seed, body)
			}
			last = i
		}
	}
}
