package lease

import (
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/state"
)

// bounded is a channel with settings and messages.
func bounded(t *testing.T, b *broker.Broker, settings string, bodies ...string) {
	t.Helper()
	publish(t, b, "t", bodies...)
	for _, c := range []broker.Change{
		{Op: state.CreateChannel, Topic: "t", Channel: "c"},
		{Op: state.ConfigureChannel, Topic: "t", Channel: "c", Settings: settings},
	} {
		if err := b.Change(c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeasesOfAllRequestsAreBoundedByMaxInFlight(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		bounded(t, b, `{"max_in_flight":3}`, "a", "b", "c", "d", "e")
		first, _ := leaseSome(t, l, 2, time.Minute)
		h := begin(t, l, 5, time.Minute)
		defer h.End()
		m := new(mailbox)
		if n, err := h.Take(t.Context(), m, 0); n != 1 || err != nil {
			t.Fatalf("%d messages beside 2, %v", n, err)
		}
		if n, err := h.Take(t.Context(), m, 20*time.Second); n != 0 || err != nil {
			t.Fatalf("%d messages beside 3, %v", n, err)
		}
		time.AfterFunc(time.Second, func() { say(l, channel.Finish, 0, first.ids...) })
		began := time.Now()
		if n, err := h.Take(t.Context(), m, time.Minute); n == 0 || err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("%d messages after %v, %v", n, time.Since(began), err)
		}
		if s := statsOf(t, b); s.InFlight > 3 {
			t.Errorf("%d in flight", s.InFlight)
		}
		// What is over makes room too.
		time.Sleep(2 * time.Minute)
		if again, _ := leaseSome(t, l, 3, time.Minute); again.attempts[0] == 0 {
			t.Errorf("%+v", again)
		}
	})
}

func TestLeasesComeAtTheRateOfTheChannel(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Leases, b *broker.Broker) {
		bounded(t, b, `{"rate":2}`, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
		began, got := time.Now(), 0
		for got < 10 {
			h := begin(t, l, 10, time.Hour)
			n, err := h.Take(t.Context(), new(mailbox), time.Minute)
			h.End()
			if n == 0 || err != nil {
				t.Fatalf("none after %d, %v", got, err)
			}
			// A second's worth may come at once.
			if got += n; got > 2+int(2*time.Since(began).Seconds()) {
				t.Errorf("%d messages after %v", got, time.Since(began))
			}
		}
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("10 messages took %v", took)
		}
	})
}
