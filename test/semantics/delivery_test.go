package semantics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func shortTimeout(d time.Duration) func(*options) {
	return func(o *options) { o.server.MsgTimeout = d }
}

// TestMessageThatComesBackIsAvailableAtOnce with its attempts kept, and where
// it has to wait for a timeout, no sooner than that. Where it has not, the
// timeout is longer than the test waits.
func TestMessageThatComesBackIsAvailableAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		timeout  time.Duration
		giveBack func(*conn, message)
		requeued int
		timedOut int
	}{
		"disconnect": {2 * patience, func(k *conn, m message) { k.Close() }, 0, 0},
		"REQ 0":      {2 * patience, func(k *conn, m message) { k.send("RDY 0\n"); k.req(m, 0) }, 1, 0},
		"timeout":    {time.Second, func(k *conn, m message) { k.send("RDY 0\n") }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t)
			k := n.connect(identify(fmt.Sprintf(`{"msg_timeout":%d}`, test.timeout.Milliseconds())), "SUB t ch\nRDY 1\n")
			k.expect("OK", "OK")
			other := n.consume("t", "ch", 0) // its own timeout is a minute
			began := time.Now()
			n.connect().publish("t", "x")
			m := k.messages("x")[0]
			test.giveBack(k, m)
			other.send("RDY 1\n")
			again := other.messages("x")[0]
			if again.attempts != 2 || again.id != m.id {
				t.Errorf("first %+v, then %+v", m, again)
			}
			if took := time.Since(began); test.timedOut > 0 && took < test.timeout {
				t.Errorf("it timed out after %v", took)
			}
			s := n.channel("t", "ch")
			if s.RequeueCount != test.requeued || s.TimeoutCount != test.timedOut {
				t.Errorf("%d requeues, %d timeouts", s.RequeueCount, s.TimeoutCount)
			}
		})
	}
}

// TestPoisonMessagesBlockNobody: while messages that always fail wait together
// with fresh ones, at least every other delivery is a fresh one.
func TestPoisonMessagesBlockNobody(t *testing.T) {
	const poison, good = 20, 200
	for _, ready := range []int{1, 7} {
		t.Run(fmt.Sprint("RDY ", ready), func(t *testing.T) {
			n := start(t)
			n.connect().publish("t", append(numbered("poison ", poison), numbered("", good)...)...)
			k := n.consume("t", "ch", ready)
			// The poison ones are themselves fresh at first; from then on they
			// alternate with the good ones.
			const most = 2*poison + good + 20
			tried, next := 0, 0
			for next < good {
				m := k.message()
				if strings.HasPrefix(m.body, "poison") {
					if tried++; tried > most {
						t.Fatalf("poison was delivered %d times before %d of %d good messages were through", tried, next, good)
					}
					k.req(m, 0)
					continue
				}
				if m.body != strconv.Itoa(next) {
					t.Fatalf("got %q, want %d", m.body, next)
				}
				next++
				k.fin(m)
			}
			if tried < good/2 {
				t.Errorf("poison was delivered only %d times before %d good messages were through", tried, good)
			}
		})
	}
}

// TestFreshMessagesDoNotStarveThoseThatCameBack is the other side of it.
func TestFreshMessagesDoNotStarveThoseThatCameBack(t *testing.T) {
	n := start(t)
	p := n.connect()
	p.publish("t", "back")
	k := n.consume("t", "ch", 1)
	m := k.messages("back")[0]
	p.publish("t", numbered("", 100)...)
	k.req(m, 0)
	for i := range 4 {
		m := k.message()
		if m.body == "back" {
			return
		}
		if i == 3 {
			t.Errorf("four fresh messages came before one that came back")
		}
		k.fin(m)
	}
}

// TestChannelReadsInTheOrderOfTheLog, wherever the messages are: in memory, in
// other segments, or published while it reads.
func TestChannelReadsInTheOrderOfTheLog(t *testing.T) {
	const before, after = 2000, 3000
	n := start(t, func(o *options) { o.broker.MemQueueSize, o.broker.SegmentBytes = 50, 64<<10 })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	body := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", i*37%200)) }
	p := n.connect()
	for i := range before {
		p.send(pub("t", body(i)))
	}
	for range before {
		p.expect("OK")
	}
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := before; i < before+after; i++ {
			if _, err := p.Write([]byte(pub("t", body(i)))); err != nil {
				t.Error(err)
				return
			}
			if _, data, err := p.tryFrame(); err != nil || data != "OK" {
				t.Error(data, err)
				return
			}
		}
	})
	k := n.consume("t", "ch", 100)
	last := ""
	for i := range before + after {
		m := k.messages(body(i))[0]
		if m.id <= last || strings.Trim(m.id, "0123456789abcdef") != "" || len(m.id) != 16 {
			t.Fatalf("id %q after %q", m.id, last)
		}
		last = m.id
		k.fin(m)
	}
	publishing.Wait()
}

