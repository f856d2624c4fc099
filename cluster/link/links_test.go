package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMembersConnectAndFramesArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := startNode(t, w, "a:1", nil), startNode(t, w, "b:1", nil)
		waitFor(2 * time.Second)
		wantSeen(t, a, "up b:1")
		wantSeen(t, b, "up a:1")
		var want []string
		for i := range 100 {
			if !a.Send('b', Bulk, testKind, []byte("frame "), fmt.Append(nil, i)) {
				t.Fatal("no room")
			}
			want = append(want, fmt.Sprintf("a: frame %d", i))
		}
		synctest.Wait()
		wantSeen(t, b, want...)
		if !b.Send('a', Control, testKind, []byte("back")) {
			t.Fatal("no room")
		}
		synctest.Wait()
		wantSeen(t, a, "b: back")
		if a.Send('c', Control, testKind) {
			t.Error("sent to who is not there")
		}
	})
}

// A handler of the bulk lane that takes its time delays no heartbeat.
func TestControlPassesBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		b := newNode(t, w, "b:1", nil)
		hold := make(chan struct{})
		b.Handle(testKind+1, func(uint64, []byte) { <-hold })
		b.Start(testPeers)
		defer b.Close()
		waitFor(time.Second)
		b.take()
		for range 3 {
			a.Send('b', Bulk, testKind+1, make([]byte, 1<<20))
		}
		a.Send('b', Control, testKind, []byte("beat"))
		waitFor(10 * time.Second) // far longer than a connection may be silent
		wantSeen(t, b, "a: beat")
		close(hold)
	})
}

func TestQueueIsBoundedAndLongFramesPassAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", func(o *Options) { o.BulkBytes = 1000 })
		b := newNode(t, w, "b:1", nil)
		hold, sizes := make(chan struct{}), make(chan int, 100)
		b.Handle(testKind+1, func(_ uint64, body []byte) { <-hold; sizes <- len(body) })
		b.Start(testPeers)
		defer b.Close()
		waitFor(time.Second)
		send := func(n int) bool { return a.Send('b', Bulk, testKind+1, make([]byte, n)) }
		if !send(5000) {
			t.Fatal("a frame above the limit was refused though nothing waited")
		}
		synctest.Wait() // the writer has it
		for i := range 3 {
			if ok := send(400); ok != (i < 2) {
				t.Errorf("frame %d: %v", i, ok)
			}
		}
		close(hold)
		synctest.Wait()
		for i, want := range []int{5000, 400, 400} {
			if got := <-sizes; got != want {
				t.Errorf("frame %d has %d bytes, not %d", i, got, want)
			}
		}
		if a.Send('b', Bulk, testKind+1, make([]byte, 65<<20)) {
			t.Error("a frame that no member takes was taken")
		}
	})
}

func TestPushWaitsForRoomAndForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", func(o *Options) { o.BulkBytes = patientShare * 100 })
		b := newNode(t, w, "b:1", nil)
		hold := make(chan struct{})
		b.Handle(testKind+1, func(uint64, []byte) { <-hold })
		b.Start(testPeers)
		waitFor(time.Second)
		const all = 1000
		pushed := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for pushed < all && a.Push('b', Bulk, testKind+1, make([]byte, 60)) {
				pushed++
			}
		}()
		synctest.Wait()
		before := pushed
		waitFor(3 * time.Second)
		if pushed != before || !a.Send('b', Bulk, testKind+1, make([]byte, 500)) {
			t.Errorf("pushed %d, then %d", before, pushed)
		}
		close(hold)
		<-done
		if pushed != all {
			t.Error("not all was pushed once there was room")
		}
		b.Close()
		synctest.Wait()
		if a.Push('b', Bulk, testKind+1) {
			t.Error("pushed to who is gone")
		}
	})
}

func TestSilentPeerIsNoticedWithinAliveAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := startNode(t, w, "a:1", nil), startNode(t, w, "b:1", nil)
		waitFor(2 * time.Second)
		a.take()
		b.take()
		w.hang("b:1", true)
		waitFor(1300 * time.Millisecond)
		if got := a.take(); len(got) != 1 || !strings.HasPrefix(got[0], "down b:1: ") {
			t.Errorf("saw %q", got)
		}
		if a.Connected('b') {
			t.Error("still connected")
		}
		waitFor(10 * time.Second)
		w.hang("b:1", false)
		waitFor(4 * time.Second)
		wantSeen(t, a, "up b:1")
		if got := b.take(); len(got) != 2 || got[1] != "up a:1" {
			t.Errorf("saw %q", got)
		}
	})
}

