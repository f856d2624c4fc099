package broker

import (
	"fmt"
	"runtime"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
)

func osBroker(b *testing.B, dir string) *Broker {
	b.Helper()
	o := testOptions(vfs.OS)
	o.DataPath, o.SegmentBytes, o.MemQueueSize = dir, 100<<20, 10000
	br, err := Open(o)
	must(b, err)
	return br
}

// BenchmarkOpen1000Topics opens a node that was closed properly, with 1,000
// messages in each topic.
func BenchmarkOpen1000Topics(b *testing.B) {
	dir := b.TempDir()
	br := osBroker(b, dir)
	var batch diskqueue.Batch
	for i := range 1000 {
		c := getChannel(b, br, fmt.Sprintf("topic%d", i), "c")
		batch.Reset()
		for range 1000 {
			batch.Add(&message.Meta{Timestamp: 1}, make([]byte, 100))
		}
		must(b, getTopic(b, br, fmt.Sprintf("topic%d", i)).Publish(&batch))
		if d := c.Stats().Depth; d != 1000 {
			b.Fatal(d)
		}
	}
	must(b, br.Close())
	for b.Loop() {
		br = osBroker(b, dir)
		b.StopTimer()
		if d := getChannel(b, br, "topic7", "c").Stats().Depth; d != 1000 {
			b.Fatal(d)
		}
		must(b, br.Close())
		b.StartTimer()
	}
}

// BenchmarkIdleTopic reports the memory of an idle topic with a channel, new
// and after a message has gone through.
func BenchmarkIdleTopic(b *testing.B) {
	for _, used := range []bool{false, true} {
		b.Run(fmt.Sprintf("used=%v", used), func(b *testing.B) {
			const topics = 10000
			for b.Loop() {
				br := osBroker(b, b.TempDir())
				before := memory()
				for i := range topics {
					name := fmt.Sprintf("topic%d", i)
					c := getChannel(b, br, name, "c")
					if used {
						must(b, publish(getTopic(b, br, name), "hello"))
						k := subscribe(b, c, 1)
						k.finish(b, k.take()...)
						k.Close()
					}
				}
				b.ReportMetric(float64(memory()-before)/topics, "B/topic")
				must(b, br.Close())
			}
		})
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
