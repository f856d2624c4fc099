package topic

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
)

// share runs n goroutines that call publish b.N times together.
func share(b *testing.B, n, perCall int, publish func(*diskqueue.Batch) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var publishers sync.WaitGroup
	for i := range n {
		calls := b.N / n
		if i < b.N%n {
			calls++
		}
		publishers.Go(func() {
			batch := batchOf(perCall, 200)
			for range calls {
				if err := publish(batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	publishers.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*perCall)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkGroupCommit is publishers that each wait for their OK, one message
// of 200 bytes at a time, on the real file system.
func BenchmarkGroupCommit(b *testing.B) {
	for _, every := range []int64{2500, 1} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("sync-every=%d/publishers=%d", every, n), func(b *testing.B) {
				t := newBench(b, vfs.OS, b.TempDir(), syncEvery(every))
				share(b, n, 1, t.Publish)
				t.close(b)
			})
		}
	}
}

// BenchmarkPauseBeforeAWrite is what it is worth that a publisher that is about to
// write lets those run first that are about to publish too, where many wait for
// each OK: with the pause, and without.
func BenchmarkPauseBeforeAWrite(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		for name, solo := range map[string]int{"with": 0, "without": math.MaxInt} {
			b.Run(fmt.Sprintf("%s/publishers=%d", name, n), func(b *testing.B) {
				t := newBench(b, vfs.OS, b.TempDir(), syncEvery(1<<40))
				t.pipeline.solo = solo // writes that are not waited before
				share(b, n, 1, t.Publish)
				t.close(b)
			})
		}
	}
}

// flusher is the other shape that publishing could have: one goroutine writes
// for all, and every publisher waits for it.
type flusher struct {
	log  *diskqueue.Log
	wake chan struct{}

	mu      sync.Mutex
	pending []flushRequest
}

type flushRequest struct {
	batch *diskqueue.Batch
	done  chan error
}

func (f *flusher) publish(batch *diskqueue.Batch, done chan error) error {
	f.mu.Lock()
	f.pending = append(f.pending, flushRequest{batch, done})
	first := len(f.pending) == 1
	f.mu.Unlock()
	if first {
		f.wake <- struct{}{}
	}
	return <-done
}

func (f *flusher) run() {
	var group []flushRequest
	var batches []*diskqueue.Batch
	for range f.wake {
		f.mu.Lock()
		group, f.pending = f.pending, group[:0]
		f.mu.Unlock()
		batches = batches[:0]
		for _, r := range group {
			batches = append(batches, r.batch)
		}
		_, err := f.log.Append(batches)
		for _, r := range group {
			r.done <- err
		}
	}
}

// BenchmarkWhoWrites compares the publishers that write themselves with a
// goroutine that writes for them: for one that waits for each OK, and for two
// and sixteen that publish a read buffer of 64 messages at a time.
func BenchmarkWhoWrites(b *testing.B) {
	for _, load := range []struct{ publishers, perCall int }{{1, 1}, {2, 64}, {16, 64}} {
		name := fmt.Sprintf("publishers=%d/messages=%d", load.publishers, load.perCall)
		b.Run("publisher/"+name, func(b *testing.B) {
			t := newBench(b, vfs.OS, b.TempDir(), syncEvery(1<<40))
			share(b, load.publishers, load.perCall, t.Publish)
			t.close(b)
		})
		b.Run("flusher/"+name, func(b *testing.B) {
			t := newBench(b, vfs.OS, b.TempDir(), syncEvery(1<<40))
			f := &flusher{log: t.o.Log, wake: make(chan struct{}, 1)}
			go f.run()
			done := sync.Pool{New: func() any { return make(chan error, 1) }}
			share(b, load.publishers, load.perCall, func(batch *diskqueue.Batch) error {
				c := done.Get().(chan error)
				defer done.Put(c)
				return f.publish(batch, c)
			})
			close(f.wake)
			t.close(b)
		})
	}
}

// BenchmarkPublishOnce is what it costs to know doubles: a publisher of messages of 200 bytes
// with an id each, none of which comes again, at a topic that knows them and at one that does
// not.
func BenchmarkPublishOnce(b *testing.B) {
	for _, perCall := range []int{1, 200} {
		for name, config := range map[string]string{"off": `{}`, "on": `{"dedup_window": "1h"}`} {
			b.Run(fmt.Sprintf("%s/messages=%d", name, perCall), func(b *testing.B) {
				t := newBench(b, vfs.OS, b.TempDir(), syncEvery(1<<40))
				t.configure(b, config)
				body := make([]byte, 200)
				batch, n := new(diskqueue.Batch), uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					batch.Reset()
					stamp := t.Stamp()
					for range perCall {
						n++
						id := message.MakeDedupID(binary.LittleEndian.AppendUint64(nil, n))
						m := message.Meta{Timestamp: 1, DedupID: &id}
						stamp.Apply(&m, body)
						batch.Add(&m, body)
					}
					must(b, t.Publish(batch))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
				t.close(b)
			})
		}
	}
}
