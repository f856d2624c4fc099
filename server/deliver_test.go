package server

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/message"
	"qmq/protocol"
	"qmq/server/stream"
	"qmq/test/node"
	"qmq/test/wire"
)

func TestOKOfSubComesBeforeMessages(t *testing.T) {
	r := start(t)
	p := r.connect(wire.Pub("t", "first"))
	p.Expect("OK")
	c := r.connect("SUB t ch\nRDY 1\n")
	c.Expect("OK")
	if m := c.Message(); m.Body != "first" || m.Attempts != 1 {
		t.Fatalf("got %+v", m)
	}
}

func TestReadyIsACeilingOnMessagesInFlight(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 3)
	p := r.connect(wire.MPub("t", "1", "2", "3", "4", "5"))
	p.Expect("OK")
	var ids []string
	for range 3 {
		ids = append(ids, c.Message().ID)
	}
	c.ExpectOpen() // and no fourth message
	c.Send("FIN " + ids[0] + "\nFIN " + ids[1] + "\n")
	c.Message()
	c.Message()
	c.ExpectOpen()
	if s := channelStatsOf(t, r, "t", "ch"); s.InFlight != 3 || s.Depth != 0 {
		t.Errorf("%d in flight, depth %d", s.InFlight, s.Depth)
	}
}

func TestReadyZeroStopsDelivery(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 1)
	c.Send("RDY 0\n")
	c.ExpectOpen()
	p := r.connect(wire.Pub("t", "x"))
	p.Expect("OK")
	c.ExpectOpen()
	c.Send("RDY\n")
	c.Message()
}

func TestReadyZeroHoldsBackWhatIsRequeuedBehindIt(t *testing.T) {
	r := start(t)
	r.connect(wire.Pub("t", "x")).Expect("OK")
	topic, err := r.broker.Topic("t")
	if err != nil {
		t.Fatal(err)
	}
	ch, err := topic.Channel("ch")
	if err != nil {
		t.Fatal(err)
	}
	wakes := 0
	k, err := ch.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: func() { wakes++ }})
	if err != nil {
		t.Fatal(err)
	}
	k.SetReady(1)
	taken := new(frames).begin(&stream.Buffer{})
	if n := k.Take(taken, 1); n != 1 {
		t.Fatalf("took %d", n)
	}
	k.Take(taken, 1) // finds nothing, so that it is to be woken

	here, there := net.Pipe()
	defer there.Close()
	s := newSession(r.tcp, 0, here)
	s.joined = k
	s.consumer.Store(&s.joined)
	gathered := takeCommandBatch()
	wakes = 0
	for _, cmd := range []protocol.Command{
		{Kind: protocol.Rdy, Count: 0},
		{Kind: protocol.Req, ID: message.ID(taken.b[18:34])},
	} {
		if err := s.do(gathered, &cmd, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finishBatch(gathered); err != nil {
		t.Fatal(err)
	}
	if s := ch.Stats(); wakes != 0 || s.Depth != 1 || s.RequeueCount != 1 {
		t.Errorf("%d wakes, %+v", wakes, s)
	}
	k.Close()
}

func TestRequeuedMessageComesAgainWithOneMoreAttempt(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 1)
	p := r.connect(wire.Pub("t", "x"))
	p.Expect("OK")
	first := c.Message()
	c.Send("REQ " + first.ID + " 0\n")
	second := c.Message()
	if second.ID != first.ID || second.Timestamp != first.Timestamp || second.Attempts != 2 {
		t.Fatalf("first %+v, then %+v", first, second)
	}
	c.Send("TOUCH " + second.ID + "\nFIN " + second.ID + "\n")
	c.ExpectOpen()
	c.Send("FIN " + second.ID + "\n")
	c.ExpectError("E_FIN_FAILED FIN " + second.ID + " failed ID not in flight")
}

