package guess

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func wrong() bool { return false }
func right() bool { return true }

// refused is what had too many tries; empty when the try was let through.
func refused(t *testing.T, g *Guard, try Try, compare func() bool) string {
	t.Helper()
	ok, err := g.Compare(t.Context(), try, compare)
	var many *TooManyError
	switch {
	case errors.As(err, &many):
		if ok || many.Wait <= 0 || many.Wait > Window {
			t.Errorf("refused with %v and %s to wait", ok, many.Wait)
		}
		return many.What
	case err != nil || ok != compare():
		t.Errorf("%v, %v", ok, err)
	}
	return ""
}

func TestLimitsOfTries(t *testing.T) {
	for _, test := range []struct {
		name string
		try  func(i int) Try
		most int
		what string
		not  Try // who is not refused then
	}{
		{"made-up names", func(i int) Try { return Try{Place: "x", Account: fmt.Sprint(i)} }, PerPlace, "place", Try{Place: "y", Account: "0"}},
		{"one account", func(int) Try { return Try{Place: "x", Account: "ann"} }, PerPair, "pair", Try{Place: "y", Account: "ann"}},
		{"one account from everywhere", func(i int) Try { return Try{Place: fmt.Sprint(i), Account: "ann"} }, PerAccount, "account", Try{Place: "0", Account: "tom"}},
		{"a device", func(int) Try { return Try{Place: "x", Account: "ann", Device: "d"} }, PerPair, "device", Try{Place: "x", Account: "ann"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := New(2)
			for i := range test.most {
				if what := refused(t, g, test.try(i), wrong); what != "" {
					t.Fatalf("%s: try %d is refused: %s", test.name, i, what)
				}
			}
			if what := refused(t, g, test.try(test.most), right); what != test.what {
				t.Errorf("%s: one more is refused for %q", test.name, what)
			}
			if what := refused(t, g, test.not, right); what != "" {
				t.Errorf("%s: another one is refused for %q", test.name, what)
			}
			time.Sleep(Window + time.Second)
			if what := refused(t, g, test.try(test.most), right); what != "" {
				t.Errorf("%s: refused for ever", test.name)
			}
		})
	}
}

// TestKnownDeviceIsNotLockedByStrangers nor by those at the same place.
func TestKnownDeviceIsNotLockedByStrangers(t *testing.T) {
	g := New(2)
	for i := range 2 * PerAccount {
		refused(t, g, Try{Place: fmt.Sprint(i % 10), Account: "ann"}, wrong)
	}
	if what := refused(t, g, Try{Place: "elsewhere", Account: "ann"}, right); what != "account" {
		t.Errorf("without a device: %q", what)
	}
	if what := refused(t, g, Try{Place: "0", Account: "ann", Device: "d"}, right); what != "" {
		t.Errorf("the device is refused for %q", what)
	}
}

func TestOwnPasswordIsNoWayToGoOnGuessing(t *testing.T) {
	g := New(2)
	for i := range PerPlace {
		if what := refused(t, g, Try{Place: "x", Account: fmt.Sprint(i)}, wrong); what != "" {
			t.Fatalf("guess %d: %s", i, what)
		}
		if i < PerPlace-1 && refused(t, g, Try{Place: "x", Account: "eve"}, right) != "" {
			t.Fatal("eve was refused")
		}
	}
	if refused(t, g, Try{Place: "x", Account: "ann"}, wrong) == "" {
		t.Error("signing in took the failures away")
	}
}

// TestRefusedTriesLeaveNothingBehind: memory is bounded, whoever tries what, and
// the oldest makes room.
func TestRefusedTriesLeaveNothingBehind(t *testing.T) {
	g := New(2)
	for i := range 10_100 {
		refused(t, g, Try{Place: "x", Account: fmt.Sprint("made-up", i)}, wrong)
	}
	if n := len(g.counts); n != 1+2*PerPlace || n != g.oldest.Len() {
		t.Errorf("%d counts", n)
	}
	if what := refused(t, g, Try{Place: "y", Account: "ann"}, right); what != "" {
		t.Errorf("others are refused for %q", what)
	}
	g.bound = 100
	for i := range 1000 {
		refused(t, g, Try{Place: fmt.Sprint("place", i), Account: fmt.Sprint(i)}, wrong)
	}
	if n := len(g.counts); n > 100 || n != g.oldest.Len() {
		t.Errorf("%d counts", n)
	}
	if what := refused(t, g, Try{Place: "y", Account: "ann"}, right); what != "" {
		t.Errorf("at the bound others are refused for %q", what)
	}
}

