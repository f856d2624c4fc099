package semantics

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
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
		giveBack func(*wire.Conn, wire.Message)
		requeued int
		timesOut bool
	}{
		"disconnect": {2 * testTimeout, func(k *wire.Conn, m wire.Message) { k.Close() }, 0, false},
		"REQ 0":      {2 * testTimeout, func(k *wire.Conn, m wire.Message) { k.Send("RDY 0\n"); k.Req(m, 0) }, 1, false},
		"timeout":    {time.Second, func(k *wire.Conn, m wire.Message) { k.Send("RDY 0\n") }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t)
			k := n.connect(wire.Identify(fmt.Sprintf(`{"msg_timeout":%d}`, test.timeout.Milliseconds())), "SUB t ch\nRDY 1\n")
			k.Expect("OK", "OK")
			other := n.consume("t", "ch", 0) // its own timeout is a minute
			began := time.Now()
			n.connect().Publish("t", "x")
			m := k.Messages("x")[0]
			test.giveBack(k, m)
			other.Send("RDY 1\n")
			again := other.Messages("x")[0]
			attempts, timeouts := uint16(2), 0
			if test.timesOut { // more than once where RDY 0 comes later than that
				attempts = max(attempts, again.Attempts)
				timeouts = int(attempts) - 1
			}
			if again.Attempts != attempts || again.ID != m.ID {
				t.Errorf("first %+v, then %+v", m, again)
			}
			if took := time.Since(began); test.timesOut && took < test.timeout {
				t.Errorf("it timed out after %v", took)
			}
			s := n.channel("t", "ch")
			if s.RequeueCount != test.requeued || s.TimeoutCount != timeouts {
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
			n.connect().Publish("t", append(numbered("poison ", poison), numbered("", good)...)...)
			k := n.consume("t", "ch", ready)
			// The poison ones are themselves fresh at first; from then on they
			// alternate with the good ones.
			const most = 2*poison + good + 20
			tried, next := 0, 0
			for next < good {
				m := k.Message()
				if strings.HasPrefix(m.Body, "poison") {
					if tried++; tried > most {
						t.Fatalf("poison was delivered %d times before %d of %d good messages were through", tried, next, good)
					}
					k.Req(m, 0)
					continue
				}
				if m.Body != strconv.Itoa(next) {
					t.Fatalf("got %q, want %d", m.Body, next)
				}
				next++
				k.Fin(m)
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
	p.Publish("t", "back")
	k := n.consume("t", "ch", 1)
	m := k.Messages("back")[0]
	p.Publish("t", numbered("", 100)...)
	k.Req(m, 0)
	for i := range 4 {
		m := k.Message()
		if m.Body == "back" {
			return
		}
		if i == 3 {
			t.Errorf("four fresh messages came before one that came back")
		}
		k.Fin(m)
	}
}

// TestChannelReadsInTheOrderOfTheLog, wherever the messages are: in memory, in
// other segments, or published while it reads. In a set that is disturbed meanwhile some
// comes again, and out of turn.
func TestChannelReadsInTheOrderOfTheLog(t *testing.T) {
	const before, after = 2000, 3000
	n := start(t, func(o *options) { o.broker.MemQueueSize, o.broker.SegmentBytes = 50, 64<<10 })
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	body := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", i*37%200)) }
	p := n.connect()
	for i := range before {
		p.Send(wire.Pub("t", body(i)))
	}
	for range before {
		p.Expect("OK")
	}
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := before; i < before+after; i++ {
			if _, err := p.Write([]byte(wire.Pub("t", body(i)))); err != nil {
				t.Error(err)
				return
			}
			if _, data, err := p.TryFrame(); err != nil || data != "OK" {
				t.Error(data, err)
				return
			}
		}
	})
	k := n.consume("t", "ch", 100)
	last, came := "", make(map[string]bool)
	for len(came) < before+after {
		kind, data := k.Frame()
		if n.unfinished(kind, data) {
			continue
		}
		if kind != wire.Delivery {
			t.Fatalf("frame %d %q", kind, data)
		}
		m := parsed(t, data)
		if strings.Trim(m.ID, "0123456789abcdef") != "" || len(m.ID) != 16 {
			t.Fatalf("id %q", m.ID)
		}
		if next := body(len(came)); (m.Body != next || m.ID <= last) && !n.disturbed() {
			t.Fatalf("%q with id %s came after %s, want %q", m.Body, m.ID, last, next)
		}
		last, came[m.Body] = m.ID, true
		k.Fin(m)
	}
	publishing.Wait()
}

