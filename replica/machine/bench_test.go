package machine

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/state"
)

// onDisk is a machine in a directory of its own.
func onDisk(b *testing.B) *Machine {
	quiet := slog.New(slog.DiscardHandler)
	dir := b.TempDir()
	m, err := Open(Options{
		Dir: dir, SegmentBytes: 64 << 20, Logger: quiet, Now: func() int64 { return time.Now().UnixNano() },
		Shared: diskqueue.NewShared(diskqueue.SharedOptions{FS: vfs.OS, RecycleDir: dir + "/recycled", Logger: quiet}),
	})
	must(b, err)
	b.Cleanup(func() { m.Close() })
	return m
}

func applyNext(b *testing.B, m *Machine, data []byte) {
	index, _ := m.Applied()
	if _, err := m.Apply(index+1, 1, data); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApplyMPUB applies entries of one MPUB of 200 messages of 200 bytes.
func BenchmarkApplyMPUB(b *testing.B) {
	m := onDisk(b)
	applyNext(b, m, topology(createTopic("t"), createChannel(1, "c")).AppendTo(nil))
	batch := new(diskqueue.Batch)
	batch.BeginMulti()
	for range 200 {
		batch.Add(&message.Meta{Timestamp: 1}, make([]byte, 200))
	}
	batch.EndMulti()
	var data []byte
	b.ReportAllocs()
	b.SetBytes(int64(batch.Bytes()))
	n := uint64(0)
	for b.Loop() {
		n++
		data = (&entry.Entry{Parts: []entry.Part{{Topic: 1, Origin: entry.Origin{Member: 1, Epoch: 1, Number: n}, Batch: batch}}}).AppendTo(data[:0])
		applyNext(b, m, data)
		if n%1000 == 0 { // what is behind goes, as where consumers keep up
			next := n*200 + 1
			e := changes(state.ChannelChanges{Topic: 1, Channel: 2, Version: n, Floor: next, Cursor: next})
			applyNext(b, m, e.AppendTo(nil))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/200, "ns/msg")
}

// BenchmarkPassiveDeferred is the memory that a million messages that were
// deferred again take on a follower, and how long applying waits for a checkpoint
// of them.
func BenchmarkPassiveDeferred(b *testing.B) {
	const count = 1_000_000
	for b.Loop() {
		b.StopTimer()
		m := onDisk(b)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		deferAgain(b, m, count)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.StartTimer()
		start, done := time.Now(), make(chan error, 1)
		go func() {
			_, err := m.Checkpoint()
			done <- err
		}()
		applyMeanwhile(b, m, done)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "checkpoint-ms")
	}
}

// deferAgain publishes messages, and has a channel tell that all were given out
// once and are deferred.
func deferAgain(b *testing.B, m *Machine, count uint64) {
	applyNext(b, m, topology(createTopic("t"), createChannel(1, "c")).AppendTo(nil))
	batch := new(diskqueue.Batch)
	for range 1000 {
		batch.Add(&message.Meta{Timestamp: 1}, []byte("body"))
	}
	for n := range count / 1000 {
		e := &entry.Entry{Parts: []entry.Part{{Topic: 1, Origin: entry.Origin{Member: 1, Epoch: 1, Number: n + 1}, Batch: batch}}}
		applyNext(b, m, e.AppendTo(nil))
		ch := state.ChannelChanges{Topic: 1, Channel: 2, Version: n + 1, Floor: 1, Cursor: n*1000 + 1001}
		for i := range uint64(1000) {
			ch.Open = append(ch.Open, state.OpenMessage{Seq: n*1000 + i + 1, Attempts: 2, Due: 1_800_000_000_000 + int64(i)})
		}
		applyNext(b, m, changes(ch).AppendTo(nil))
	}
}

// applyMeanwhile applies small changes until done says so, and reports the longest
// that one took.
func applyMeanwhile(b *testing.B, m *Machine, done chan error) {
	var took []time.Duration
	for version := uint64(1 << 20); ; version++ {
		ch := state.ChannelChanges{Topic: 1, Channel: 2, Version: version, Floor: 1, Cursor: 1_000_001, Open: []state.OpenMessage{{Seq: version % 1_000_000, Attempts: 3, Due: 5}}}
		data := changes(ch).AppendTo(nil)
		start := time.Now()
		applyNext(b, m, data)
		took = append(took, time.Since(start))
		select {
		case err := <-done:
			must(b, err)
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "longest-apply-µs")
			b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), "p999-apply-µs")
			return
		default:
		}
	}
}

// BenchmarkFreeze is how long applying waits for the beginning of a checkpoint of
// very many topics.
func BenchmarkFreeze(b *testing.B) {
	m := onDisk(b)
	for i := range 10_000 {
		applyNext(b, m, topology(createTopic(fmt.Sprint("t", i)), createChannel(uint64(2*i+1), "c")).AppendTo(nil))
	}
	for b.Loop() {
		m.mu.Lock()
		m.s.freeze()
		m.mu.Unlock()
	}
}

// BenchmarkSnapshot is how fast records go from one machine into another.
func BenchmarkSnapshot(b *testing.B) {
	from := onDisk(b)
	applyNext(b, from, topology(createTopic("t"), createChannel(1, "c")).AppendTo(nil))
	batch, size := new(diskqueue.Batch), int64(0)
	for range 1000 {
		batch.Add(&message.Meta{Timestamp: 1}, make([]byte, 200))
	}
	for n := range uint64(1000) {
		applyNext(b, from, (&entry.Entry{Parts: []entry.Part{{Topic: 1, Origin: entry.Origin{Member: 1, Epoch: 1, Number: n + 1}, Batch: batch}}}).AppendTo(nil))
		size += int64(batch.Bytes())
	}
	b.SetBytes(size)
	for b.Loop() {
		must(b, install(onDisk(b), framesFor(b, from, nil)))
	}
}

// BenchmarkMillionIDs is what a checkpoint and a snapshot cost of a topic of which a million
// ids are known, beside what they cost anyway.
func BenchmarkMillionIDs(b *testing.B) {
	const ids, perEntry = 1_000_000, 1000
	m := onDisk(b)
	applyNext(b, m, topology(createTopic("t")).AppendTo(nil))
	bounds := message.DedupBounds{Window: time.Hour, Most: 2 * ids}
	bodies := make([]string, perEntry)
	for n := range ids / perEntry {
		for i := range bodies {
			bodies[i] = fmt.Sprint(n*perEntry + i)
		}
		e := publishOnce(7, uint64(n+1), identified(1, bounds, bodies...))
		e.Time = int64(n + 1)
		applyNext(b, m, e.AppendTo(nil))
	}
	b.Run("checkpoint", func(b *testing.B) {
		for b.Loop() {
			applyNext(b, m, nil) // or there is nothing new
			_, err := m.Checkpoint()
			must(b, err)
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		bytes := 0
		for b.Loop() {
			other := onDisk(b)
			frames := framesFor(b, m, []End{{Topic: 1, Next: m.Ends()[0].Next}})
			for _, f := range frames {
				bytes += len(f)
			}
			if err := install(other, frames); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(bytes)/float64(b.N), "B/snapshot")
	})
}
