package relay

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/broker"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/server"
	"qmq/test/node"
	"qmq/topic"
)

// testTimeout bounds every wait for real clients; nothing that works takes as long.
const testTimeout = 60 * time.Second

// replicas are the replicated topics of a node of a set, as its broker knows them.
type replicas struct{ n *setNode }

func (r replicas) Replicated(topic string) bool { return topic != "local" }

func (r replicas) Publisher(topic string, create bool) (broker.Publisher, error) {
	return publisher{r.n.set, topic}, nil
}

func (r replicas) Subscribe(topic, channel string, create bool, o broker.SubscribeOptions) (broker.Consumer, error) {
	k, err := r.n.relay.Subscribe(topic, channel, create, o)
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (r replicas) Change(c broker.Change) error {
	t, err := r.n.set.served(c.Topic)
	if err != nil {
		return err
	}
	return c.Apply(t)
}

func (r replicas) Look(topicName string) (*topic.Look, func(), error) {
	t, err := r.n.set.served(topicName)
	if err != nil {
		return nil, nil, err
	}
	return t.Look(), func() {}, nil
}

func (r replicas) Cancel(topicName string, id message.ID) (topic.Cancellation, error) {
	t, err := r.n.set.served(topicName)
	if err != nil {
		return topic.Cancellation{}, err
	}
	return t.Cancel(id)
}

func (r replicas) Channel(topicName, channel string) (broker.Messages, error) {
	t, err := r.n.set.served(topicName)
	if err != nil {
		return nil, err
	}
	if c, ok := t.ExistingChannel(channel); ok {
		return c, nil
	}
	return nil, topic.ErrNoChannel
}

func (r replicas) Names() []string { return []string{testTopic} }

func (r replicas) Topic(name string) (broker.Replica, bool) {
	t, err := r.n.set.served(name)
	if err != nil {
		return broker.Replica{}, false
	}
	replica := broker.Replica{Name: name}
	if r.n.set.leader == r.n.index {
		replica.Served = t
	}
	for _, c := range t.Channels() {
		replica.Channels = append(replica.Channels, broker.ReplicaChannel{Name: c.Name(), Consumers: r.n.relay.Consumers(name, c.Name())})
	}
	return replica, true
}

// served finds a topic at the leader.
func (s *set) served(name string) (*topic.Topic, error) {
	s.mu.Lock()
	store := s.store
	s.mu.Unlock()
	if store == nil {
		return nil, errNoLeader
	}
	return store.Topic(name)
}

// publisher publishes to the leader, and waits for one.
type publisher struct {
	s    *set
	name string
}

func (p publisher) Name() string { return p.name }

func (p publisher) Stamp() *topic.Stamp { return nil }
func (p publisher) Publish(b *diskqueue.Batch) error {
	p.s.publishing.RLock()
	defer p.s.publishing.RUnlock()
	t, err := p.s.served(p.name)
	if err != nil {
		return err
	}
	return t.Publish(b)
}

// counting counts the connections that it accepts.
type counting struct {
	net.Listener
	accepted atomic.Int32
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

// serve serves a node's clients on a port of its own.
func (n *setNode) serve() *counting {
	t := n.set.t
	b := node.Open(t, func(o *broker.Options) { o.Replicas = replicas{n} })
	tcp := server.NewTCP(b, server.DefaultOptions())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := &counting{Listener: l}
	served := make(chan error, 1)
	go func() { served <- tcp.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(tcp.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return listener
}

func clientConfig() *nsq.Config {
	config := nsq.NewConfig()
	config.DialTimeout, config.WriteTimeout = testTimeout, testTimeout
	config.DefaultRequeueDelay, config.BackoffMultiplier = 0, 0
	config.MaxInFlight = 20
	return config
}

// TestStockClientsGoOnThroughChangesOfTheLeader has go-nsq publish and consume at all
// nodes while one leader after the other is killed.
func TestStockClientsGoOnThroughChangesOfTheLeader(t *testing.T) {
	stockClientsGoOn(t, 6, func(s *set, _ int) { s.lead((s.leader + 1) % len(s.nodes)) })
}

// TestStockClientsGoOnOverLinksThatBreak has them do so while the links to the leader break.
func TestStockClientsGoOnOverLinksThatBreak(t *testing.T) {
	stockClientsGoOn(t, 60, func(s *set, n int) { s.breakLink(0, 1+n%2) })
}

// stockClientsGoOn has go-nsq publish and consume at all nodes, of which the first leads at
// first, while something disturbs them so many times. No message is to come twice.
func stockClientsGoOn(t *testing.T, times int, disturb func(s *set, n int)) {
	const messages = 6000
	s := newSet(t, 3, func(o *Options) { o.ClaimsWithin, o.AwayWithin = testTimeout, testTimeout }) // however slow the machine
	s.lead(0)
	received := make(chan string, 2*messages)
	var listeners []*counting
	quiet := log.New(io.Discard, "", 0)
	var consumers []*nsq.Consumer
	for _, n := range s.nodes {
		l := n.serve()
		listeners = append(listeners, l)
		k, err := nsq.NewConsumer(testTopic, testChannel, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		k.SetLogger(quiet, nsq.LogLevelError)
		k.AddConcurrentHandlers(nsq.HandlerFunc(func(m *nsq.Message) error {
			if m.Attempts == 1 && m.Body[len(m.Body)-1] == '7' {
				return errors.New("once again")
			}
			received <- string(m.Body)
			return nil
		}), 4)
		if err := k.ConnectToNSQD(l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		consumers = append(consumers, k)
	}
	var publishing sync.WaitGroup
	for i, l := range listeners {
		p, err := nsq.NewProducer(l.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		p.SetLogger(quiet, nsq.LogLevelError)
		publishing.Go(func() {
			defer p.Stop()
			for j := range messages / 30 {
				var bodies [][]byte
				for k := range 10 {
					bodies = append(bodies, fmt.Appendf(nil, "%d.%d.%d", i, j, k))
				}
				if err := p.MultiPublish(testTopic, bodies); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := make(map[string]int)
	deadline := time.After(testTimeout)
	for n := 1; len(seen) < messages; n++ {
		select {
		case body := <-received:
			seen[body]++
		case <-deadline:
			t.Fatalf("%d of %d messages came", len(seen), messages)
		}
		if n%(messages/times) == 0 {
			disturb(s, n/(messages/times))
		}
	}
	publishing.Wait()
	for _, k := range consumers {
		k.Stop()
		<-k.StopChan
	}
	close(received)
	for body := range received {
		seen[body]++
	}
	var repeated []string
	for body, n := range seen {
		if n > 1 {
			repeated = append(repeated, body)
		}
	}
	if len(repeated) > 0 {
		slices.Sort(repeated)
		t.Errorf("%d messages were delivered again, as %s", len(repeated), repeated[0])
	}
	for i, l := range listeners {
		if n := l.accepted.Load(); n != 2 {
			t.Errorf("node %d had %d connections of a consumer and a publisher", i, n)
		}
	}
	if st := s.channel(testTopic, testChannel); st.Depth+int64(st.InFlight+st.Deferred) != 0 {
		t.Errorf("left: %+v", st)
	}
}

func (replicas) Health() error { return nil }