func TestStoppedPeerComesBackWithinASecondAndABit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := startNode(t, w, "a:1", nil), startNode(t, w, "b:1", nil)
		waitFor(2 * time.Second)
		a.take()
		b.Close()
		waitFor(20 * time.Second)
		if got := a.take(); len(got) != 1 || !strings.HasPrefix(got[0], "down b:1: it has closed") {
			t.Errorf("saw %q", got)
		}
		if p := a.Peers(); p[0].Address != "b:1" || p[0].Up || p[0].Failure != "connection refused" {
			t.Errorf("peers %+v", p)
		}
		startNode(t, w, "b:1", nil)
		waitFor(1100 * time.Millisecond)
		wantSeen(t, a, "up b:1")
		if n := strings.Count(a.log.String(), "no connection to a member"); n < 2 || n > 3 { // of b and c
			t.Errorf("%d lines:\n%s", n, &a.log)
		}
	})
}

// A member that becomes another one while it is being connected is known by who it is now: what
// is sent to that one arrives.
func TestWhoBecomesAnotherMemberIsKnownByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, becomes := range map[string]func(*Hello){
			"another member": func(h *Hello) { h.Member = 'x' },
			"a later epoch":  func(h *Hello) { h.Epoch++ },
		} {
			w := newWires()
			a := startNode(t, w, "a:1", nil)
			var b *node
			meets := 0
			b = newNode(t, w, "b:1", func(o *Options) {
				o.Meet = func(Hello) {
					if meets++; meets == 1 {
						b.change(becomes)
					}
				}
			})
			b.Start(testPeers)
			waitFor(2 * time.Second)
			is := b.o.Hello()
			if meets != 2 || !a.Send(is.Member, Control, testKind, []byte("hello")) {
				t.Errorf("%s: not reached, %d connections", name, meets)
			}
			synctest.Wait()
			if got := b.take(); len(got) == 0 || got[len(got)-1] != "a: hello" {
				t.Errorf("%s: saw %q", name, got)
			}
			if got := a.Peers()[0].Hello.Epoch; got != is.Epoch {
				t.Errorf("%s: the epoch is %d", name, got)
			}
			b.Close()
			a.Close()
		}
	})
}

// What a member says of itself is told to those that are connected: who it is, and which
// features are in use, unless it is they who have told it.
func TestWhatIsNewIsToldToThoseThatAreConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b, c := startNode(t, w, "a:1", nil), startNode(t, w, "b:1", nil), newNode(t, w, "c:1", nil)
		c.change(func(h *Hello) { h.Active = 1 })
		c.Start(testPeers)
		t.Cleanup(c.Close)
		waitFor(2 * time.Second)
		a.Renew(errors.New("nothing is new"))
		waitFor(2 * time.Second)
		if got := a.take(); len(got) != 2 {
			t.Errorf("saw %q", got)
		}
		a.change(func(h *Hello) { h.Active = 1 })
		a.Renew(errors.New("it knows more"))
		waitFor(2 * time.Second)
		wantSeen(t, a, "down b:1: it knows more", "up b:1")
		if p := b.Peers()[0]; p.Address != "a:1" || p.Hello.Active != 1 {
			t.Errorf("peer %+v", p)
		}
		a.change(func(h *Hello) { h.Member = 'y' })
		a.Renew(errors.New("it is another one"))
		waitFor(2 * time.Second)
		if got := a.take(); len(got) != 4 {
			t.Errorf("saw %q", got)
		}
		for _, n := range []*node{b, c} {
			if !n.Send('y', Control, testKind) {
				t.Error("it is not reached")
			}
		}
	})
}

