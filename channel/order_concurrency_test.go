package channel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/message"
	"qmq/settings"
)

// exclusive is a Sink that wants to be the only one with a message of its key.
type exclusive struct {
	t    *testing.T
	busy *[7]atomic.Int32 // by key
	last *[7]atomic.Uint64
	ids  []message.ID

	answers int
}

func (e *exclusive) Put(m *Message) bool {
	k := m.Seq % 7
	if e.busy[k].Add(1) != 1 {
		e.t.Errorf("%d came while another one of its key was in flight", m.Seq)
	}
	if last := e.last[k].Swap(m.Seq); last > m.Seq {
		e.t.Errorf("%d came after %d", m.Seq, last)
	}
	e.ids = append(e.ids, m.ID)
	return true
}

// TestConsumersAtOnceTakeKeysInOrder has several consumers take, finish and requeue at once,
// while messages come.
func TestConsumersAtOnceTakeKeysInOrder(t *testing.T) {
	const all = 5000
	inBubbleWith(t, func(o *Options, host *testHost) {
		host.newReader = func() Reader {
			key := func(seq uint64) string { return fmt.Sprint(seq % 7) }
			return &keyedLog{testReader: testReader{log: host.log}, key: key, reads: map[uint64]int{}}
		}
	}, func(h *fakeHost) {
		h.Configure(settings.EffectiveChannel{Ordered: settings.OrderedKey})
		var busy [7]atomic.Int32
		var last [7]atomic.Uint64
		var done atomic.Int64
		var consumers sync.WaitGroup
		end := make(chan struct{})
		for range 4 {
			e := h.subscribe(5, time.Hour)
			consumers.Go(func() {
				for s := (&exclusive{t: t, busy: &busy, last: &last}); ; {
					for e.Take(s, MaxTake) > 0 {
						e.answerAll(s, &done)
					}
					select {
					case <-e.wakes:
					case <-end:
						return
					}
				}
			})
		}
		for fanOut := uint64(1); fanOut <= all; fanOut += 50 {
			h.Advance(fanOut+50, nil)
			time.Sleep(time.Microsecond)
		}
		synctest.Wait()
		close(end)
		consumers.Wait()
		if n := done.Load(); n != all {
			t.Errorf("%d were finished", n)
		}
	})
}

// answerAll requeues some of what came, and finishes the others.
func (e *eater) answerAll(s *exclusive, done *atomic.Int64) {
	for _, id := range s.ids {
		_, seq, _ := id.Split()
		answer := Answer{Op: Finish, ID: id}
		if s.answers++; s.answers%5 == 0 {
			answer.Op = Requeue
		} else {
			done.Add(1)
		}
		s.busy[seq%7].Add(-1)
		e.Answer([]Answer{answer})
	}
	s.ids = s.ids[:0]
}

// TestWhatIsHeldBackTakesAtMost32BytesEach: what waits for its key, and the numbers that the
// cursor skips for the sake of others.
func TestWhatIsHeldBackTakesAtMost32BytesEach(t *testing.T) {
	o, bytes := heapOf(func() *keyOrder {
		o := new(keyOrder)
		o.start(1, 5)
		for seq := uint64(2); seq < maxAhead; seq++ {
			o.add(redelivery{seq: seq}, asFresh, 5)
		}
		return o
	})
	if per := float64(bytes) / maxAhead; per > 32 || o.held() != maxAhead-2 {
		t.Errorf("%.1f bytes each of %d", per, o.held())
	}
}
