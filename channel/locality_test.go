package channel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// subscribeAs adds a consumer like subscribe, of a locality and a sample rate.
func (h *fakeHost) subscribeAs(locality Locality, sample int, rdy int64) *eater {
	h.t.Helper()
	e := &eater{h: h, wakes: make(chan struct{}, 1)}
	wake := func() {
		select {
		case e.wakes <- struct{}{}:
		default:
		}
	}
	k, err := h.Subscribe(ConsumerOptions{ID: uint64(len(h.consumers)), MsgTimeout: time.Minute, Wake: wake, Locality: locality, SampleRate: sample})
	if err != nil {
		h.t.Fatal(err)
	}
	e.Consumer = k
	k.SetReady(rdy)
	return e
}

func TestNearestIdleConsumerComesFirst(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		far := h.subscribeAs(Anywhere, 0, 10)
		region := h.subscribeAs(SameRegion, 0, 10)
		zone := h.subscribeAs(SameZone, 0, 2)
		all := []*eater{far, region, zone}
		next := func(fanOut uint64) (woken *eater) {
			h.Advance(fanOut, nil)
			h.check()
			for _, e := range all {
				if e.woken() {
					if woken != nil {
						t.Fatal("two are woken for one message")
					}
					woken = e
				}
			}
			return woken
		}
		for seq, want := range []*eater{zone, zone, region} { // then the zone's has no credit
			if got := next(uint64(seq + 2)); got != want {
				t.Fatalf("message %d wakes the wrong one", seq+1)
			}
			want.expect(fmt.Sprintf("%d/1", seq+1))
			want.expect("")
		}
		// Nothing is kept for those who are not ready.
		region.SetReady(0)
		if next(5) != far {
			t.Fatal("the last one that is ready is not woken")
		}
		far.expect("4/1")
		s := h.Stats()
		if s.ZoneLocal != 2 || s.RegionLocal != 1 || s.Delivered != 4 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFartherConsumerYieldsToANearerOneThatIsReady(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		zone := h.subscribeAs(SameZone, 0, 3)
		far := h.subscribeAs(Anywhere, 0, 10)
		h.Advance(11, nil)
		far.expect("") // though it comes first
		zone.expect("1/1 2/1 3/1")
		if !far.woken() {
			t.Fatal("what is left is kept from it")
		}
		far.expect("4/1 5/1 6/1 7/1 8/1 9/1 10/1")
	})
}

// TestConsumerThatGivesUpItsCreditHoldsNothingBack: it was woken and has not
// come yet, perhaps because its client does not read.
func TestConsumerThatGivesUpItsCreditHoldsNothingBack(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		zone := h.subscribeAs(SameZone, 0, 3)
		zone.expect("")
		far := h.subscribeAs(Anywhere, 0, 3)
		far.expect("")
		h.Advance(2, nil)
		if !zone.woken() || far.woken() {
			t.Fatal("the wrong one is woken")
		}
		zone.SetReady(0)
		h.check()
		if !far.woken() {
			t.Fatal("nobody is woken in its place")
		}
		far.expect("1/1")
		zone.SetReady(3) // it is still on its way
		h.check()
		h.Advance(3, nil)
		zone.expect("2/1")
		h.check()
	})
}

// TestLocalityLosesNoWake: in any order of events everything is delivered.
func TestLocalityLosesNoWake(t *testing.T) {
	for seed := range uint64(50) {
		inBubble(t, func(h *fakeHost) {
			random := rand.New(rand.NewPCG(seed, 0))
			var all []*eater
			for locality := range localities {
				all = append(all, h.subscribeAs(locality, 0, 1), h.subscribeAs(locality, 0, 5))
			}
			const messages = 300
			fanOut, done := uint64(1), 0
			serve := func(e *eater) {
				for seqs := e.takeSeqs(); len(seqs) > 0; seqs = e.takeSeqs() {
					for _, seq := range seqs {
						e.mustAnswer(Finish, seq, 0)
						done++
					}
					h.check()
				}
			}
			for fanOut <= messages {
				if random.IntN(3) == 0 {
					fanOut = min(fanOut+uint64(random.IntN(9)), messages+1)
					h.Advance(fanOut, nil)
					h.check()
				}
				e := all[random.IntN(len(all))]
				if random.IntN(4) == 0 {
					e.SetReady(int64(random.IntN(4)))
				}
				if e.woken() {
					serve(e)
				}
				if fanOut == messages+1 {
					break
				}
			}
			for _, e := range all {
				e.SetReady(2)
			}
			for idle := 0; idle < 2*len(all); {
				idle++
				for _, e := range all {
					if e.woken() {
						serve(e)
						idle = 0
					}
				}
			}
			if done != messages {
				t.Fatalf("seed %d: %d of %d messages are delivered", seed, done, messages)
			}
		})
	}
}

// TestSampleDropsTheRestForGood: what a consumer does not want is nobody's any
// more.
func TestSampleDropsTheRestForGood(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		const messages, rate = 10_000, 42
		e := h.subscribeAs(Anywhere, rate, messages)
		h.Advance(messages+1, nil)
		var got []uint64
		for {
			seqs := e.takeSeqs()
			if len(seqs) == 0 {
				break
			}
			got = append(got, seqs...)
		}
		if n := len(got); n < messages*(rate-5)/100 || n > messages*(rate+5)/100 {
			t.Errorf("%d of %d messages at %d per cent", n, messages, rate)
		}
		s := h.Stats()
		if s.Depth != 0 || s.InFlight != len(got) || s.MessageCount != messages || s.Delivered != uint64(len(got)) ||
			s.Consumers[0].MessageCount != uint64(len(got)) || s.Consumers[0].InFlight != int64(len(got)) {
			t.Errorf("%+v", s)
		}
		for _, seq := range got[1:] {
			e.mustAnswer(Finish, seq, 0)
		}
		// One that was drawn stays drawn.
		e.Close()
		other := h.subscribeAs(Anywhere, 1, 10)
		other.expect(fmt.Sprintf("%d/2", got[0]))
		other.mustAnswer(Finish, got[0], 0)
		if h.Floor() != messages+1 || !slices.IsSorted(got) {
			t.Errorf("the floor is %d", h.Floor())
		}
	})
}