// TestConsumersOfAChannelShareItInOrder: together they get everything, and
// each its part in order. In a set that is disturbed meanwhile some comes again.
func TestConsumersOfAChannelShareItInOrder(t *testing.T) {
	const consumers, messages = 4, 2000
	n := start(t)
	got, odd := make(chan int, messages), make(chan string, messages)
	for range consumers {
		k := n.consume("t", "ch", 10)
		go func() {
			last := -1
			for {
				data, err := n.awaitDelivery(k)
				if err != nil {
					return
				}
				m := parsed(t, data)
				i, _ := strconv.Atoi(m.Body)
				if i <= last || m.Attempts != 1 {
					select {
					case odd <- fmt.Sprintf("%d came after %d, attempt %d", i, last, m.Attempts):
					default:
					}
				}
				last = i
				fmt.Fprintf(k, "FIN %s\n", m.ID)
				got <- i
			}
		}()
	}
	n.connect().Publish("t", numbered("", messages)...)
	all := make(map[int]bool)
	for came := 1; len(all) < messages; came++ {
		if all[process.Next(t, got)] = true; len(all) < came && !n.disturbed() {
			t.Fatal("a message came twice")
		}
	}
	for len(odd) > 0 {
		if text := <-odd; !n.disturbed() {
			t.Error(text)
		}
	}
}

func TestTheIDIsTheSameInAllChannelsAndLives(t *testing.T) {
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "a")
	n.do("/channel/create", "t", "b")
	n.connect().Publish("t", "x", "y")
	a := n.consume("t", "a", 2).Messages("x", "y")
	n.restart()
	b := n.consume("t", "b", 2).Messages("x", "y")
	again := n.consume("t", "a", 2).Messages("x", "y")
	for i := range a {
		if a[i].ID != b[i].ID || a[i].ID != again[i].ID || a[i].Timestamp != b[i].Timestamp {
			t.Errorf("%+v, %+v, %+v", a[i], b[i], again[i])
		}
	}
	n.connect().Publish("t", "z")
	if z := n.consume("t", "b", 3).Message(); z.Body == "z" && z.ID <= a[1].ID {
		t.Errorf("id %s after %s", z.ID, a[1].ID)
	}
}

// TestNothingWaitsForTheOutputBuffer: its size and timeout are upper bounds,
// and the longest timeout is longer than this test waits.
func TestNothingWaitsForTheOutputBuffer(t *testing.T) {
	n := start(t, func(o *options) { o.server.OutputBufferTimeout = 30 * time.Second })
	for _, wish := range []string{
		`{"output_buffer_size":65536,"output_buffer_timeout":30000}`,
		`{"output_buffer_size":65536,"output_buffer_timeout":-1}`,
		`{}`,
	} {
		k := n.connect(wire.Identify(wish), "SUB t ch\nRDY 2500\n")
		k.Expect("OK", "OK")
		p := n.connect()
		for i := range 20 {
			p.Publish("t", fmt.Sprint(i))
			k.Fin(k.Messages(fmt.Sprint(i))...)
		}
		k.Close()
	}
}

func TestTouchExtendsUpToTheLongestTimeout(t *testing.T) {
	t.Parallel()
	const timeout, longest = 800 * time.Millisecond, 1500 * time.Millisecond
	n := start(t, shortTimeout(timeout), func(o *options) {
		o.broker.MaxMsgTimeout, o.server.MaxMsgTimeout = longest, longest
	})
	why := ""
	for try := range 20 { // again where the machine is so busy that a TOUCH comes too late
		k := touched{n: n, topic: fmt.Sprint("t", try), every: timeout / 6}
		k.untilItComesAgain()
		timeouts := n.channel(k.topic, "ch").TimeoutCount
		least := longest - k.every // the clock started a little before it was read here
		if k.took >= least && k.took <= longest+slack && k.again.Attempts == 2 && timeouts == 1 {
			return
		}
		why = fmt.Sprintf("it came again after %v, want %v; attempt %d, %d timeouts; once there was no TOUCH for %v", k.took, least, k.again.Attempts, timeouts, k.longest)
		t.Log(why)
	}
	t.Error(why)
}

