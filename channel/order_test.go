package channel

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
	"qmq/message"
	"qmq/settings"
)

// keyedLog has messages with keys and priorities.
type keyedLog struct {
	testReader
	key      func(seq uint64) string
	priority func(seq uint64) byte
	reads    map[uint64]int
	cold     bool
}

func (r *keyedLog) Read(seq uint64, m *message.View) error {
	r.reads[seq]++
	if err := r.testReader.Read(seq, m); err != nil {
		return err
	}
	m.Attrs = nil
	if key := r.key(seq); key != "" {
		m.Attrs = message.AppendAttr(m.Attrs, message.AttrKey, []byte(key))
	}
	if r.priority != nil {
		m.Attrs = message.AppendAttr(m.Attrs, message.AttrPriority, []byte{r.priority(seq)})
	}
	return nil
}

func (r *keyedLog) ReadCached(seq uint64, m *message.View) bool {
	return !r.cold && r.Read(seq, m) == nil
}

// inOrder runs f with a channel of messages with keys.
func inOrder(t *testing.T, log *keyedLog, s settings.EffectiveChannel, f func(h *fakeHost)) {
	log.reads = map[uint64]int{}
	set := func(o *Options, host *testHost) {
		host.newReader = func() Reader { log.log = host.log; return log }
	}
	inBubbleWith(t, set, func(h *fakeHost) {
		h.Configure(s)
		f(h)
	})
}

// byThree gives messages three keys, by turns.
func byThree(seq uint64) string { return fmt.Sprint("k", seq%3) }

var (
	byKey      = settings.EffectiveChannel{Ordered: settings.OrderedKey}
	oneByOne   = settings.EffectiveChannel{Ordered: settings.OrderedChannel}
	byPriority = settings.EffectiveChannel{Prioritised: true}
)

func TestOneMessageOfAKeyIsInFlightAtATime(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, byKey, func(h *fakeHost) {
		h.Advance(10, nil)
		a, b := h.subscribe(100, time.Minute), h.subscribe(100, time.Minute)
		a.expect("1/1 2/1")
		b.expect("3/1")
		b.expect("")
		if s := h.Stats(); s.Held != 6 || s.Depth != 6 {
			t.Errorf("%d are held back, %d wait", s.Held, s.Depth)
		}
		a.mustAnswer(Finish, 2, 0)
		a.mustAnswer(Requeue, 1, 30*time.Second) // its key waits, others go on
		b.mustAnswer(Finish, 3, 0)
		a.expect("5/1")
		b.expect("6/1")
		a.mustAnswer(Finish, 5, 0)
		b.mustAnswer(Finish, 6, 0)
		a.expect("8/1")
		b.expect("9/1")
		time.Sleep(29 * time.Second)
		a.expect("")
		time.Sleep(time.Second)
		synctest.Wait()
		a.expect("1/2")
		a.mustAnswer(Finish, 1, 0)
		a.expect("4/1")
	})
}

func TestATimedOutMessageComesBeforeItsSuccessors(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, byKey, func(h *fakeHost) {
		h.Advance(7, nil)
		late, b := h.subscribe(1, time.Second), h.subscribe(100, time.Minute)
		late.expect("1/1")
		b.expect("2/1 3/1")
		time.Sleep(time.Second)
		synctest.Wait()
		b.expect("1/2")
		if err := late.answer(Finish, 1, 0); err != ErrNotOwner {
			t.Errorf("the late FIN: %v", err)
		}
		b.expect("")
		b.mustAnswer(Finish, 1, 0)
		b.expect("4/1")
	})
}

func TestMessagesWithoutAKeyAreNotOrdered(t *testing.T) {
	none := func(seq uint64) string { return "" }
	inOrder(t, &keyedLog{key: none}, byKey, func(h *fakeHost) {
		h.Advance(5, nil)
		a := h.subscribe(100, time.Minute)
		a.expect("1/1 2/1 3/1 4/1")
		a.mustAnswer(Requeue, 2, 0)
		a.expect("2/2")
	})
}

func TestAnOrderedChannelGivesOneMessageAfterTheOther(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, oneByOne, func(h *fakeHost) {
		h.Advance(4, nil)
		a, b := h.subscribe(100, time.Minute), h.subscribe(100, time.Minute)
		a.expect("1/1")
		b.expect("")
		a.mustAnswer(Requeue, 1, time.Second)
		b.expect("")
		time.Sleep(time.Second)
		synctest.Wait()
		b.expect("1/2")
		b.mustAnswer(Finish, 1, 0)
		a.expect("2/1")
		a.mustAnswer(Finish, 2, 0)
		b.expect("3/1")
	})
}

