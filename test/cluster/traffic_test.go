package cluster

import (
	"fmt"
	"io"
	"log"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// traffic publishes numbered messages to nodes, consumes them through the
// directories, and keeps count of what was OK'd and what came.
type traffic struct {
	t        *testing.T
	consumer *nsq.Consumer
	stop     chan struct{}
	wg       sync.WaitGroup

	mu   sync.Mutex // guards what follows
	okd  int
	owed map[string]bool // was OK'd and has not come
	came map[string]int  // by node: messages published after the last awaitMore
	seen map[string]bool
	news *sync.Cond // something came
}

// startTraffic publishes to all nodes of c.
func startTraffic(t *testing.T, c *cluster) *traffic {
	t.Helper()
	config := nsq.NewConfig()
	config.MaxInFlight = 300
	config.MaxAttempts = 0
	config.LookupdPollInterval = 50 * time.Millisecond
	config.DefaultRequeueDelay = 0
	config.BackoffMultiplier = time.Millisecond
	consumer, err := nsq.NewConsumer(topic, "check", config)
	if err != nil {
		t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	f := &traffic{t: t, consumer: consumer, stop: make(chan struct{}),
		owed: make(map[string]bool), came: make(map[string]int), seen: make(map[string]bool)}
	f.news = sync.NewCond(&f.mu)
	for _, node := range c.nodes {
		f.publishTo(node)
	}
	consumer.AddConcurrentHandlers(nsq.HandlerFunc(f.receive), 8)
	if err := consumer.ConnectToNSQLookupds(c.lookupAddresses()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.endPublishing()
		consumer.Stop()
		<-consumer.StopChan
	})
	return f
}

// publishTo starts a publisher of its own for the node.
func (f *traffic) publishTo(node *process.Daemon) {
	producer := newProducer(node)
	f.wg.Go(func() {
		defer func() { producer.Stop() }()
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for n := 0; ; {
			select {
			case <-f.stop:
				return
			case <-pace.C:
			}
			body := fmt.Sprintf("%s %d", node.TCP, n)
			if producer.Publish(topic, []byte(body)) == nil {
				f.note(body)
				n++
				continue
			}
			// The same again when the node is back, by a new producer: one that
			// reconnects has a race with itself.
			producer.Stop()
			producer = newProducer(node)
		}
	})
}

func newProducer(node *process.Daemon) *nsq.Producer {
	producer, err := nsq.NewProducer(node.TCP, nsq.NewConfig())
	if err != nil {
		panic(err) // NewConfig's is valid
	}
	producer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	return producer
}

func (f *traffic) note(body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.okd++
	if !f.seen[body] {
		f.owed[body] = true
	}
}

func (f *traffic) receive(m *nsq.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := string(m.Body)
	if !f.seen[body] {
		var node string
		fmt.Sscan(body, &node)
		f.came[node]++
	}
	f.seen[body] = true
	delete(f.owed, body)
	f.news.Broadcast()
	return nil
}

// awaitMore waits until messages that were not seen before come from the node.
func (f *traffic) awaitMore(node *process.Daemon) {
	f.t.Helper()
	f.mu.Lock()
	f.came[node.TCP] = 0
	f.mu.Unlock()
	if !f.wait(func() bool { return f.came[node.TCP] > 100 }) {
		f.t.Fatalf("nothing comes from %s", node.TCP)
	}
}

// finish ends the publishing and wants every message that was OK'd.
func (f *traffic) finish() {
	f.t.Helper()
	f.endPublishing()
	f.wait(func() bool { return len(f.owed) == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.owed); n > 0 {
		f.t.Fatalf("%d of %d messages lost", n, f.okd)
	}
	f.t.Logf("%d messages, none lost", f.okd)
}

func (f *traffic) endPublishing() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.wg.Wait()
}

// wait returns false when the condition, called with mu held, does not come
// true.
func (f *traffic) wait(condition func() bool) bool {
	late := false
	timer := time.AfterFunc(process.Timeout, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		late = true
		f.news.Broadcast()
	})
	defer timer.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !condition() {
		if late {
			return false
		}
		f.news.Wait()
	}
	return true
}
