package crashset

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/nsqio/go-nsq"
)

// late is a channel that is created while a fault lasts. It has to get all that is OK'd
// after its creation was answered.
type late struct {
	p        *plan
	topic    string
	name     string
	created  chan struct{} // closed when it is answered
	consumer *nsq.Consumer

	mu   sync.Mutex // guards what follows
	from []int      // by publisher, the first message that was sent after the answer
	came map[[2]uint32]bool
}

// lateEvery is with how many faults there is one.
const lateEvery = 4

// createLate has a channel created through a member, whatever it takes.
func (p *plan) createLate(n int, through *member) *late {
	c := &late{p: p, topic: topicNames[n/lateEvery%len(topicNames)], name: fmt.Sprintf("late%d", n), created: make(chan struct{}), came: make(map[[2]uint32]bool)}
	delay := p.upTo(time.Second)
	go func() {
		defer close(c.created)
		time.Sleep(delay)
		for deadline := time.Now().Add(wholeTime); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if _, err := through.ask("POST", "/channel/create?topic="+c.topic+"&channel="+c.name); err == nil {
				c.mu.Lock()
				c.from = p.l.sent()
				c.mu.Unlock()
				return
			}
		}
	}()
	return c
}

// sent is how many messages each publisher has sent.
func (l *ledger) sent() (list []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.publishers {
		list = append(list, len(p.messages))
	}
	return list
}

// check waits until all has come, and deletes the channel. The set is whole.
func (c *late) check() {
	<-c.created
	if c.from == nil {
		c.p.t.Errorf("%s/%s could not be created", c.topic, c.name)
		return
	}
	c.consume()
	until := c.p.l.sent()
	for deadline := time.Now().Add(resumeTime); ; time.Sleep(20 * time.Millisecond) {
		missing, such := c.missing(until)
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			c.p.t.Errorf("%d messages were OK'd after the creation of %s/%s and did not come to it: %s", missing, c.topic, c.name, such)
			break
		}
	}
	c.consumer.Stop()
	<-c.consumer.StopChan
	c.p.s.insist("POST", "/channel/delete?topic="+c.topic+"&channel="+c.name)
}

func (c *late) consume() {
	var err error
	if c.consumer, err = nsq.NewConsumer(c.topic, c.name, settings()); err != nil {
		c.p.t.Fatal(err)
	}
	c.consumer.SetLogger(quietLog, nsq.LogLevelError)
	c.consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		if len(m.Body) >= bodyHead {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.came[[2]uint32{binary.LittleEndian.Uint32(m.Body), binary.LittleEndian.Uint32(m.Body[4:])}] = true
		}
		return nil
	}))
	var all []string
	for _, m := range c.p.s.members {
		all = append(all, m.TCP)
	}
	if err := c.consumer.ConnectToNSQDs(all); err != nil {
		c.p.t.Error(err)
	}
}

// missing counts what was sent after the answer, OK'd, and has not come.
func (c *late) missing(until []int) (missing int, such string) {
	l := c.p.l
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for publisher, from := range c.from {
		p := l.publishers[publisher]
		if p.topic != c.topic {
			continue
		}
		for n := from; n < until[publisher]; n++ {
			if p.messages[n].okd && !c.came[[2]uint32{uint32(publisher), uint32(n)}] {
				missing++
				such = fmt.Sprintf("message %d of publisher %d", n, publisher)
			}
		}
	}
	return missing, such
}