func TestFinOfTimedOutMessageFailsButKeepsConnection(t *testing.T) {
	inFakeTime(t, func(o *Options) { o.MsgTimeout = time.Second }, func(t *testing.T, server *TCP, dial func() *wire.Conn) {
		slow, fast := dial(), dial()
		slow.Send(protocol.Magic)
		slow.Consume("t", "ch", 1)
		fast.Send(protocol.Magic + wire.Pub("t", "x"))
		fast.Expect("OK")
		m := slow.Message()
		slow.Send("RDY 0\n")
		slow.ExpectOpen()
		fast.Send(wire.Identify(`{"msg_timeout":60000}`))
		fast.Expect("OK")
		fast.Consume("t", "ch", 1)
		if again := fast.Message(); again.ID != m.ID || again.Attempts != 2 {
			t.Fatalf("first %+v, then %+v", m, again)
		}
		slow.Send("FIN " + m.ID + "\n")
		slow.ExpectError("E_FIN_FAILED FIN " + m.ID + " failed client does not own message")
		fast.Send("FIN " + m.ID + "\n")
		fast.ExpectOpen()
		slow.Send("REQ " + m.ID + " 0\n")
		slow.ExpectError("E_REQ_FAILED REQ " + m.ID + " failed ID not in flight")
		slow.ExpectOpen()
		if s := channelStatsOf(t, &rig{broker: server.broker}, "t", "ch"); s.TimeoutCount != 1 || s.RequeueCount != 0 {
			t.Errorf("%d timeouts, %d requeues", s.TimeoutCount, s.RequeueCount)
		}
		slow.Close()
		fast.Close()
	})
}

func TestMessagesOfALostConnectionComeBackAtOnce(t *testing.T) {
	r := start(t)
	lost := r.consume("t", "ch", 10)
	p := r.connect(wire.MPub("t", "a", "b"))
	p.Expect("OK")
	lost.Message()
	lost.Message()
	next := r.consume("t", "ch", 10)
	lost.Close()
	for range 2 {
		if m := next.Message(); m.Attempts != 2 {
			t.Errorf("got %+v", m)
		}
	}
}

func TestCloseWaitIsTheEndOfDelivery(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 1)
	p := r.connect(wire.MPub("t", "a", "b", "c"))
	p.Expect("OK")
	m := c.Message()
	c.Send("FIN " + m.ID + "\nCLS\nRDY 5\nRDY nonsense\n")
	var ids []string
	for {
		kind, data := c.Frame()
		if kind == 0 && data == "CLOSE_WAIT" {
			break
		}
		ids = append(ids, data[10:26])
	}
	c.ExpectOpen()
	for _, id := range ids {
		c.Send("FIN " + id + "\n")
	}
	c.ExpectOpen()
	rest := r.consume("t", "ch", 10)
	for range 2 - len(ids) {
		rest.Message()
	}
}

func TestHalfClosedConnectionGetsItsAnswers(t *testing.T) {
	c := start(t).connect("SUB t ch\n", wire.Pub("u", "x"), "CLS\n")
	halfClose(c)
	c.Expect("OK", "OK", "CLOSE_WAIT")
	c.ExpectEnd()
}

func TestDeletedChannelClosesItsConsumersWithoutAFrame(t *testing.T) {
	r := start(t)
	gone, stays := r.consume("t", "gone", 1), r.consume("t", "stays", 1)
	gone.ExpectOpen() // nothing unread is left that would reset the connection
	topic, _ := r.broker.Existing("t")
	if err := topic.DeleteChannel("gone"); err != nil {
		t.Fatal(err)
	}
	gone.ExpectEnd()
	stays.ExpectOpen()
	if err := r.broker.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	stays.ExpectEnd()
}

func TestTooManyConsumers(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MaxChannelConsumers = 2 }),
		func(o *Options) { o.MaxChannelConsumers = 2 })
	first := r.consume("t", "ch", 1)
	r.consume("t", "ch", 1)
	third := r.connect("SUB t ch\n")
	third.ExpectError("E_SUB_FAILED SUB failed consumers for t:ch exceeds limit of 2")
	third.ExpectEnd()
	first.ExpectOpen()
	first.Close()
	eventually(t, func() bool { return len(channelStatsOf(t, r, "t", "ch").Consumers) == 1 })
	r.consume("t", "ch", 1)
}

