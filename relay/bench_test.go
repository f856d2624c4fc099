package relay

import (
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
)

// finisher is a client that finishes all it gets.
type finisher struct {
	k       broker.Consumer
	wakes   chan struct{}
	answers []channel.Answer
	left    int
}

func (f *finisher) Put(m *channel.Message) bool {
	f.answers = append(f.answers, channel.Answer{ID: m.ID})
	return true
}

func (f *finisher) run() {
	for f.left > 0 {
		<-f.wakes
		for f.k.Take(f, channel.MaxTake) > 0 {
			f.left -= len(f.answers)
			f.k.Answer(f.answers)
			f.answers = f.answers[:0]
		}
	}
}

// benchmarkConsume has one client take and finish messages of 200 bytes.
func benchmarkConsume(b *testing.B, subscribe func(s *set, o broker.SubscribeOptions) (broker.Consumer, error)) {
	s := newSet(b, 2)
	s.lead(0)
	f := &finisher{wakes: make(chan struct{}, 1), left: b.N}
	wake := func() {
		select {
		case f.wakes <- struct{}{}:
		default:
		}
	}
	tp, err := s.store.Topic(testTopic)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := tp.Channel(testChannel); err != nil {
		b.Fatal(err)
	}
	var batch diskqueue.Batch
	body := []byte(strings.Repeat("x", 200))
	for n := 0; n < b.N; n += 1000 {
		batch.Reset()
		for range min(1000, b.N-n) {
			batch.Add(&message.Meta{Timestamp: 1}, body)
		}
		if err := tp.Publish(&batch); err != nil {
			b.Fatal(err)
		}
	}
	f.k, err = subscribe(s, broker.SubscribeOptions{ConsumerOptions: channel.ConsumerOptions{MsgTimeout: time.Minute, Wake: wake}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var done sync.WaitGroup
	done.Go(f.run)
	wake()
	f.k.SetReady(2500)
	done.Wait()
	b.StopTimer()
	f.k.Close()
}

// BenchmarkConsume compares a client of the channel itself, of a shell at the leader,
// and of one at another node.
func BenchmarkConsume(b *testing.B) {
	b.Run("channel", func(b *testing.B) {
		benchmarkConsume(b, func(s *set, o broker.SubscribeOptions) (broker.Consumer, error) {
			tp, _ := s.store.Existing(testTopic)
			c, _ := tp.ExistingChannel(testChannel)
			return c.Subscribe(o.ConsumerOptions)
		})
	})
	for i, name := range []string{"leader", "follower"} {
		b.Run(name, func(b *testing.B) {
			benchmarkConsume(b, func(s *set, o broker.SubscribeOptions) (broker.Consumer, error) {
				return s.nodes[i].relay.Subscribe(testTopic, testChannel, true, o)
			})
		})
	}
}
