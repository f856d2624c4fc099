package semantics

import (
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

// wakes is about how often goroutines were made to run so far; the runtime
// counts one in eight.
func wakes() (n uint64) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	for _, count := range sample[0].Value.Float64Histogram().Counts {
		n += 8 * count
	}
	return n
}

// readyOnes is many consumers with RDY 1 that finish whatever they get.
type readyOnes struct {
	got    chan int       // who got a message
	counts []atomic.Int64 // by consumer
}

func (n *node) readyOnes(size int) *readyOnes {
	n.t.Helper()
	c := &readyOnes{got: make(chan int, 64*size), counts: make([]atomic.Int64, size)}
	for i := range size {
		k := n.consume("t", "ch", 1)
		go func() {
			for {
				data, err := n.awaitDelivery(k)
				if err != nil {
					return
				}
				c.counts[i].Add(1)
				if _, err := fmt.Fprintf(k, "FIN %s\n", data[10:26]); err != nil {
					return
				}
				c.got <- i
			}
		}()
	}
	return c
}

// share is the least and the most that a consumer got, and all.
func (c *readyOnes) share() (least, most, sum int64) {
	least = c.counts[0].Load()
	for i := range c.counts {
		n := c.counts[i].Load()
		least, most, sum = min(least, n), max(most, n), sum+n
	}
	return least, most, sum
}

// TestAThousandConsumersShareAChannel: each has its turn, none is left out
// under load, and a message wakes one of them and not all. In a set that is disturbed
// meanwhile some comes again, and whose turn it is begins anew.
func TestAThousandConsumersShareAChannel(t *testing.T) {
	const consumers = 1000
	n := start(t)
	c := n.readyOnes(consumers)
	p := n.connect()

	const rounds = 2
	before := wakes()
	for range rounds * consumers {
		p.Publish("t", "x")
		process.Next(t, c.got)
	}
	perMessage := float64(wakes()-before) / float64(rounds*consumers)
	// The one that waits longest is next; but its FIN may be late.
	if least, most, _ := c.share(); (least < 1 || most > 3*rounds) && !n.disturbed() {
		t.Errorf("of %d rounds, consumers got between %d and %d", rounds, least, most)
	}
	t.Logf("a message makes goroutines run %.1f times", perMessage)
	// The publisher, its session, the consumer and its session run a few times
	// each. Were all consumers woken, it would be more than they are. Members of a set do
	// more than that, and other tests run beside them.
	if perMessage > consumers/2 && n.set == nil {
		t.Errorf("a message makes goroutines run %.0f times", perMessage)
	}

	each := many(30)
	for range each {
		p.Send(wire.MPub("t", numbered("", consumers)...))
	}
	for range each {
		p.Expect("OK")
	}
	for range each * consumers {
		process.Next(t, c.got)
	}
	n.wantCounts("t", "ch", counts{})
	least, most, sum := c.share()
	t.Logf("under load consumers got between %d and %d, in all", least, most)
	want := int64((rounds + each) * consumers)
	if sum < want || (sum > want || least < int64(rounds+each/4)) && !n.disturbed() {
		t.Errorf("%d deliveries of %d messages; consumers got between %d and %d", sum, want, least, most)
	}
}

// tryConnect is connect for goroutines.
func (n *node) tryConnect(first string) (*wire.Conn, error) {
	c, err := net.Dial("tcp", n.address)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte(wire.Magic + first)); err != nil {
		c.Close()
		return nil, err
	}
	return wire.NewConn(n.t, c), nil
}

// seen is what consumers got.
type seen struct {
	sync.Mutex
	bodies map[string]bool
}

func (s *seen) add(body string) {
	s.Lock()
	defer s.Unlock()
	s.bodies[body] = true
}

func (s *seen) has(body string) bool {
	s.Lock()
	defer s.Unlock()
	return s.bodies[body]
}

