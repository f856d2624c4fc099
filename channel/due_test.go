package channel

import (
	"slices"
	"testing"
	"time"

	"qmq/message"
)

// worker is a consumer that takes whatever it may and finishes the oldest
// message that it has.
type worker struct {
	*eater
	has []uint64
}

// fill takes until there is nothing, and tells seen of each message.
func (w *worker) fill(seen func(seq uint64)) {
	for {
		seqs := w.takeSeqs()
		if len(seqs) == 0 {
			return
		}
		w.has = append(w.has, seqs...)
		for _, seq := range seqs {
			seen(seq)
		}
	}
}

// TestWhatIsDueDoesNotWaitBehindWhatCameBack: four consumers of 260 messages a
// second each, with 2,500 in flight and a long backlog, lose their connections
// after 3 s and come again. Deferred messages, a little fewer than a quarter of
// what is delivered, are still sent in time.
func TestWhatIsDueDoesNotWaitBehindWhatCameBack(t *testing.T) {
	const (
		consumers, perSecond, rdy = 4, 260, 2500
		backlog                   = 300_000
		firstDue, dueEvery        = 4 * time.Second, 4 * time.Millisecond // 250 of 1,040 a second
		end                       = 24 * time.Second
	)
	inBubble(t, func(h *fakeHost) {
		start := h.clock.Now()
		due := map[uint64]int64{} // steady ns
		var delayed []message.Mark
		for at := firstDue; at < end; at += dueEvery {
			seq := uint64(1 + len(delayed))
			delayed = append(delayed, message.Mark{Seq: seq, DeliverAt: h.clock.Wall()/1e6 + at.Milliseconds()})
			due[seq] = start + int64(at)
		}
		h.Advance(uint64(len(delayed)+backlog+1), delayed)

		var late []time.Duration
		seen := func(seq uint64) {
			if at, ok := due[seq]; ok {
				late = append(late, time.Duration(h.clock.Now()-at))
				delete(due, seq)
			}
		}
		join := func() (all []*worker) {
			for range consumers {
				all = append(all, &worker{eater: h.subscribe(rdy, 10*time.Minute)})
			}
			for _, w := range all {
				w.fill(seen)
			}
			return all
		}
		all, back := join(), false
		for step := 0; h.clock.Now()-start < int64(end); step++ {
			time.Sleep(time.Second / (consumers * perSecond))
			if !back && h.clock.Now()-start >= int64(3*time.Second) {
				for _, w := range all {
					w.Close()
				}
				all, back = join(), true
			}
			w := all[step%consumers]
			w.mustAnswer(Finish, w.has[0], 0)
			w.has = w.has[1:]
			w.fill(seen)
		}
		slices.Sort(late)
		if p99 := late[len(late)*99/100]; len(due) > 100 || p99 > 100*time.Millisecond {
			t.Errorf("%d sent, %d are waiting, p50 %v late, p99 %v, at most %v", len(late), len(due), late[len(late)/2], p99, late[len(late)-1])
		}
	})
}
