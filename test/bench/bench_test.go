package bench

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// load is one workload.
type load struct {
	channels   int
	consumers  int // of each channel; 1 when 0
	publishers int // 1 when 0
	per        int // messages in a command
	window     int // commands unanswered at a time, per publisher
	body       int // bytes; smallBody when 0
}

// BenchmarkMpub publishes batches of 200 messages and consumes them in 0 to 16
// channels at the same time.
func BenchmarkMpub(b *testing.B) {
	for _, channels := range []int{0, 1, 4, 16} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			load{channels: channels, per: 200, window: 10}.run(b)
		})
	}
}

// BenchmarkPub publishes message by message without waiting for each OK.
func BenchmarkPub(b *testing.B) {
	for _, channels := range []int{0, 1} {
		for _, publishers := range []int{1, 2, 16} {
			b.Run(fmt.Sprintf("channels=%d/publishers=%d", channels, publishers), func(b *testing.B) {
				load{channels: channels, publishers: publishers, consumers: publishers, per: 1, window: 500}.run(b)
			})
		}
	}
}

// BenchmarkPubWaiting publishes message by message and waits for each OK.
func BenchmarkPubWaiting(b *testing.B) {
	for _, publishers := range []int{1, 50} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			load{publishers: publishers, per: 1, window: 1}.run(b)
		})
	}
}

// BenchmarkBody publishes and consumes larger messages, and fewer: as many
// bytes as b.N messages of 200 bytes.
func BenchmarkBody(b *testing.B) {
	for _, body := range []int{1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", body), func(b *testing.B) {
			load{channels: 1, per: max(1, min(200, (1<<20)/body)), window: 10, body: body}.run(b)
		})
	}
}

// smallBody is the size of a message's body where the load does not say.
const smallBody = 200

// run moves b.N messages, rounded up to whole commands for each publisher.
func (l load) run(b *testing.B) {
	l.publishers, l.consumers = max(1, l.publishers), max(1, l.consumers)
	s := startServer(b)
	s.post(b, "/topic/create?topic=bench")
	messages := b.N
	if l.body > 0 {
		messages = max(1, b.N*smallBody/l.body)
	}
	each := (messages + l.publishers*l.per - 1) / (l.publishers * l.per) * l.per
	total := each * l.publishers
	done := make(chan error, l.publishers+l.channels)
	for i := range l.channels {
		name := fmt.Sprintf("c%d", i)
		s.post(b, "/channel/create?topic=bench&channel="+name)
		l.consume(b, s, name, total, done)
	}
	body := bytes.Repeat([]byte("x"), smallBody)
	if l.body > 0 {
		body = bytes.Repeat([]byte("x"), l.body)
	}
	before, start := s.cpu(b), time.Now()
	b.ResetTimer()
	for range l.publishers {
		c, err := dial(s.tcp)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		go func() { done <- c.publish("bench", each, l.per, l.window, body) }()
	}
	for range l.publishers + l.channels {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	elapsed := time.Since(start)
	b.StopTimer()
	count := float64(total)
	b.ReportMetric(count/elapsed.Seconds(), "msg/s")
	b.ReportMetric(count*float64(max(1, l.channels))/elapsed.Seconds(), "deliveries/s")
	b.ReportMetric(float64((s.cpu(b)-before).Nanoseconds())/1e3/count/float64(max(1, l.channels)), "server-µs/msg")
	b.ReportMetric(0, "ns/op")
}

// consume starts the consumers of a channel; done gets one value when total
// messages have come to them together.
func (l load) consume(b *testing.B, s *server, channel string, total int, done chan<- error) {
	counts := make(chan int, 1024)
	failed := make(chan error, l.consumers)
	for range l.consumers {
		c, err := dial(s.tcp)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		if err := c.subscribe("bench", channel); err != nil {
			b.Fatal(err)
		}
		go func() { failed <- c.consume(counts) }()
	}
	go func() {
		for got := 0; got < total; {
			select {
			case n := <-counts:
				got += n
			case err := <-failed:
				done <- err
				return
			}
		}
		done <- nil
	}()
}