func TestEphemeralChannelEndsWithItsLastConsumerAndCanComeAgain(t *testing.T) {
	r := start(t)
	for range 50 {
		c := r.consume("t", "ch#ephemeral", 1) // may meet the last one on its way out
		c.Close()
	}
	topic, _ := r.broker.Existing("t")
	eventually(t, func() bool { return len(topic.Channels()) == 0 })
}

func TestEphemeralTopicEndsWithItsLastChannel(t *testing.T) {
	r := start(t)
	r.consume("t#ephemeral", "ch#ephemeral", 1).Close()
	eventually(t, func() bool { return len(r.broker.Topics()) == 0 })
}

// TestNoWakeIsLost publishes one by one to consumers that rest after each
// message: every message comes with a wake of its own.
func TestNoWakeIsLost(t *testing.T) {
	const messages, consumers = 3000, 4
	r := start(t)
	got := make(chan string, messages)
	for range consumers {
		c := r.consume("t", "ch", 1)
		go func() {
			for {
				kind, data, err := c.AnyFrame()
				if err != nil {
					return
				}
				if kind != 2 {
					continue
				}
				fmt.Fprintf(c, "FIN %s\n", data[10:26])
				got <- data[26:]
			}
		}()
	}
	p := r.connect()
	for i := range messages {
		p.Send(wire.Pub("t", fmt.Sprint(i)))
		p.Expect("OK")
		if i%7 == 0 {
			<-got // now and then let everybody come to rest
		}
	}
	deadline := time.After(testTimeout)
	for range messages - (messages+6)/7 {
		select {
		case <-got:
		case <-deadline:
			t.Fatal("a message was not delivered")
		}
	}
}

// TestClientThatNeverReadsIsCutOff: what it was sent goes to another.
func TestClientThatNeverReadsIsCutOff(t *testing.T) {
	const messages = 64
	r := start(t, func(o *Options) { o.HeartbeatInterval = time.Second })
	deaf := r.consume("t", "ch", 2500)
	stop := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() { // it does send, so that only its not reading counts
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				deaf.Write([]byte("NOP\n"))
			}
		}
	})
	defer talking.Wait()
	defer close(stop)

	p := r.connect(wire.Identify(`{"heartbeat_interval":30000}`))
	p.Expect("OK")
	for i := range messages {
		p.Send(wire.Pub("t", fmt.Sprintf("%02d", i)+strings.Repeat("x", 512<<10)))
		p.Expect("OK")
	}
	eventually(t, func() bool { return len(channelStatsOf(t, r, "t", "ch").Consumers) == 0 })
	other := r.connect(wire.Identify(`{"heartbeat_interval":30000}`), "SUB t ch\nRDY 5\n")
	other.Expect("OK", "OK")
	seen := make(map[string]bool)
	for len(seen) < messages {
		m := other.Message()
		seen[m.Body[:2]] = true
		other.Send("FIN " + m.ID + "\n")
	}
}

// TestSlowConsumerIsNotCutOff: who takes something within each interval stays,
// even if a whole delivery takes many of them.
func TestSlowConsumerIsNotCutOff(t *testing.T) {
	const messages = 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := &lateListener{Listener: l}
	r := serve(t, node.Open(t), late)
	slow := r.consume("t", "ch", 2500)
	p := r.connect()
	for range messages {
		p.Send(wire.Pub("t", strings.Repeat("x", 512<<10)))
		p.Expect("OK")
	}
	for range messages {
		slow.Send("FIN " + slow.Message().ID + "\n")
	}
	slow.ExpectOpen()
	if n := late.often.Load(); n < 7*messages {
		t.Errorf("the client was waited for %d times", n)
	}
}

// lateListener accepts connections whose clients are slow: of a write of the server they take
// a piece, and then nothing until the server's deadline.
type lateListener struct {
	net.Listener
	often atomic.Int64 // how often a deadline passed
}