// TestASlowKeyCostsNoScanOfItsBacklog: what one key holds back is looked at once, and no more
// of it than is kept.
func TestASlowKeyCostsNoScanOfItsBacklog(t *testing.T) {
	slow := func(seq uint64) string {
		if seq%100 == 0 {
			return fmt.Sprint(seq)
		}
		return "slow"
	}
	log := &keyedLog{key: slow}
	inOrder(t, log, byKey, func(h *fakeHost) {
		h.Advance(3*maxAhead, nil)
		a := h.subscribe(1<<20, time.Minute)
		n := 0
		for seqs := a.takeSeqs(); len(seqs) > 0; seqs = a.takeSeqs() {
			n += len(seqs)
			for _, seq := range seqs {
				if seq != 1 {
					a.mustAnswer(Finish, seq, 0)
				}
			}
		}
		if least := maxAhead / 100; n < least || n > 2*least {
			t.Errorf("%d others were delivered", n)
		}
		for seq, n := range log.reads {
			if n > 2 || seq > 2*maxAhead {
				t.Fatalf("%d was read %d times", seq, n)
			}
		}
		if s := h.Stats(); s.Held > maxAhead || s.Held < maxAhead-MaxTake {
			t.Errorf("%d are held", s.Held)
		}
		a.mustAnswer(Finish, 1, 0)
		a.expect("2/1")
	})
}

func TestADeferredPublishTakesItsPlaceWhenItIsDue(t *testing.T) {
	inOrder(t, &keyedLog{key: func(uint64) string { return "k" }}, byKey, func(h *fakeHost) {
		h.Advance(4, []message.Mark{{Seq: 1, DeliverAt: wallShift(h.clock) + h.clock.Now()/1e6 + 1000}})
		a := h.subscribe(100, time.Minute)
		a.expect("2/1") // what is not due holds nothing back
		time.Sleep(time.Second)
		synctest.Wait()
		a.expect("")
		a.mustAnswer(Finish, 2, 0)
		a.expect("1/1")
		a.mustAnswer(Finish, 1, 0)
		a.expect("3/1")
	})
}

func TestSuccessorsOfASpentMessageGoOnOrStop(t *testing.T) {
	for _, stops := range []bool{false, true} {
		s := byKey
		s.MaxAttempts, s.DeadLetterTopic, s.Stops = 1, "letters", stops
		inOrder(t, &keyedLog{key: byThree}, s, func(h *fakeHost) {
			h.Advance(7, nil)
			a := h.subscribe(100, time.Minute)
			a.expect("1/1 2/1 3/1")
			a.mustAnswer(Requeue, 1, 0)
			a.expect("") // its key waits until it is published
			if !stops {
				h.SendDeadLetters(func(string, []DeadLetter) error { return nil })
				a.expect("4/1")
				return
			}
			if s := h.Stats(); s.Stopped != 1 || s.Spent != 0 {
				t.Errorf("%d stopped, %d are to be published", s.Stopped, s.Spent)
			}
			if err := h.Requeue(message.MakeID(5, 1)); err != nil {
				t.Fatal(err)
			}
			a.expect("1/2") // once more
			a.mustAnswer(Requeue, 1, 0)
			a.expect("")
			if err := h.Finish(message.MakeID(5, 1)); err != nil {
				t.Fatal(err)
			}
			a.expect("4/1")
		})
	}
}

func TestWhatASampleLeavesOutCountsAsFinished(t *testing.T) {
	inOrder(t, &keyedLog{key: func(uint64) string { return "k" }}, byKey, func(h *fakeHost) {
		h.Advance(1000, nil)
		k, err := h.Subscribe(ConsumerOptions{MsgTimeout: time.Minute, SampleRate: 10})
		if err != nil {
			t.Fatal(err)
		}
		k.SetReady(100)
		last, n := uint64(0), 0
		for {
			var box mailbox
			if k.Take(&box, MaxTake) == 0 {
				break
			}
			n++
			if len(box.messages) != 1 || box.messages[0].seq <= last {
				t.Fatalf("%v after %d", box.messages, last)
			}
			last = box.messages[0].seq
			k.Answer([]Answer{{Op: Finish, ID: box.ids[0]}})
		}
		if n < 30 || n > 300 {
			t.Errorf("%d of 999", n)
		}
	})
}

