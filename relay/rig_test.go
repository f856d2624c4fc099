package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/test/node"
	"qmq/topic"
)

// set is a set of nodes that share one disk: the node that leads has a broker on it,
// which is killed when the leadership goes on. What the journal did not have by then
// is not known to the next leader, as with a set that replicates it.
type set struct {
	t     testing.TB
	fs    *crashfs.FS
	nodes []*setNode
	clock *clock.Clock

	publishing sync.RWMutex // held while the leader changes, and for reading during a publish
	mu         sync.Mutex   // guards what follows
	store      *broker.Broker
	leader     int // -1: none
	term       uint64
	busy       bool // it does not serve yet
}

// setNode is a node of a set. Its member number is its index and one.
type setNode struct {
	set   *set
	index int
	relay *Relay
	mu    sync.Mutex       // guards links
	links map[uint64]*wire // by member, to it
}

func newSet(t testing.TB, nodes int, change ...func(*Options)) *set {
	s := &set{t: t, fs: crashfs.New(1), clock: clock.New(), leader: -1}
	for i := range nodes {
		n := &setNode{set: s, index: i, links: make(map[uint64]*wire)}
		o := Options{Self: n.member(), Shard: func(string) uint32 { return 7 }, Topics: n, Lane: n, Clock: s.clock}
		for _, f := range change {
			f(&o)
		}
		n.relay = New(o)
		s.nodes = append(s.nodes, n)
	}
	for i := range nodes {
		for j := range i {
			s.connect(i, j)
		}
	}
	t.Cleanup(s.close)
	return s
}

func (s *set) close() {
	s.lead(-1)
	for _, n := range s.nodes {
		for _, other := range s.nodes {
			n.disconnect(other)
		}
	}
	for _, n := range s.nodes {
		n.relay.Close()
	}
}

// lead has another node lead, -1 for none.
func (s *set) lead(index int) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	before, store := s.leader, s.store
	s.leader, s.store = -1, nil
	s.mu.Unlock()
	if before >= 0 {
		s.nodes[before].relay.Deposed(7)
		for _, n := range s.nodes {
			if n.term() <= s.term { // else it has heard of the next leader already
				n.relay.Leader(7, 0, s.term)
			}
		}
		s.fs.Kill()
		_ = store.Close() // its disk is gone
	}
	if index < 0 {
		return
	}
	o := node.Options()
	o.FS, o.MemQueueSize, o.HotBytes = s.fs.Mount(), 1<<20, 1<<30
	if err := o.FS.MkdirAll(o.DataPath); err != nil {
		s.t.Fatal(err)
	}
	store, err := broker.Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.leader, s.store = index, store
	s.term++
	term := s.term
	s.mu.Unlock()
	var followers []uint64
	for _, n := range s.nodes {
		if n.index != index && s.nodes[index].linked(n) {
			followers = append(followers, n.member())
		}
		n.relay.Leader(7, s.nodes[index].member(), term)
	}
	s.nodes[index].relay.Led(7, term, followers)
}

// publish stores messages, each its own, in a topic.
func (s *set) publish(name string, bodies ...string) {
	s.t.Helper()
	s.publishWith(message.Meta{}, name, bodies...)
}

// publishWith is publish of messages of which more is said.
func (s *set) publishWith(m message.Meta, name string, bodies ...string) {
	s.t.Helper()
	var b diskqueue.Batch
	for _, body := range bodies {
		m.Timestamp = s.clock.Wall()
		b.Add(&m, []byte(body))
	}
	t, err := s.store.Topic(name)
	if err == nil {
		err = t.Publish(&b)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// channel is the served one.
func (s *set) channel(topicName, name string) channel.Stats {
	s.t.Helper()
	t, err := s.store.Topic(topicName)
	if err != nil {
		s.t.Fatal(err)
	}
	c, ok := t.ExistingChannel(name)
	if !ok {
		return channel.Stats{}
	}
	return c.Stats()
}

// term is the latest that the node has heard of.
func (n *setNode) term() uint64 {
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	return n.relay.shardOf(7).term
}

func (n *setNode) member() uint64 { return uint64(n.index) + 1 }

// Topic is of Topics.
func (n *setNode) Topic(name string, create bool) (*topic.Topic, error) {
	n.set.mu.Lock()
	store, leader := n.set.store, n.set.leader
	if n.set.busy {
		leader = -1
	}
	n.set.mu.Unlock()
	if leader != n.index {
		return nil, ErrNotLeader
	}
	if t, ok := store.Existing(name); ok || !create {
		if !ok {
			return nil, topic.ErrNoAutoCreate
		}
		return t, nil
	}
	return store.Topic(name)
}

// wire is a connection from one node to another. It holds a few frames.
type wire struct {
	frames chan []byte
	stop   chan struct{}
	over   chan struct{}
}

// Send is of Lane.
func (n *setNode) Send(to uint64, frame []byte) bool {
	n.mu.Lock()
	w := n.links[to]
	n.mu.Unlock()
	if w == nil {
		return false
	}
	select {
	case w.frames <- slices.Clone(frame):
		return true
	case <-w.stop:
		return false
	}
}

func (n *setNode) linked(to *setNode) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[to.member()] != nil
}

func (s *set) connect(i, j int) {
	ends := [][2]*setNode{{s.nodes[i], s.nodes[j]}, {s.nodes[j], s.nodes[i]}}
	var wires [2]*wire
	for i, e := range ends {
		from, to := e[0], e[1]
		w := &wire{frames: make(chan []byte, 4), stop: make(chan struct{}), over: make(chan struct{})}
		from.mu.Lock()
		from.links[to.member()] = w
		from.mu.Unlock()
		wires[i] = w
	}
	for _, e := range ends { // only now both can send
		e[1].relay.Up(e[0].member())
	}
	for i, e := range ends {
		go s.carry(e[0], e[1], wires[i])
	}
}

// carry gives one node what another one sends it, until they are disconnected.
func (s *set) carry(from, to *setNode, w *wire) {
	defer close(w.over)
	for {
		select {
		case f := <-w.frames:
			if err := to.relay.Receive(from.member(), f); err != nil {
				s.t.Error(err)
			}
		case <-w.stop:
			return
		}
	}
}

func (n *setNode) disconnect(other *setNode) {
	ends := [][2]*setNode{{n, other}, {other, n}}
	var there [2]bool
	for i, e := range ends {
		from, to := e[0], e[1]
		from.mu.Lock()
		w := from.links[to.member()]
		delete(from.links, to.member())
		from.mu.Unlock()
		if there[i] = w != nil; w != nil {
			close(w.stop)
			<-w.over
		}
	}
	for i, e := range ends { // only when neither can send
		if there[i] {
			e[1].relay.Down(e[0].member())
		}
	}
}

// freeze has what a node sends stay where it is, until it is called back.
func (n *setNode) freeze() (thaw func()) {
	n.mu.Lock()
	links := n.links
	n.links = make(map[uint64]*wire)
	for to := range links {
		n.links[to] = &wire{frames: make(chan []byte), stop: links[to].stop, over: links[to].over}
	}
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.links = links
	}
}