// touched is a message of a topic that is touched every now and then.
type touched struct {
	n     *node
	topic string
	every time.Duration

	took    time.Duration // until it came again
	again   wire.Message
	longest time.Duration // between two TOUCHes, its delivery before the first
}

func (k *touched) untilItComesAgain() {
	k.n.connect().Publish(k.topic, "x")
	c := k.n.consume(k.topic, "ch", 1)
	defer c.Close()
	m := c.Messages("x")[0]
	began := time.Now()
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	done := make(chan struct{})
	var touching sync.WaitGroup
	touching.Go(func() {
		for last := began; ; {
			select {
			case <-tick.C:
				fmt.Fprintf(c, "TOUCH %s\n", m.ID)
				now := time.Now()
				k.longest, last = max(k.longest, now.Sub(last)), now
			case <-done:
				return
			}
		}
	})
	kind, data := c.Frame()
	for kind == wire.Error && data == "E_TOUCH_FAILED TOUCH "+m.ID+" failed ID not in flight" {
		kind, data = c.Frame() // a TOUCH came between the timeout and the delivery
	}
	close(done)
	touching.Wait()
	k.took = time.Since(began)
	if kind != wire.Delivery {
		k.n.t.Fatalf("frame %d %q", kind, data)
	}
	k.again = parsed(k.n.t, data)
}

// TestLateFinOfARedeliveryToTheSameConnectionCounts for the new delivery.
func TestLateFinOfARedeliveryToTheSameConnectionCounts(t *testing.T) {
	n := start(t, shortTimeout(50*time.Millisecond))
	n.connect().Publish("t", "x")
	k := n.consume("t", "ch", 1)
	first := k.Messages("x")[0]
	second := k.Messages("x")[0]
	if second.Attempts != 2 {
		t.Errorf("%+v", second)
	}
	process.Eventually(t, "it is finished", func() bool {
		k.Fin(first) // again where this one came between a timeout and the delivery after it
		return n.channel("t", "ch").counts() == counts{}
	})
}

func TestLoweredReadyCountRecallsNothing(t *testing.T) {
	n := start(t)
	n.connect().Publish("t", numbered("", 10)...)
	k := n.consume("t", "ch", 5)
	ms := k.Messages(numbered("", 5)...)
	k.Send("RDY 2\n")
	k.Fin(ms[0], ms[1], ms[2])
	k.ExpectOpen()
	n.wantCounts("t", "ch", counts{depth: 5, inFlight: 2})
	k.Fin(ms[3])
	k.Messages("5")
	k.Send("RDY 2\n") // no change
	k.ExpectOpen()
	k.Send("RDY 4\n")
	k.Messages("6", "7")
	k.ExpectOpen()
}

// TestClientAndChannelCountersTellWhatHappened to each message.
func TestClientAndChannelCountersTellWhatHappened(t *testing.T) {
	n := start(t)
	n.connect().Publish("t", numbered("", 6)...)
	k := n.consume("t", "ch", 5)
	ms := k.Messages(numbered("", 5)...)
	k.Send("RDY 1\n")
	k.Fin(ms[0], ms[1])
	k.Req(ms[2], 3_600_000)
	k.Send("TOUCH " + ms[3].ID + "\n")
	k.ExpectOpen()
	s := n.channel("t", "ch")
	want := counts{depth: 1, inFlight: 2, deferred: 1}
	if s.counts() != want || s.MessageCount != 6 || s.RequeueCount != 1 || s.TimeoutCount != 0 || s.ClientCount != 1 {
		t.Errorf("channel: %+v", s)
	}
	c := s.Clients[0]
	if c.MessageCount != 5 || c.FinishCount != 2 || c.RequeueCount != 1 || c.InFlightCount != 2 || c.ReadyCount != 1 || c.State != 3 {
		t.Errorf("client: %+v", c)
	}
	k.Send("CLS\n")
	k.Expect("CLOSE_WAIT")
	if c := n.channel("t", "ch").Clients[0]; c.State != 4 || c.ReadyCount != 0 {
		t.Errorf("after CLS: %+v", c)
	}
}
