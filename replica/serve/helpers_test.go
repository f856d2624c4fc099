package serve

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// batchOf is a batch of messages with these bodies; several are an MPUB.
func batchOf(bodies ...string) *diskqueue.Batch {
	var b diskqueue.Batch
	b.Reset()
	if len(bodies) > 1 {
		b.BeginMulti()
		defer b.EndMulti()
	}
	for _, body := range bodies {
		b.Add(&message.Meta{Timestamp: 1}, []byte(body))
	}
	return &b
}

// result is how something ended that runs beside the test.
type result struct {
	err  error
	over atomic.Bool
}

// beside runs f.
func beside(f func() error) *result {
	r := &result{}
	go func() {
		r.err = f()
		r.over.Store(true)
	}()
	synctest.Wait()
	return r
}

func (r *result) want(t testing.TB, err error) {
	t.Helper()
	synctest.Wait()
	switch {
	case !r.over.Load():
		t.Errorf("it is not over, want %v", err)
	case !errors.Is(r.err, err):
		t.Errorf("it ended with %v, want %v", r.err, err)
	}
}

func (r *result) wantWaiting(t testing.TB) {
	t.Helper()
	synctest.Wait()
	if r.over.Load() {
		t.Errorf("it ended with %v", r.err)
	}
}

// published publishes and has it OK'd.
func (m *member) published(t testing.TB, bodies ...string) {
	t.Helper()
	must(t, m.node.Publish("t", batchOf(bodies...)))
}

// stored are the bodies in the log of a topic, in order.
func (m *member) stored(t testing.TB, name string) (bodies []string) {
	t.Helper()
	synctest.Wait()
	incarnation, there := m.machine.Incarnation(name)
	if !there {
		return nil
	}
	v, err := m.machine.Topic(incarnation)
	must(t, err)
	defer v.Release()
	r := v.Log.NewReader()
	for seq := v.Log.Start(); seq < v.Next; seq++ {
		x, err := r.Read(seq)
		must(t, err)
		bodies = append(bodies, string(x.Body))
		r.Release()
	}
	return bodies
}

// sizes are the bytes that wait, and those of them that were sent.
func (p *Producer) sizes() (bytes, sent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes, p.sentSize
}

// queued are the bytes of a topic that wait at a leader.
func (m *member) queued(topic uint64) int {
	q := m.node.Shard(0).servingNow().queues[topic]
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// wantStored checks what all nodes have.
func (s *set) wantStored(t testing.TB, want ...string) {
	t.Helper()
	<-time.After(10 * time.Millisecond)
	for _, m := range s.members {
		if got := m.stored(t, "t"); !slices.Equal(got, want) {
			t.Errorf("node %d has %d %.300q, want %d %.300q", m.id, len(got), got, len(want), want)
		}
	}
}

// numbered is n bodies with a prefix.
func numbered(prefix string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint(prefix, i)
	}
	return bodies
}

// deliveries is a channel.Sink.
type deliveries []delivery

type delivery struct {
	id   message.ID
	body string
}

func (ds *deliveries) Put(m *channel.Message) bool {
	*ds = append(*ds, delivery{m.ID, string(m.Body)})
	return true
}

func (ds deliveries) bodies() (list []string) {
	for _, d := range ds {
		list = append(list, d.body)
	}
	return list
}

// consumer is a subscription at the leader.
type consumer struct {
	*channel.Consumer
	closed atomic.Bool
}

func (m *member) subscribe(t testing.TB, name string) *consumer {
	t.Helper()
	served, err := m.node.Topic("t", true)
	must(t, err)
	c, err := served.Channel(name)
	must(t, err)
	k := &consumer{}
	k.Consumer, err = c.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Hour, Closed: func() { k.closed.Store(true) }})
	must(t, err)
	k.SetReady(1 << 20)
	return k
}

func (k *consumer) takeAll() (ds deliveries) {
	for k.Take(&ds, channel.MaxTake) > 0 {
	}
	return ds
}

func (k *consumer) finish(ds ...delivery) {
	as := make([]channel.Answer, len(ds))
	for i, d := range ds {
		as[i] = channel.Answer{Op: channel.Finish, ID: d.id}
	}
	k.Answer(as)
}
