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
		batch.Add(&message.Meta{Timestamp: testTime}, bodyOf(i, benchBody))
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
		batch.Add(&message.Meta{Timestamp: testTime}, body)
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
		if _, err := l.scan(l.list()[0], l.End()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchCount, "ns/msg")
}

// manySegments is a log of so many full segments of 1,000 messages, of which no
// file is ever looked at, in front of one that is appended to.
func manySegments(b *testing.B, count int) (l *Log, first, end uint64) {
	n := newNode(vfs.NewMem())
	l, _ = n.open(b)
	mustAppend(b, l, benchBatch(1000)...)
	end = l.list()[0].base
	first = end - uint64(count)*1000
	var list segmentList
	for i := range count {
		s := &segment{rolled: true, indexed: true, path: "none", layout: layout{base: first + uint64(i)*1000, start: segmentHead}}
		s.end, s.size = s.base+1000, segmentHead+228*1000
		s.syncedEnd, s.syncedSize = s.end, s.size
		for k := range 14 {
			s.index = append(s.index, indexEntry{uint32(72 * k), uint32(segmentHead + k*indexStride)})
		}
		s.fix()
		list = append(list, s)
	}
	l.mu.Lock()
	l.setList(append(list, l.list()...))
	l.mu.Unlock()
	return l, first, end
}

// BenchmarkFindSegment is what it costs several readers to find where a message is,
// while one goroutine appends.
func BenchmarkFindSegment(b *testing.B) {
	for _, count := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			l, first, end := manySegments(b, count)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for batch := benchBatch(1); ; {
					select {
					case <-stop:
						return
					default:
						mustAppend(b, l, batch...)
					}
				}
			}()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := l.find(first + rand.Uint64N(end-first)); err != nil {
						b.Error(err)
					}
				}
			})
			close(stop)
			<-done
		})
	}
}

// BenchmarkSyncOfOneMessage is what a sync costs in memory, however much waits.
func BenchmarkSyncOfOneMessage(b *testing.B) {
	for _, count := range []int{1, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			l, _, _ := manySegments(b, count)
			batch := benchBatch(1)
			b.ReportAllocs()
			for b.Loop() {
				mustAppend(b, l, batch...)
				if _, err := l.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