func TestWhatHasNoRoomKeepsItsPlace(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, byKey, func(h *fakeHost) {
		h.log.size = 100
		h.Advance(100, nil)
		a := h.subscribe(100, time.Minute)
		a.room = 150
		last := map[string]uint64{}
		for n := 0; n < 99; {
			seqs := a.takeSeqs()
			if len(seqs) == 0 {
				t.Fatalf("%d were delivered", n)
			}
			for _, seq := range seqs {
				if k := byThree(seq); seq != last[k]+3 && last[k] != 0 {
					t.Fatalf("%d after %d", seq, last[k])
				}
				last[byThree(seq)] = seq
				a.mustAnswer(Finish, seq, 0)
				n++
			}
		}
	})
}

// TestWhatIsNotInMemoryIsNotLookedAtWithoutLeave: who must not wait for the disk is told to come
// again.
func TestWhatIsNotInMemoryIsNotLookedAtWithoutLeave(t *testing.T) {
	log := &keyedLog{key: byThree, cold: true}
	inOrder(t, log, byKey, func(h *fakeHost) {
		h.Advance(4, nil)
		a := h.subscribe(100, time.Minute)
		var box mailbox
		if n := a.TakeCached(&box, MaxTake); n != 0 || a.Parked() {
			t.Fatalf("took %d, parked: %v", n, a.Parked())
		}
		a.expect("1/1 2/1 3/1")
	})
}

func TestWhatCannotBeReadIsNotOvertaken(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, byKey, func(h *fakeHost) {
		h.log.damage([]seqset.Range{{From: 2, To: 3}}, nil)
		h.Advance(7, nil)
		a := h.subscribe(100, time.Minute)
		if seqs := a.takeSeqs(); len(seqs) > 1 {
			t.Fatalf("%v", seqs)
		}
		h.log.damage(nil, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		var all []uint64
		for seqs := a.takeSeqs(); len(seqs) > 0; seqs = a.takeSeqs() {
			all = append(all, seqs...)
		}
		if slices.Contains(all, 4) || slices.Contains(all, 5) || !slices.Contains(all, 2) {
			t.Errorf("%v", all)
		}
	})
}

// TestOrderIsSetWhileWhatCannotBeReadIsTaken: what was reserved without an order, and then
// turned out not to be readable, holds back no key for ever.
func TestOrderIsSetWhileWhatCannotBeReadIsTaken(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree}, settings.EffectiveChannel{}, func(h *fakeHost) {
		h.log.setBad(seqset.Range{From: 2, To: 4})
		h.log.onRead = func(seq uint64) {
			if seq == 2 {
				h.Configure(byKey)
			}
		}
		h.Advance(10, nil)
		a := h.subscribe(100, time.Minute)
		left := map[uint64]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true}
		for range 30 {
			for seqs := a.takeSeqs(); len(seqs) > 0; seqs = a.takeSeqs() {
				for _, seq := range seqs {
					a.mustAnswer(Finish, seq, 0)
					delete(left, seq)
				}
			}
			h.log.setBad()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if s := h.Stats(); len(left) > 0 || s.Depth != 0 {
			t.Errorf("%v did not come: %+v", left, s)
		}
		h.check()
	})
}

func TestTheUrgentComeFirstAndNoneStarves(t *testing.T) {
	urgent := func(seq uint64) byte {
		if seq > 500 {
			return 9
		}
		return byte(seq % 3)
	}
	inOrder(t, &keyedLog{key: byThree, priority: urgent}, byPriority, func(h *fakeHost) {
		h.Advance(1001, nil)
		a := h.subscribe(1, time.Minute)
		high, low := 0, [3]int{}
		for range 200 {
			seqs := a.takeSeqs()
			if len(seqs) != 1 {
				t.Fatalf("%v", seqs)
			}
			if a.mustAnswer(Finish, seqs[0], 0); seqs[0] > 500 {
				high++
			} else {
				low[urgent(seqs[0])]++
			}
		}
		if high != 180 || slices.Min(low[:]) < 6 {
			t.Errorf("%d urgent ones, and %v others", high, low)
		}
	})
}

func TestAReturnedMessageKeepsItsPriority(t *testing.T) {
	inOrder(t, &keyedLog{key: byThree, priority: func(seq uint64) byte { return byte(seq) }}, byPriority, func(h *fakeHost) {
		h.Advance(6, nil)
		a := h.subscribe(1, time.Minute)
		a.expect("5/1")
		a.mustAnswer(Requeue, 5, 0)
		a.expect("5/2")
		a.mustAnswer(Finish, 5, 0)
		a.expect("4/1")
	})
}