// Who asks what others say of themselves has it before anything can be sent to them.
func TestWhatAMemberSaysIsKnownBeforeItIsReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		var a *node
		a = newNode(t, w, "a:1", func(o *Options) {
			o.Meet = func(h Hello) {
				a.saw("meet %s of level %d in use, reachable %v", h.Address, h.Active, a.Send(h.Member, Control, testKind))
			}
		})
		a.Start(testPeers)
		t.Cleanup(a.Close)
		b := newNode(t, w, "b:1", nil)
		b.change(func(h *Hello) { h.Active = 1 })
		b.Start(testPeers)
		t.Cleanup(b.Close)
		waitFor(2 * time.Second)
		wantSeen(t, a, "meet b:1 of level 1 in use, reachable false", "up b:1")
	})
}

// Members of a set that starts, or of which one is started anew, are not there for a moment;
// one that does not want the other says so at once.
func TestOnlyAMemberThatStaysAwayIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const warning = "no connection to a member"
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		waitFor(reportAfter - 2*time.Second)
		b, c := startNode(t, w, "b:1", nil), startNode(t, w, "c:1", nil)
		waitFor(10 * time.Second)
		c.Close()
		waitFor(reportAfter - 2*time.Second)
		stranger := newNode(t, w, "c:1", nil)
		for _, n := range []*node{a, b} {
			if strings.Contains(n.log.String(), warning) {
				t.Errorf("%s", &n.log)
			}
		}
		stranger.hello.Election = time.Second
		stranger.Start(testPeers)
		t.Cleanup(stranger.Close)
		waitFor(1500 * time.Millisecond)
		if n := strings.Count(a.log.String(), warning); n != 1 {
			t.Errorf("%d warnings: %s", n, &a.log)
		}
	})
}

// Who only does not answer is told apart from who is not let in.
func TestPeerThatIsRefusedIsToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a, b := startNode(t, w, "a:1", nil), newNode(t, w, "b:1", nil)
		b.hello.Election = time.Second
		b.Start(testPeers)
		t.Cleanup(b.Close)
		waitFor(3 * time.Second)
		for _, p := range append(a.Peers(), b.Peers()...) {
			want := p.Address != "c:1" // of which there is none
			if p.Up || p.Refused != want || want != strings.Contains(p.Failure, "--cluster-election-timeout") {
				t.Errorf("peer %+v", p)
			}
		}
	})
}

// A peer that was killed and has started again takes the place of its old
// connections before those are known to be lost.
func TestNewSessionReplacesTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		b := startNode(t, w, "b:1", func(o *Options) { o.Alive = time.Hour })
		a := startNode(t, w, "a:1", func(o *Options) { o.Alive = time.Hour })
		waitFor(time.Second)
		b.take()
		w.hang("a:1", true)
		a.Close()
		w.hang("a:1", false)
		a = startNode(t, w, "a:1", nil)
		waitFor(time.Second)
		if got := b.take(); len(got) != 2 || !strings.HasPrefix(got[0], "down a:1") || got[1] != "up a:1" {
			t.Errorf("saw %q", got)
		}
		a.Send('b', Bulk, testKind, []byte("new"))
		synctest.Wait()
		wantSeen(t, b, "a: new")
	})
}

func TestCallsAreAnsweredWithBodyOrError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		b := newNode(t, w, "b:1", nil)
		b.HandleCall(1, func(_ context.Context, from uint64, body []byte) ([]byte, error) {
			if string(body) == "bad" {
				return nil, errors.New("that is bad")
			}
			return fmt.Appendf(nil, "%c asked %s", rune(from), body), nil
		})
		b.HandleCall(2, func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b.Start(testPeers)
		defer b.Close()
		waitFor(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if got, err := a.Call(ctx, 'b', 1, []byte("this")); string(got) != "a asked this" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		var remote *RemoteError
		if _, err := a.Call(ctx, 'b', 1, []byte("bad")); !errors.As(err, &remote) || remote.Text != "that is bad" {
			t.Errorf("%v", err)
		}
		if _, err := a.Call(ctx, 'b', 9, nil); !errors.As(err, &remote) || remote.Text != "there is no call of kind 9 in this version" {
			t.Errorf("%v", err)
		}
		if _, err := a.Call(ctx, 'c', 1, nil); !errors.Is(err, ErrNoConnection) {
			t.Errorf("%v", err)
		}
		if _, err := a.Call(ctx, 'b', 2, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestCallsEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		b := newNode(t, w, "b:1", nil)
		asked := false
		b.HandleCall(1, func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
			asked = true
			<-ctx.Done()
			return nil, ctx.Err()
		})
		b.Start(testPeers)
		waitFor(time.Second)
		result := make(chan error, 1)
		go func() {
			_, err := a.Call(context.Background(), 'b', 1, nil)
			result <- err
		}()
		synctest.Wait()
		b.Close() // waits for the handler
		if err := <-result; !asked || !errors.Is(err, ErrNoConnection) {
			t.Errorf("%v", err)
		}
	})
}

