package diskqueue

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"qmq/internal/vfs"
	"qmq/message"
)

const benchBody = 200

// benchLog opens a log on the real file system.
func benchLog(b *testing.B, hot int) *Log {
	dir := b.TempDir()
	n := newNode(vfs.NewMem())
	n.shared.FS, n.shared.RecycleDir = vfs.OS, filepath.Join(dir, "recycled")
	n.log.Dir, n.log.SegmentBytes, n.log.HotMessages = filepath.Join(dir, "log"), 64<<20, hot
	l, _ := n.open(b)
	b.Cleanup(l.Discard)
	return l
}

func benchBatch(size int) []*Batch {
	batch := new(Batch)
	for i := range size {
		batch.Add(message.Meta{Timestamp: testTime}, bodyOf(i, benchBody))
	}
	return []*Batch{batch}
}

// perMessage reports the time per message, not per call.
func perMessage(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/msg")
}

// Everybody keeps up: memory and full segments are given up as they come.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 64, 200, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, batches := benchLog(b, 10_000), benchBatch(size)
			b.ReportAllocs()
			for b.Loop() {
				done, err := l.Append(batches)
				if err != nil {
					b.Fatal(err)
				}
				if done.First >= l.ReclaimAt() {
					l.Reclaim(done.First)
				}
			}
			perMessage(b, size)
		})
	}
}

// What Append costs beside the system call.
func BenchmarkAppendToMemory(b *testing.B) {
	n := newNode(vfs.NewMem())
	n.shared.FS = discardFS{n.shared.FS}
	n.log.SegmentBytes, n.log.HotMessages = 64<<20, 10_000
	l, _ := n.open(b)
	batches := benchBatch(200)
	b.ReportAllocs()
	for b.Loop() {
		done, err := l.Append(batches)
		if err != nil {
			b.Fatal(err)
		}
		if done.First >= l.ReclaimAt() {
			l.Reclaim(done.First)
		}
	}
	perMessage(b, 200)
}

// discardFS stores nothing of what is written.
type discardFS struct{ vfs.FS }

type discardFile struct{ vfs.File }

func (d discardFS) Create(name string) (vfs.File, error) {
	f, err := d.FS.Create(name)
	return discardFile{f}, err
}

func (d discardFS) Open(name string) (vfs.File, error) {
	f, err := d.FS.Open(name)
	return discardFile{f}, err
}

func (discardFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func BenchmarkBatchAdd(b *testing.B) {
	var batch Batch
	body := bodyOf(1, benchBody)
	b.ReportAllocs()
	for b.Loop() {
		if batch.Len() == 200 {
			batch.Reset()
		}
		batch.Add(message.Meta{Timestamp: testTime}, body)
	}
}

const benchCount = 200_000

func filled(b *testing.B, hot int) (l *Log, first uint64) {
	l = benchLog(b, hot)
	first = l.End()
	for batches := benchBatch(200); l.End() < first+benchCount; {
		mustAppend(b, l, batches...)
	}
	return l, first
}

func BenchmarkRead(b *testing.B) {
	for name, c := range map[string]struct {
		hot  int
		next func(i int) uint64
	}{
		"cold upwards": {0, func(i int) uint64 { return uint64(i % benchCount) }},
		"hot upwards":  {1 << 20, func(i int) uint64 { return uint64(i % benchCount) }},
		"cold random":  {0, func(int) uint64 { return rand.Uint64N(benchCount) }},
	} {
		b.Run(name, func(b *testing.B) {
			l, first := filled(b, c.hot)
			r := l.NewReader()
			defer r.Release()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				seq := first + c.next(i)
				if v, err := r.Read(seq); err != nil || v.Seq != seq {
					b.Fatal(v.Seq, err)
				}
			}
		})
	}
}

// As a channel does it: one Release for each Take of 256.
func BenchmarkReadColdInTakes(b *testing.B) {
	l, first := filled(b, 0)
	r := l.NewReader()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%256 == 0 {
			r.Release()
		}
		if _, err := r.Read(first + uint64(i%benchCount)); err != nil {
			b.Fatal(err)
		}
	}
	r.Release()
}

func BenchmarkScan(b *testing.B) {
	l, _ := filled(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.scan(l.segments[0], l.End()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchCount, "ns/msg")
}