// TestGuessersKeepNobodyWaiting: forty from as many places, and one who is right
// at once.
func TestGuessersKeepNobodyWaiting(t *testing.T) {
	const comparison = 60 * time.Millisecond
	slowly := func(ok bool) func() bool { return func() bool { time.Sleep(comparison); return ok } }
	synctest.Test(t, func(t *testing.T) {
		g := New(1)
		ctx, stop := context.WithCancel(t.Context())
		var guessers sync.WaitGroup
		for i := range 40 {
			guessers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					g.Compare(ctx, Try{Place: fmt.Sprint(i), Account: fmt.Sprint(i, n)}, slowly(false))
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i, wait := range []time.Duration{comparison / 2, 10 * comparison, 5 * time.Second} { // while they come, and when all have failed
			time.Sleep(wait)
			start := time.Now()
			ok, err := g.Compare(ctx, Try{Place: fmt.Sprint("good", i), Account: "ann"}, slowly(true))
			if took := time.Since(start); !ok || err != nil || took > 4*comparison {
				t.Errorf("%v, %v after %s", ok, err, took)
			}
		}
		stop()
		guessers.Wait()
		if g.gate.free != 1 {
			t.Errorf("%d are free at the end", g.gate.free)
		}
	})
}

func TestQueueIsShortAndLeftByThoseWhoGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1)
		release := make(chan struct{})
		var all sync.WaitGroup
		hold := func() bool { <-release; return true }
		results := make([]error, 2+maxClean)
		gone, leave := context.WithCancel(t.Context())
		for i := range results { // one is in, as many wait as may, and one more comes
			ctx := t.Context()
			if i == 3 {
				ctx = gone
			}
			all.Go(func() {
				_, results[i] = g.Compare(ctx, Try{Place: fmt.Sprint(i), Account: fmt.Sprint("x", i)}, hold)
			})
			synctest.Wait()
		}
		if n := g.gate.queued(); n != maxClean || !errors.Is(results[1], ErrBusy) {
			t.Errorf("%d wait; who has waited longest: %v", n, results[1])
		}
		leave()
		synctest.Wait()
		if n := g.gate.queued(); n != maxClean-1 || !errors.Is(results[3], context.Canceled) {
			t.Errorf("after one has gone %d wait: %v", n, results[3])
		}
		time.Sleep(maxWait)
		synctest.Wait()
		if n := g.gate.queued(); n != 0 || !errors.Is(results[2], ErrBusy) {
			t.Errorf("%d wait for ever: %v", n, results[2])
		}
		close(release)
		all.Wait()
		if g.gate.free != 1 || results[0] != nil {
			t.Errorf("%d are free at the end, %v", g.gate.free, results[0])
		}
	})
}

// TestWhoHasFailedWaitsBehindTheOthers, and not in any number.
func TestWhoHasFailedWaitsBehindTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{free: 1}
		if err := g.enter(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		var order []string
		var all sync.WaitGroup
		wait := func(name string, clean bool) {
			all.Go(func() {
				if g.enter(t.Context(), clean) == nil {
					order = append(order, name)
					g.leave()
				}
			})
			synctest.Wait()
		}
		for i := range maxFailed {
			wait(fmt.Sprint("f", i), false)
		}
		if err := g.enter(t.Context(), false); err != ErrBusy {
			t.Errorf("one too many: %v", err)
		}
		wait("a", true)
		wait("b", true)
		g.leave()
		all.Wait()
		if got := strings.Join(order, " "); got != "b a f0 f1 f2 f3 f4 f5 f6 f7" {
			t.Errorf("the order is %s", got)
		}
	})
}

func TestOneWarningForEachPlaceAndSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := NewReport(slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 {
			for range 100 {
				r.Refused("refused", "x", slog.String("why", "wrong"))
				r.Refused("refused", "y")
			}
			time.Sleep(time.Second)
		}
		for i := range 10_000 {
			r.Refused("refused", fmt.Sprint("z", i))
		}
		for text, want := range map[string]int{"from=x why=wrong": 3, "from=y": 3, "from=z": maxTold} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%s: %d lines, want %d", text, got, want)
			}
		}
	})
}

func TestNetworkOfIPv6IsOnePlace(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1": "10.0.0.1", "10.0.0.1:77": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1",
		"2001:db8:1:2::7": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::1]:80": "2001:db8:1:2::/64", "2001:db8:1:3::1": "2001:db8:1:3::/64",
		"fe80::1%eth0": "fe80::/64", "@": "@", "": "",
	} {
		if got := Place(address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}
