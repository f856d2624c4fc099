package soak

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// batch is how many messages are published together. With padding, which follows their
// numbers, caches of the newest messages are full within minutes.
const batch = 10

var padding = " " + strings.Repeat("x", 1000)

// topic is one of a round.
type topic struct {
	name     string
	channels []*channel

	mu sync.Mutex
	ok []int // what was OK'd
}

// channel is one of a topic, with what came to it.
type channel struct {
	topic, name string

	mu        sync.Mutex
	seen      map[int]bool
	delivered int
	consumers []*nsq.Consumer
}

// round has topics come, be published to and consumed while a node is in trouble,
// and go, and says how many deliveries there were.
func (c *cluster) round(s shape, number int, what faults) (delivered int) {
	c.t.Helper()
	topics := c.makeTopics(s, number)
	var publishing sync.WaitGroup
	for i, tp := range topics {
		publishing.Go(func() { c.publish(s, tp, i) })
	}
	churned := make(chan struct{})
	go func() {
		defer close(churned)
		for _, tp := range topics {
			time.Sleep(s.pause)
			c.churn(tp.channels[0]) // one consumer goes, another comes
		}
	}()
	if what.make != nil {
		time.Sleep(time.Duration(s.batches) * s.pause / 3) // in the middle of it all
		what.make(c.t, c.nodes[what.node])
		c.nodes[what.node].revive()
	}
	publishing.Wait()
	<-churned
	for _, tp := range topics {
		for _, ch := range tp.channels {
			process.Eventually(c.t, tp.name+"/"+ch.name+" has had all that was OK'd", func() bool { return ch.missing(tp.ok) == 0 })
			delivered += ch.end()
		}
		c.accepted.Add(int64(len(tp.ok)))
	}
	c.delivered.Add(int64(delivered))
	c.removeTopics(topics)
	return delivered
}

// makeTopics makes topics with their channels on all nodes, and consumers.
func (c *cluster) makeTopics(s shape, number int) (topics []*topic) {
	for i := range s.local + s.replicated {
		tp := &topic{name: fmt.Sprintf("own-%d-%d", number+1, i)}
		nodes := c.nodes
		if i >= s.local {
			tp.name, nodes = fmt.Sprintf("set-%d-%d", number+1, i), c.nodes[:1]
		}
		for _, n := range nodes {
			n.must("POST", "/topic/create?topic="+tp.name, "")
		}
		for j := range s.channels {
			ch := &channel{topic: tp.name, name: fmt.Sprint("c", j), seen: make(map[int]bool)}
			for _, n := range nodes {
				n.must("POST", "/channel/create?topic="+tp.name+"&channel="+ch.name, "")
			}
			for range s.consumers {
				c.consume(ch)
			}
			tp.channels = append(tp.channels, ch)
		}
		topics = append(topics, tp)
	}
	return topics
}

// removeTopics deletes them wherever they are, and at the directory.
func (c *cluster) removeTopics(topics []*topic) {
	for _, tp := range topics {
		if strings.HasPrefix(tp.name, "set-") {
			c.nodes[0].must("POST", "/topic/delete?everywhere=true&topic="+tp.name, "")
		} else {
			for _, n := range c.nodes {
				n.must("POST", "/topic/delete?topic="+tp.name, "")
			}
		}
		if _, err := process.Ask(c.t.Context(), c.http, http.MethodPost, c.directory.HTTP, "/topic/delete?topic="+tp.name, ""); err != nil {
			c.t.Error(err)
		}
	}
}

// publish publishes to a topic at all nodes in turn. A batch that one does not take,
// or does not answer for, goes to the next.
func (c *cluster) publish(s shape, tp *topic, first int) {
	for b := range s.batches {
		numbers, lines := make([]int, batch), make([]string, batch)
		for i := range numbers {
			numbers[i] = b*batch + i
			lines[i] = strconv.Itoa(numbers[i]) + padding
		}
		if err := c.publishBatch(tp, &first, strings.Join(lines, "\n")); err != nil {
			c.t.Errorf("no node takes a batch for %s: %v", tp.name, err)
			return
		}
		tp.mu.Lock()
		tp.ok = append(tp.ok, numbers...)
		tp.mu.Unlock()
		time.Sleep(s.pause)
	}
}

// publishBatch tries one node after the other.
func (c *cluster) publishBatch(tp *topic, turn *int, body string) (err error) {
	for deadline := time.Now().Add(process.Timeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		*turn++
		if _, err = c.nodes[*turn%len(c.nodes)].ask("POST", "/mpub?topic="+tp.name, body); err == nil {
			return nil
		}
	}
	return err
}

// consume adds a consumer that finds the nodes through the directory.
func (c *cluster) consume(ch *channel) {
	config := nsq.NewConfig()
	config.MaxInFlight = 3 * batch
	config.LookupdPollInterval = 200 * time.Millisecond
	config.DefaultRequeueDelay = 0
	consumer, err := nsq.NewConsumer(ch.topic, ch.name, config)
	if err != nil {
		c.t.Error(err)
		return
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(nsq.HandlerFunc(ch.handle))
	if err := consumer.ConnectToNSQLookupd(c.directory.HTTP); err != nil {
		c.t.Error(err)
	}
	ch.mu.Lock()
	ch.consumers = append(ch.consumers, consumer)
	ch.mu.Unlock()
}

func (ch *channel) handle(m *nsq.Message) error {
	text, _, _ := strings.Cut(string(m.Body), " ")
	number, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.seen[number] = true
	ch.delivered++
	return nil
}

// churn lets a consumer go and another one come.
func (c *cluster) churn(ch *channel) {
	ch.mu.Lock()
	goes := ch.consumers[0]
	ch.consumers = ch.consumers[1:]
	ch.mu.Unlock()
	stop(goes)
	c.consume(ch)
}

// stop ends a consumer. It asks for no more messages first: one that came over a connection
// that is being made meanwhile would be more than go-nsq bears.
func stop(consumer *nsq.Consumer) {
	consumer.ChangeMaxInFlight(0)
	consumer.Stop()
	<-consumer.StopChan
}

// missing counts what was OK'd and has not come.
func (ch *channel) missing(ok []int) (missing int) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, number := range ok {
		if !ch.seen[number] {
			missing++
		}
	}
	return missing
}

// end stops all consumers and says how many deliveries there were.
func (ch *channel) end() int {
	ch.mu.Lock()
	consumers := ch.consumers
	ch.mu.Unlock()
	var stopping sync.WaitGroup
	for _, consumer := range consumers {
		stopping.Go(func() { stop(consumer) })
	}
	stopping.Wait()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.delivered
}