func TestRemovedPeerIsDisconnectedAndNewOnesAreDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		startNode(t, w, "b:1", nil)
		startNode(t, w, "c:1", nil)
		waitFor(time.Second)
		a.take()
		a.SetPeers([]string{"a:1", "c:1"})
		waitFor(5 * time.Second)
		wantSeen(t, a, "down b:1: it is no member any more")
		a.SetPeers(testPeers)
		waitFor(5 * time.Second)
		wantSeen(t, a, "up b:1")
	})
}

func TestRoundTripAndClockAreMeasuredAndDifferencesTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		startNode(t, w, "b:1", nil)
		waitFor(2 * time.Second)
		p := a.Peers()[0]
		if !p.Up || p.Skew != 0 {
			t.Errorf("%+v", p)
		}
		s := (*a.members.Load())['b']
		pong := func(ahead time.Duration) {
			body := appendTimes(time.Since(a.began), time.Now().Add(ahead).UnixNano())
			s.measure(body)
		}
		// The control reader rests, so that its state may be touched here.
		pong(700 * time.Millisecond)
		pong(900 * time.Millisecond)
		if got := a.Peers()[0].Skew; got != 900*time.Millisecond {
			t.Errorf("skew %s", got)
		}
		pong(400 * time.Millisecond) // between the two bounds: nothing new
		pong(-100 * time.Millisecond)
		log := a.log.String()
		if strings.Count(log, "the clock of a member differs") != 1 || strings.Count(log, "right again") != 1 {
			t.Error(log)
		}
	})
}

func TestLongFramesArriveWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		b := newNode(t, w, "b:1", nil)
		want := bytes.Repeat([]byte("0123456789"), 1<<20)
		got := make(chan bool, 1)
		b.Handle(testKind+1, func(_ uint64, body []byte) { got <- bytes.Equal(body, want) })
		b.Start(testPeers)
		defer b.Close()
		waitFor(time.Second)
		a.Send('b', Bulk, testKind+1, want[:1000], want[1000:])
		if !<-got {
			t.Error("another body came")
		}
		waitFor(5 * time.Second)
		if n := len((*b.members.Load())['a'].lanes[Bulk].in.buf); n > 64<<10 {
			t.Errorf("an idle lane keeps %d bytes", n)
		}
	})
}

// TestBodiesThatAreKeptStayAsTheyCame, whatever comes behind them.
func TestBodiesThatAreKeptStayAsTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWires()
		a := startNode(t, w, "a:1", nil)
		b := newNode(t, w, "b:1", nil)
		var kept [][]byte
		lengths := 0
		b.HandleKept(testKind+1, func(_ uint64, body []byte) {
			if len(body) >= KeptBytes {
				kept = append(kept, body)
			}
			lengths += len(body)
		})
		b.Start(testPeers)
		defer b.Close()
		waitFor(time.Second)
		sent := 0
		for i := range 20 {
			for _, n := range []int{10, KeptBytes - 1, KeptBytes, KeptBytes + 1, 5 * KeptBytes} {
				a.Push('b', Bulk, testKind+1, bytes.Repeat([]byte{byte(i)}, n))
				sent += n
			}
		}
		waitFor(time.Second)
		if lengths != sent || len(kept) != 3*20 {
			t.Fatalf("%d of %d bytes came, %d bodies were kept", lengths, sent, len(kept))
		}
		for i, body := range kept {
			if want := bytes.Repeat([]byte{byte(i / 3)}, len(body)); !bytes.Equal(body, want) {
				t.Errorf("body %d has changed", i)
			}
		}
	})
}