// client is a session that takes what it is woken for.
type client struct {
	t      testing.TB
	k      broker.Consumer
	wakes  chan struct{}
	closed chan struct{}
	failed chan channel.Answer

	mu    sync.Mutex // guards what follows
	got   []string   // bodies, with attempts behind them when it was not the first
	ids   map[string]message.ID
	said  map[string]string // what came with a body as headers, as AppendDescription has it
	stuck bool              // it takes nothing
}

const (
	testTopic   = "t"
	testChannel = "ch"
)

func (n *setNode) subscribe(channelName string, ready int64, change ...func(*broker.SubscribeOptions)) *client {
	n.set.t.Helper()
	c, err := n.trySubscribe(channelName, ready, change...)
	if err != nil {
		n.set.t.Fatal(err)
	}
	return c
}

func (n *setNode) trySubscribe(channelName string, ready int64, change ...func(*broker.SubscribeOptions)) (*client, error) {
	c := &client{
		t: n.set.t, wakes: make(chan struct{}, 1), closed: make(chan struct{}), failed: make(chan channel.Answer, 100),
		ids: make(map[string]message.ID), said: make(map[string]string),
	}
	o := broker.SubscribeOptions{
		ConsumerOptions: channel.ConsumerOptions{ID: 42, MsgTimeout: time.Minute, Wake: c.wake, Closed: func() { close(c.closed) }},
		AnswerFailed:    func(a channel.Answer) { c.failed <- a },
	}
	for _, f := range change {
		f(&o)
	}
	k, err := n.relay.Subscribe(testTopic, channelName, true, o)
	if err != nil {
		return nil, err
	}
	c.k = k
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-c.wakes:
				c.take()
			case <-stop:
				return
			}
		}
	})
	n.set.t.Cleanup(func() {
		k.Close()
		close(stop)
		done.Wait()
	})
	c.wake()
	k.SetReady(ready)
	return c, nil
}

func (c *client) wake() {
	select {
	case c.wakes <- struct{}{}:
	default:
	}
}

// take takes until there is nothing left.
func (c *client) take() {
	for {
		c.mu.Lock()
		stuck := c.stuck
		c.mu.Unlock()
		if stuck || c.k.Take(c, channel.MaxTake) == 0 {
			return
		}
	}
}

// Put is of channel.Sink.
func (c *client) Put(m *channel.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[string(m.Body)] = m.ID
	if said := m.AppendDescription(nil); said != nil {
		c.said[string(m.Body)] = string(said)
	}
	text := string(m.Body)
	if m.Attempts > 1 {
		text = fmt.Sprintf("%s/%d", text, m.Attempts)
	}
	c.got = append(c.got, text)
	return true
}

// received is what came since the last call, sorted.
func (c *client) received() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	slices.Sort(got)
	return strings.Join(got, " ")
}

func (c *client) answer(op channel.AnswerOp, delay time.Duration, bodies ...string) (errs error) {
	var answers []channel.Answer
	c.mu.Lock()
	for _, body := range bodies {
		answers = append(answers, channel.Answer{Op: op, ID: c.ids[body], Delay: delay})
	}
	c.mu.Unlock()
	c.k.Answer(answers)
	for i := range answers {
		errs = errors.Join(errs, answers[i].Err)
	}
	return errs
}

func (c *client) finish(bodies ...string) error { return c.answer(channel.Finish, 0, bodies...) }

// want compares what two strings say.
func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
}

// inBubble runs a test of a set in fake time, with its first node leading.
func inBubble(t *testing.T, f func(t *testing.T, s *set)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t, 3)
		s.lead(0)
		f(t, s)
	})
}