// TestConsumersOfAChannelShareItInOrder: together they get everything, and
// each its part in order.
func TestConsumersOfAChannelShareItInOrder(t *testing.T) {
	const consumers, messages = 4, 2000
	n := start(t)
	got := make(chan int, messages)
	for range consumers {
		k := n.consume("t", "ch", 10)
		go func() {
			last := -1
			for {
				kind, data, err := k.tryFrame()
				if err != nil || kind != delivery {
					return
				}
				m := parseMessage(data)
				i, _ := strconv.Atoi(m.body)
				if i <= last || m.attempts != 1 {
					t.Errorf("%d came after %d, attempt %d", i, last, m.attempts)
				}
				last = i
				fmt.Fprintf(k, "FIN %s\n", m.id)
				got <- i
			}
		}()
	}
	n.connect().publish("t", numbered("", messages)...)
	var all []int
	for range messages {
		all = append(all, next(t, got))
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != messages {
		t.Error("a message came twice")
	}
}

func TestTheIDIsTheSameInAllChannelsAndLives(t *testing.T) {
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "a")
	n.do("/channel/create", "t", "b")
	n.connect().publish("t", "x", "y")
	a := n.consume("t", "a", 2).messages("x", "y")
	n.restart()
	b := n.consume("t", "b", 2).messages("x", "y")
	again := n.consume("t", "a", 2).messages("x", "y")
	for i := range a {
		if a[i].id != b[i].id || a[i].id != again[i].id || a[i].timestamp != b[i].timestamp {
			t.Errorf("%+v, %+v, %+v", a[i], b[i], again[i])
		}
	}
	n.connect().publish("t", "z")
	if z := n.consume("t", "b", 3).message(); z.body == "z" && z.id <= a[1].id {
		t.Errorf("id %s after %s", z.id, a[1].id)
	}
}

// TestNothingWaitsForTheOutputBuffer: its size and timeout are upper bounds,
// and the longest timeout is longer than this test has patience.
func TestNothingWaitsForTheOutputBuffer(t *testing.T) {
	n := start(t, func(o *options) { o.server.OutputBufferTimeout = 30 * time.Second })
	for _, wish := range []string{
		`{"output_buffer_size":65536,"output_buffer_timeout":30000}`,
		`{"output_buffer_size":65536,"output_buffer_timeout":-1}`,
		`{}`,
	} {
		k := n.connect(identify(wish), "SUB t ch\nRDY 2500\n")
		k.expect("OK", "OK")
		p := n.connect()
		for i := range 20 {
			p.publish("t", fmt.Sprint(i))
			k.fin(k.messages(fmt.Sprint(i))...)
		}
		k.Close()
	}
}

func TestTouchExtendsUpToTheLongestTimeout(t *testing.T) {
	t.Parallel()
	const timeout, longest = 800 * time.Millisecond, 1500 * time.Millisecond // touched in time on a busy machine
	n := start(t, shortTimeout(timeout), func(o *options) {
		o.broker.MaxMsgTimeout, o.server.MaxMsgTimeout = longest, longest
	})
	n.connect().publish("t", "x")
	k := n.consume("t", "ch", 1)
	m := k.messages("x")[0]
	began := time.Now()
	tick := time.NewTicker(timeout / 6)
	defer tick.Stop()
	done := make(chan struct{})
	var touching sync.WaitGroup
	touching.Go(func() {
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(k, "TOUCH %s\n", m.id)
			case <-done:
				return
			}
		}
	})
	kind, data := k.frame()
	for kind == failure && data == "E_TOUCH_FAILED TOUCH "+m.id+" failed ID not in flight" {
		kind, data = k.frame() // a TOUCH came between the timeout and the delivery
	}
	close(done)
	touching.Wait()
	wantDue(t, began, longest-timeout/6) // the clock started a little before it was read here
	if kind != delivery || parseMessage(data).attempts != 2 || n.channel("t", "ch").TimeoutCount != 1 {
		t.Errorf("frame %d %q", kind, data)
	}
}

// TestLateFinOfARedeliveryToTheSameConnectionCounts for the new delivery.
func TestLateFinOfARedeliveryToTheSameConnectionCounts(t *testing.T) {
	n := start(t, shortTimeout(50*time.Millisecond))
	n.connect().publish("t", "x")
	k := n.consume("t", "ch", 1)
	first := k.messages("x")[0]
	second := k.messages("x")[0]
	if second.attempts != 2 {
		t.Errorf("%+v", second)
	}
	k.fin(first)
	n.wantCounts("t", "ch", counts{})
}

func TestLoweredReadyCountRecallsNothing(t *testing.T) {
	n := start(t)
	n.connect().publish("t", numbered("", 10)...)
	k := n.consume("t", "ch", 5)
	ms := k.messages(numbered("", 5)...)
	k.send("RDY 2\n")
	k.fin(ms[0], ms[1], ms[2])
	k.expectOpen()
	n.wantCounts("t", "ch", counts{depth: 5, inFlight: 2})
	k.fin(ms[3])
	k.messages("5")
	k.send("RDY 2\n") // no change
	k.expectOpen()
	k.send("RDY 4\n")
	k.messages("6", "7")
	k.expectOpen()
}

// TestClientAndChannelCountersTellWhatHappened to each message.
func TestClientAndChannelCountersTellWhatHappened(t *testing.T) {
	n := start(t)
	n.connect().publish("t", numbered("", 6)...)
	k := n.consume("t", "ch", 5)
	ms := k.messages(numbered("", 5)...)
	k.send("RDY 1\n")
	k.fin(ms[0], ms[1])
	k.req(ms[2], 3_600_000)
	k.send("TOUCH " + ms[3].id + "\n")
	k.expectOpen()
	s := n.channel("t", "ch")
	want := counts{depth: 1, inFlight: 2, deferred: 1}
	if s.counts() != want || s.MessageCount != 6 || s.RequeueCount != 1 || s.TimeoutCount != 0 || s.ClientCount != 1 {
		t.Errorf("channel: %+v", s)
	}
	c := s.Clients[0]
	if c.MessageCount != 5 || c.FinishCount != 2 || c.RequeueCount != 1 || c.InFlightCount != 2 || c.ReadyCount != 1 || c.State != 3 {
		t.Errorf("client: %+v", c)
	}
	k.send("CLS\n")
	k.expect("CLOSE_WAIT")
	if c := n.channel("t", "ch").Clients[0]; c.State != 4 || c.ReadyCount != 0 {
		t.Errorf("after CLS: %+v", c)
	}
}