// follow consumes a channel until stop is closed and comes back whenever the
// connection ends. An answer for which allowed is false is a mistake.
func (n *node) follow(topic, channel string, s *seen, stop <-chan struct{}, allowed func(failure string) bool) {
	for {
		k, err := n.tryConnect("SUB " + topic + " " + channel + "\n")
		if err != nil {
			n.t.Error(err)
			return
		}
		done := make(chan struct{})
		go func() {
			select {
			case <-stop:
			case <-done:
			}
			k.Close()
		}()
		if kind, _, err := k.TryFrame(); err == nil && kind == wire.Response {
			fmt.Fprint(k, "RDY 50\n")
		}
		for {
			kind, data, err := k.TryFrame()
			if err != nil {
				break
			}
			switch {
			case kind == wire.Delivery:
				m := parsed(n.t, data)
				s.add(m.Body)
				fmt.Fprintf(k, "FIN %s\n", m.ID)
			case !allowed(data):
				n.t.Errorf("frame %d %q", kind, data)
			}
		}
		close(done)
		select {
		case <-stop:
			return
		default:
		}
	}
}

// publishUntil publishes, each time waiting for the answer, until stop is
// closed. It tells okd of each OK; refused says whether another answer is fine.
func (n *node) publishUntil(stop <-chan struct{}, topic, name string, okd func(body string), refused func(string) bool) {
	p, err := n.tryConnect("")
	if err != nil {
		n.t.Error(err)
		return
	}
	defer p.Close()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		body := fmt.Sprint(name, " ", i)
		if _, err := p.Write([]byte(wire.Pub(topic, body))); err != nil {
			n.t.Error(err)
			return
		}
		kind, data, err := p.TryFrame()
		switch {
		case err != nil:
			n.t.Error(err)
			return
		case kind == wire.Response && data == "OK":
			okd(body)
		case kind != wire.Error || !refused(data):
			n.t.Errorf("frame %d %q", kind, data)
		}
	}
}

// TestTopicDeletedUnderFullTraffic again and again: publishes go to one
// incarnation or the next, or are refused; what is OK'd after the last
// deletion is delivered; and nothing is left behind.
func TestTopicDeletedUnderFullTraffic(t *testing.T) {
	const deletions, afterwards = 30, 300
	goroutines := runtime.NumGoroutine()
	n := start(t)
	exiting := func(text string) bool { return strings.HasSuffix(text, "_FAILED PUB failed exiting") }
	exitingSub := func(text string) bool {
		return text == "E_SUB_FAILED SUB failed exiting" || strings.HasPrefix(text, "E_FIN_FAILED FIN ") && strings.HasSuffix(text, " failed exiting")
	}
	var over atomic.Bool // the last deletion was answered
	var mu sync.Mutex
	var kept []string
	enough, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var publishers, consumers sync.WaitGroup
	for i := range 4 {
		publishers.Go(func() {
			began := false
			n.publishUntil(stop, "t", fmt.Sprint("p", i), func(body string) {
				if began { // before this publish was sent
					mu.Lock()
					if kept = append(kept, body); len(kept) == afterwards {
						close(enough)
					}
					mu.Unlock()
				}
				began = over.Load()
			}, exiting)
		})
	}
	publishers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := n.tryCall("POST", "/pub?topic=t", "http")
			if err != nil || r.status != 200 && (r.status != 503 || r.body != `{"message":"EXITING"}`) {
				t.Errorf("%+v, %v", r, err)
				return
			}
		}
	})
	got := &seen{bodies: map[string]bool{}}
	for range 4 {
		consumers.Go(func() { n.follow("t", "ch", got, stopped, exitingSub) })
	}
	for range deletions {
		process.Eventually(t, "traffic", func() bool {
			s, ok := n.findTopic("t")
			return ok && len(s.Channels) == 1 && s.MessageCount > 20
		})
		n.do("/topic/delete", "t", "")
	}
	over.Store(true)
	process.Next(t, enough)
	close(stop)
	publishers.Wait()
	for _, body := range kept {
		process.Eventually(t, "the delivery of "+body, func() bool { return got.has(body) })
	}
	close(stopped)
	consumers.Wait()
	n.stop()
	if dirs := n.topicDirs(); len(dirs) != 1 {
		t.Errorf("these directories are left: %q", dirs)
	}
	if n.set != nil {
		return // the others go on
	}
	process.Eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestChannelEmptiedWhileConsumersTake: what was taken and then dropped cannot
