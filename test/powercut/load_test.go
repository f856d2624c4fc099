package powercut

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
)

// load is what a node has to do until the cut.
type load struct {
	t       *testing.T
	n       *node
	l       *ledger
	stop    chan struct{}
	workers sync.WaitGroup
}

// steady is the topic with a channel that keeps up and one without consumers.
const steady = "steady"

func startLoad(t *testing.T, n *node, l *ledger, rng *rand.Rand) *load {
	w := &load{t: t, n: n, l: l, stop: make(chan struct{})}
	if l.topics[steady] == nil {
		w.create(steady, "taken", "waiting")
	}
	for range 3 {
		w.workers.Go(w.publish)
	}
	w.workers.Go(w.consume)
	seed := rng.Uint64()
	w.workers.Go(func() { w.change(rand.New(rand.NewPCG(seed, 0))) })
	return w
}

// end waits for all, after the node is gone.
func (w *load) end() {
	close(w.stop)
	w.workers.Wait()
}

// pause is false when the load ends.
func (w *load) pause(d time.Duration) bool {
	select {
	case <-w.stop:
		return false
	case <-time.After(d):
		return true
	}
}

func (w *load) producer() *nsq.Producer {
	p, err := nsq.NewProducer(w.n.TCP, nsq.NewConfig())
	if err != nil {
		w.t.Error(err)
		return nil
	}
	p.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	return p
}

// send publishes one message, and says whether it was OK'd.
func (w *load) send(p *nsq.Producer, topic string) bool {
	to, body := w.l.audience(topic), w.l.body(topic)
	if p.Publish(topic, []byte(body)) != nil {
		return false
	}
	w.l.owe(to, body)
	return true
}

func (w *load) publish() {
	p := w.producer()
	defer p.Stop()
	for w.send(p, steady) && w.pause(time.Millisecond) {
	}
}

// consume finishes all messages of the channel that is taken.
func (w *load) consume() {
	c := w.consumer(steady, "taken", func(string) {})
	defer func() { <-c.StopChan }()
	defer c.Stop()
	for w.pause(time.Second) {
	}
}

// consumer finishes what a channel has and tells of each.
func (w *load) consumer(topic, channel string, took func(body string)) *nsq.Consumer {
	config := nsq.NewConfig()
	config.MaxInFlight = 1000
	c, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		w.t.Fatal(err)
	}
	c.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	c.AddConcurrentHandlers(nsq.HandlerFunc(func(m *nsq.Message) error {
		w.l.finish(topic, channel, string(m.Body))
		took(string(m.Body))
		return nil
	}), 4)
	if err := c.ConnectToNSQD(w.n.TCP); err != nil {
		w.t.Errorf("consumer of %s/%s: %v", topic, channel, err)
	}
	return c
}

// create makes a topic with channels, and says whether all was answered.
func (w *load) create(topic string, channels ...string) bool {
	w.l.coming(topic)
	if _, err := w.n.ask(http.MethodPost, "/topic/create", topic); err != nil {
		return false
	}
	w.l.topicCreated(topic)
	for _, c := range channels {
		if !w.createChannel(topic, c) {
			return false
		}
	}
	return true
}

func (w *load) createChannel(topic, channel string) bool {
	if _, err := w.n.ask(http.MethodPost, "/channel/create", topic, channel); err != nil {
		return false
	}
	w.l.channelCame(topic, channel)
	return true
}

func (w *load) delete(topic string) bool {
	w.l.going(topic)
	if _, err := w.n.ask(http.MethodPost, "/topic/delete", topic); err != nil {
		return false
	}
	w.l.topicDeleted(topic)
	return true
}

// change makes, fills, deletes and makes topics again, and gives the steady one
// more channels.
func (w *load) change(rng *rand.Rand) {
	p := w.producer()
	defer p.Stop()
	for i := 0; w.pause(time.Duration(20+rng.IntN(100)) * time.Millisecond); i++ {
		topic := fmt.Sprint("t", rng.IntN(60))
		ok := true
		switch was := w.l.topics[topic]; {
		case was == nil || was.doubt || !was.deleted.IsZero():
			ok = w.create(topic, "c") && w.send(p, topic) && w.send(p, topic)
		case rng.IntN(3) == 0:
			ok = w.delete(topic)
		case rng.IntN(8) == 0:
			ok = w.createChannel(steady, fmt.Sprint("late", rng.Uint32()))
		default:
			ok = w.send(p, topic)
		}
		if !ok {
			return
		}
	}
}
