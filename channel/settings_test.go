package channel

import (
	"testing"
	"time"

	"qmq/settings"
)

func TestMessagesInFlightAreBoundedForAllConsumersTogether(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Configure(settings.EffectiveChannel{MaxInFlight: 3})
		h.Advance(11, nil)
		a, b := h.subscribe(100, time.Minute), h.subscribe(100, time.Minute)
		a.expect("1/1 2/1")
		b.expect("3/1")
		a.expect("")
		b.expect("")
		a.mustAnswer(Finish, 1, 0)
		if !a.woken() && !b.woken() {
			t.Fatal("nobody was woken")
		}
		a.expect("4/1")
		h.Configure(settings.EffectiveChannel{MaxInFlight: 1})
		b.mustAnswer(Finish, 3, 0)
		b.expect("")
		h.Configure(settings.EffectiveChannel{})
		b.expect("5/1 6/1 7/1")
		a.expect("8/1 9/1")
	})
}

func TestDeliveriesComeAtTheRate(t *testing.T) {
	for _, rate := range []float64{0.5, 7, 100, 5000} {
		inBubble(t, func(h *fakeHost) {
			h.Configure(settings.EffectiveChannel{Rate: rate})
			h.Advance(100_001, nil)
			k := h.subscribe(100_000, time.Hour)
			const seconds = 10
			n := 0
			for end := time.Now().Add(seconds * time.Second); time.Now().Before(end); {
				for len(k.take()) > 0 {
				}
				select {
				case <-k.wakes:
					k.wakes <- struct{}{}
				case <-time.After(time.Until(end)):
				}
				n = h.Stats().InFlight
			}
			if low, high := int(rate*seconds*0.97), int(rate*seconds+max(1, rate*burst))+1; n < low || n > high {
				t.Errorf("%d deliveries in %d s at %v a second", n, seconds, rate)
			}
		})
	}
}

func TestDeliveryThatDidNotComeAboutCountsForNoRate(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Configure(settings.EffectiveChannel{Rate: 20})
		h.Advance(11, nil)
		k := h.subscribe(10, time.Hour)
		time.Sleep(time.Second)
		k.expect("1/1 2/1")
		k.expect("")
		k.mustAnswer(Return, 2, 0)
		k.expect("2/1")
		k.expect("")
		time.Sleep(51 * time.Millisecond)
		k.expect("3/1")
	})
}

func TestMessageTimeoutOfTheChannelIsForConsumersThatDidNotSay(t *testing.T) {
	inBubble(t, func(h *fakeHost) {
		h.Configure(settings.EffectiveChannel{MsgTimeout: 3 * time.Minute})
		h.Advance(11, nil)
		said := h.subscribe(1, time.Minute)
		silent, err := h.Subscribe(ConsumerOptions{ID: 9, MsgTimeout: time.Minute, DefaultTimeout: true})
		if err != nil {
			t.Fatal(err)
		}
		k := &eater{Consumer: silent, h: h, wakes: make(chan struct{}, 1)}
		said.expect("1/1")
		k.SetReady(2)
		k.expect("2/1 3/1")
		k.SetReady(4)
		time.Sleep(2 * time.Minute)
		if n := h.Stats().InFlight; n != 2 {
			t.Fatalf("%d in flight", n)
		}
		h.Configure(settings.EffectiveChannel{MsgTimeout: time.Minute + time.Second}) // what is in flight keeps its time
		h.check()
		k.expect("4/1 1/2")
		k.mustAnswer(Touch, 2, 0)
		time.Sleep(time.Minute + 2*time.Second)
		h.check()
		if n := h.Stats().InFlight; n != 0 {
			t.Fatalf("%d in flight", n)
		}
		h.Configure(settings.EffectiveChannel{})
		k.SetReady(1)
		k.take()
		time.Sleep(time.Minute + 100*time.Millisecond)
		if n := h.Stats().InFlight; n != 0 {
			t.Fatalf("%d in flight", n)
		}
	})
}