// be finished any more, and that is all that anybody notices.
func TestChannelEmptiedWhileConsumersTake(t *testing.T) {
	const empties, markers = 100, 500
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "ch")
	stop, stopped := make(chan struct{}), make(chan struct{})
	var publishers, consumers sync.WaitGroup
	for i := range 2 {
		publishers.Go(func() {
			n.publishUntil(stop, "t", fmt.Sprint("p", i), func(string) {}, func(string) bool { return false })
		})
	}
	got := &seen{bodies: map[string]bool{}}
	for range 4 {
		consumers.Go(func() {
			n.follow("t", "ch", got, stopped, func(text string) bool {
				return strings.HasPrefix(text, "E_FIN_FAILED FIN ") && strings.HasSuffix(text, " failed ID not in flight")
			})
		})
	}
	for i := range empties {
		process.Eventually(t, "traffic", func() bool { return n.topic("t").MessageCount > 20*i })
		n.do("/channel/empty", "t", "ch")
		if s := n.channel("t", "ch"); s.Depth < 0 || s.InFlightCount < 0 || s.DeferredCount != 0 || s.InFlightCount > 200 {
			t.Errorf("%+v", s)
		}
	}
	close(stop)
	publishers.Wait()
	bodies := numbered("marker ", markers)
	n.connect().Publish("t", bodies...)
	for _, body := range bodies {
		process.Eventually(t, "the delivery of "+body, func() bool { return got.has(body) })
	}
	n.wantCounts("t", "ch", counts{})
	close(stopped)
	consumers.Wait()
}

// TestStopUnderLoadIsNotHeldUpByClients, whatever they are doing, and loses nothing. It
// takes a second or two, and more where the machine has other work: what is held up by a
// client is so until that one goes, which here is never.
func TestStopUnderLoadIsNotHeldUpByClients(t *testing.T) {
	const oks, longest = 2000, testTimeout
	n := start(t)
	n.do("/topic/create", "t", "")
	n.do("/channel/create", "t", "all")
	progress := make(chan struct{}, oks)
	var running sync.WaitGroup
	var all []*publisher
	for i := range 4 {
		p, c := &publisher{name: fmt.Sprint("p", i)}, n.connect()
		all = append(all, p)
		running.Go(func() { p.run(c, "t", progress) })
	}
	web := &publisher{name: "web"}
	running.Go(func() {
		for i := 0; ; i++ {
			body := fmt.Sprint("web ", i)
			if r, err := n.tryCall("POST", "/pub?topic=t", body); err != nil || r.status != 200 {
				return
			}
			web.ok = append(web.ok, body)
		}
	})
	busy := n.consume("t", "busy", 100)
	running.Go(func() {
		for {
			kind, data, err := busy.TryFrame()
			if err != nil {
				return
			}
			if kind == wire.Delivery {
				fmt.Fprintf(busy, "FIN %s\n", data[10:26])
			}
		}
	})
	deaf := n.consume("t", "deaf", 2500)
	n.connect().Publish("t", bulk(20<<20)...) // more than the sockets to deaf hold
	process.Eventually(t, "a delivery that got stuck", func() bool { return n.channel("t", "deaf").InFlightCount > 10 })
	n.connect("PUB t\n" + wire.Size(1000) + "half")
	wire.Open(t, n.address)
	for range oks {
		process.Next(t, progress)
	}
	began := time.Now()
	n.stop()
	took := time.Since(began)
	t.Logf("the stop took %v", took)
	if took > longest {
		t.Error("that is too long")
	}
	running.Wait()
	deaf.Close()
	n.open()
	held := n.drain("t", "all")
	for _, p := range append(all, web) {
		p.check(t, held)
	}
}