func (l *lateListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lateConn{conn, l}, nil
}

type lateConn struct {
	net.Conn
	of *lateListener
}

func (c *lateConn) Write(b []byte) (int, error) {
	const piece = 64 << 10
	if len(b) <= piece {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:piece])
	if err == nil {
		c.of.often.Add(1)
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// channelStatsOf are a channel's numbers.
func channelStatsOf(t *testing.T, r *rig, topicName, channelName string) channel.Stats {
	t.Helper()
	at, ok := r.broker.Existing(topicName)
	if !ok {
		t.Fatalf("no topic %s", topicName)
	}
	c, ok := at.ExistingChannel(channelName)
	if !ok {
		t.Fatalf("no channel %s of topic %s", channelName, topicName)
	}
	return c.Stats()
}

// clientOf is what a client's session knows of it.
func (r *rig) clientOf(c *wire.Conn) Client {
	r.t.Helper()
	for k := range r.tcp.Clients() {
		if k.RemoteAddress == c.LocalAddr().String() {
			return k
		}
	}
	r.t.Fatal("it is not connected")
	return Client{}
}

// TestClientThatDoesNotReadIsStillHeard: what a FIN makes room for is sent by
// the goroutine that read the FIN, which must not wait for the client to read.
func TestClientThatDoesNotReadIsStillHeard(t *testing.T) {
	const long = 16 << 20 // more than both ends of the connection hold
	b := node.Open(t, func(o *broker.Options) { o.HotBytes = 4 * long })
	r := startOn(t, b, func(o *Options) { o.MaxMsgSize = long })
	p := r.connect(wire.Pub("t", "short"))
	p.Expect("OK")
	c := r.connect()
	readBuffer := func(n int) {
		t.Helper()
		if err := c.Conn.(*net.TCPConn).SetReadBuffer(n); err != nil {
			t.Fatal(err)
		}
	}
	readBuffer(64 << 10)
	c.Send("SUB t ch\nRDY 1\n")
	c.Expect("OK")
	short := c.Message()
	body := strings.Repeat("0123456789abcdef", long/16)
	p.Send(wire.Pub("t", body))
	p.Expect("OK")
	p.Send(wire.Pub("t", "last"))
	p.Expect("OK")
	c.Send("FIN " + short.ID + "\n")

	var head [protocol.MessageFrameOverhead]byte
	c.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	id := string(head[18:34])
	c.Send("FIN " + id + "\n")
	eventually(t, func() bool { return channelStatsOf(t, r, "t", "ch").Consumers[0].FinishCount == 2 })

	readBuffer(4 << 20)
	rest := make([]byte, long)
	if _, err := io.ReadFull(c, rest); err != nil || string(rest) != body {
		t.Fatalf("the long message came altered, %v", err)
	}
	if m := c.Message(); m.Body != "last" {
		t.Errorf("then came %q", m.Body)
	}
}

// TestWhatAnswersMakeRoomForComesInOrder: a client that answers batch by batch
// gets everything once and in order, whoever writes it.
func TestWhatAnswersMakeRoomForComesInOrder(t *testing.T) {
	const messages = 3000
	r := start(t)
	bodies := make([]string, messages)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%d %s", i, strings.Repeat("x", i%3000))
	}
	p := r.connect(wire.MPub("t", bodies...))
	p.Expect("OK")
	c := r.consume("t", "ch", 300)
	fins := ""
	for i := range messages {
		m := c.Message()
		if m.Body != bodies[i] || m.Attempts != 1 {
			t.Fatalf("message %d is %.20q, attempt %d", i, m.Body, m.Attempts)
		}
		fins += "FIN " + m.ID + "\n"
		if i%100 == 99 {
			c.Send(fins)
			fins = ""
		}
	}
	c.ExpectOpen()
	if s := channelStatsOf(t, r, "t", "ch"); s.Depth != 0 || s.InFlight != 0 {
		t.Errorf("depth %d, %d in flight", s.Depth, s.InFlight)
	}
}
