package diskqueue

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

func TestAppendedMessagesAreReadBackOverSegments(t *testing.T) {
	for name, hot := range map[string]int{"hot": 1 << 20, "half": 40, "cold": 0} {
		t.Run(name, func(t *testing.T) {
			n := newNode(vfs.NewMem())
			n.log.HotMessages = hot
			l, _ := n.open(t)
			first := l.End()
			i := 0
			for size := range 60 {
				var list []*Batch
				for k := range size%3 + 1 {
					b := new(Batch)
					for range k + 1 {
						b.Add(&message.Meta{Timestamp: testTime}, bodyOf(i, 17*size))
						i++
					}
					list = append(list, b)
				}
				done := mustAppend(t, l, list...)
				if done.End != first+uint64(i) || l.End() != done.End {
					t.Fatalf("Append returned %+v after %d messages from %d", done, i, first)
				}
			}
			if len(l.list()) < 10 {
				t.Fatalf("%d segments: they are to be of 4 KiB", len(l.list()))
			}
			check := func(l *Log) {
				r := l.NewReader()
				defer r.Release()
				k := 0
				for size := range 60 {
					for range (size%3 + 1) * (size%3 + 2) / 2 {
						wantBody(t, r, first+uint64(k), bodyOf(k, 17*size))
						k++
					}
				}
				if _, err := r.Read(first + uint64(k)); !errors.Is(err, ErrNotFound) {
					t.Errorf("behind the end: %v", err)
				}
				if _, err := r.Read(first - 1); !errors.Is(err, ErrNotFound) {
					t.Errorf("before the start: %v", err)
				}
			}
			check(l)
			wantOwned(t, l)
			mustClose(t, l)
			l, rec := n.open(t)
			if rec.TornBytes+int64(len(rec.Findings)) != 0 {
				t.Errorf("after a clean stop: %+v", rec)
			}
			check(l)
			wantOwned(t, l)
			mustClose(t, l)
		})
	}
}

func TestBigRecordsAreReadWhole(t *testing.T) {
	for _, hot := range []int{0, 1000} {
		n := newNode(vfs.NewMem())
		n.log.SegmentBytes, n.log.HotMessages = 8<<20, hot
		l, _ := n.open(t)
		sizes := []int{10, 300 << 10, 20, 256<<10 - message.HeaderSize, 256<<10 - message.HeaderSize + 1, 3 << 20, 30, 9 << 20, 40}
		first := l.End()
		for i, size := range sizes {
			mustAppend(t, l, single(bodyOf(i, size)))
		}
		r := l.NewReader()
		for _, i := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 1, 7, 0} {
			wantBody(t, r, first+uint64(i), bodyOf(i, sizes[i]))
		}
		r.Release()
		wantOwned(t, l)
		mustClose(t, l)
	}
}

func TestRandomAccessFindsEveryMessage(t *testing.T) {
	n := newNode(vfs.NewMem()).cold()
	n.log.SegmentBytes = 256 << 10
	n.shared.CacheBytes = 64 << 10
	l, _ := n.open(t)
	const count = 3000
	first := l.End()
	for i := range count {
		mustAppend(t, l, single(bodyOf(i, 200+i%700)))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	r := l.NewReader()
	for range 5000 {
		i := rng.IntN(count)
		wantBody(t, r, first+uint64(i), bodyOf(i, 200+i%700))
	}
	r.Release()
	wantOwned(t, l)
	mustClose(t, l)
}

func TestEmptyAppendAddsNothing(t *testing.T) {
	l, _ := newNode(vfs.NewMem()).open(t)
	end := l.End()
	if done := mustAppend(t, l, new(Batch)); done.First != end || done.End != end {
		t.Fatalf("got %+v, want %d", done, end)
	}
	if l.Start() != end || l.HotStart() != end || l.TrimAt() != math.MaxUint64 {
		t.Fatalf("start %d, hot start %d, trim at %d", l.Start(), l.HotStart(), l.TrimAt())
	}
	mustClose(t, l)
}

func TestDelayedMessagesAreListedByAppendAndByRange(t *testing.T) {
	n := newNode(vfs.NewMem())
	l, _ := n.open(t)
	var want []message.Mark
	for i := range 200 {
		b := single(bodyOf(i, 100))
		if i%3 == 0 {
			b.Add(&message.Meta{Timestamp: testTime, DeliverAt: int64(5000 - i)}, bodyOf(i, 50))
		}
		done := mustAppend(t, l, b)
		if i%3 == 0 {
			d := message.Mark{Seq: done.First + 1, DeliverAt: int64(5000 - i)}
			if len(done.Marks) != 1 || done.Marks[0] != d {
				t.Fatalf("Append lists %v, want %v", done.Marks, d)
			}
			want = append(want, d)
		}
	}
	check := func(l *Log) {
		t.Helper()
		for _, span := range [][2]int{{0, len(want)}, {3, 40}, {20, 20}, {len(want) - 1, len(want)}} {
			lo, hi := want[span[0]].Seq, uint64(math.MaxUint64)
			if span[1] < len(want) {
				hi = want[span[1]].Seq
			}
			got, err := l.Marks(lo, hi)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want[span[0]:span[1]]) {
				t.Fatalf("Delayed(%d, %d) = %v, %v, want %v", lo, hi, got, err, want[span[0]:span[1]])
			}
		}
	}
	check(l)
	mustSync(t, l) // full segments leave their lists to the index
	check(l)
	l.Discard() // no index of the last one
	l, _ = n.open(t)
	check(l)
	mustClose(t, l)
	l, _ = n.open(t)
	check(l)
	wantOwned(t, l)
	mustClose(t, l)
}

func TestReclaimGivesUpWholeSegmentsOnly(t *testing.T) {
	n := newNode(vfs.NewMem())
	l, _ := n.open(t)
	first := l.End()
	for i := range 200 {
		mustAppend(t, l, single(bodyOf(i, 100)))
	}
	at := l.ReclaimAt()
	l.Reclaim(at - 1)
	if l.Start() != first {
		t.Fatalf("starts at %d after a reclaim below the first segment's end", l.Start())
	}
	l.Reclaim(at)
	if l.Start() != at {
		t.Fatalf("starts at %d, want %d", l.Start(), at)
	}
	l.Reclaim(l.End())
	if l.Start() == l.End() || l.ReclaimAt() != math.MaxUint64 {
		t.Fatal("the segment being written is gone")
	}
	r := l.NewReader()
	wantBody(t, r, l.End()-1, bodyOf(199, 100))
	r.Release()
	// The files come back as new segments.
	for i := range 200 {
		mustAppend(t, l, single(bodyOf(i, 90)))
	}
	for i := range 200 {
		wantBody(t, r, l.End()-200+uint64(i), bodyOf(i, 90))
	}
	r.Release()
	wantOwned(t, l)
	mustClose(t, l)
}

// One appender, one syncer, one that reclaims and trims, and several readers.
func TestReadersSeeRightContentsWhileAllElseGoesOn(t *testing.T) {
	for name, hot := range map[string]int{"hot": 500, "cold": 0} {
		t.Run(name, func(t *testing.T) {
			n := newNode(vfs.NewMem())
			n.log.HotMessages = hot
			n.log.SegmentBytes = 16 << 10
			n.shared.CacheBytes = 64 << 10
			n.shared.HotBytes = 64 << 10
			n.shared.OpenFiles = 3
			l, _ := n.open(t)
			runEverybody(t, l)
			wantOwned(t, l)
			wantFilesOpen(t, l, 3)
			if used := l.shared.hot.used.Load(); used > 64<<10 {
				t.Errorf("the hot tail takes %d bytes", used)
			}
			mustClose(t, l)
			wantFilesOpen(t, l, 0)
			if used := l.shared.hot.used.Load(); used != 0 {
				t.Errorf("%d bytes of the hot tail's budget are lost", used)
			}
		})
	}
}

func runEverybody(t *testing.T, l *Log) {
	const count, readers = 6000, 4
	first := l.End()
	board := newBoard(readers, first)
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; i < count; {
			b := new(Batch)
			for range i%7 + 1 {
				b.Add(&message.Meta{Timestamp: testTime}, bodyOf(i, i%500))
				i++
			}
			done, err := l.Append([]*Batch{b})
			if err != nil {
				t.Errorf("Append: %v", err)
				break
			}
			board.appended(done.End)
			board.waitFor(done.End, 600) // not too far ahead
		}
		board.finish()
	})
	all.Go(func() {
		for board.next() {
			if _, err := l.Sync(); err != nil {
				t.Errorf("Sync: %v", err)
			}
		}
	})
	all.Go(func() {
		for board.next() {
			l.TrimHot(board.floor())
			l.Reclaim(board.floor())
		}
	})
	for id := range readers {
		all.Go(func() {
			r := l.NewReader()
			defer r.Release()
			defer board.read(id, math.MaxUint64)
			for seq := first; ; seq++ {
				if !board.available(seq) {
					return
				}
				i := int(seq - first)
				v, err := r.Read(seq)
				if err != nil || v.Seq != seq || string(v.Body) != string(bodyOf(i, i%500)) {
					t.Errorf("reader %d, message %d: %d %.30q, %v", id, i, v.Seq, v.Body, err)
					return
				}
				if seq%50 == uint64(id) {
					r.Release()
				}
				board.read(id, seq)
			}
		})
	}
	all.Wait()
}

// board tells the goroutines of a test how far the others are.
type board struct {
	mu    sync.Mutex
	moved sync.Cond
	end   uint64
	done  bool
	steps int
	seen  []uint64
}

func newBoard(readers int, first uint64) *board {
	b := &board{end: first, seen: slices.Repeat([]uint64{first}, readers)}
	b.moved.L = &b.mu
	return b
}

func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.steps++
	b.moved.Broadcast()
}

func (b *board) appended(end uint64) { b.change(func() { b.end = end }) }
func (b *board) finish()             { b.change(func() { b.done = true }) }

func (b *board) read(id int, seq uint64) { b.change(func() { b.seen[id] = seq }) }

func (b *board) lowest() uint64 {
	floor := b.end
	for _, s := range b.seen {
		floor = min(floor, s)
	}
	return floor
}

func (b *board) floor() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lowest()
}

// waitFor waits until every reader is within ahead of end.
func (b *board) waitFor(end, ahead uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.lowest() < end-ahead {
		b.moved.Wait()
	}
}

// available waits for seq; false says that it does not come.
func (b *board) available(seq uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for seq >= b.end && !b.done {
		b.moved.Wait()
	}
	return seq < b.end
}

// next waits for something to change; false says that all is over.
func (b *board) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for at := b.steps; at == b.steps && !b.done; {
		b.moved.Wait()
	}
	return !b.done
}

// TestLongBodiesAreStoredAsShortOnesAre: they take another way through a batch.
func TestLongBodiesAreStoredAsShortOnesAre(t *testing.T) {
	const first, salt = 1000, 7
	var b Batch
	var want []byte
	var starts []uint32
	add := func(size int, flags message.Flags, deliverAt int64) {
		body := bodyOf(len(starts), size)
		var attrs []byte
		if deliverAt > 0 {
			attrs = message.AppendDeliverAt(nil, deliverAt)
			b.Add(&message.Meta{Timestamp: testTime, DeliverAt: deliverAt}, body)
		} else {
			b.Add(&message.Meta{Timestamp: testTime}, body)
		}
		start := len(want)
		want = message.AppendRecord(want, testTime, flags, attrs, body)
		message.Seal(want[start:], first+uint64(len(starts)), salt)
		starts = append(starts, uint32(3+start))
	}
	for range 2 { // the second time with the memory of the first
		b.Reset()
		want, starts = nil, nil
		add(minLong, 0, 0)
		add(100, 0, 0)
		add(3*minLong, 0, 9)
		b.BeginMulti()
		add(2*minLong, message.FlagBatch|message.FlagBatchFirst, 0)
		add(minLong-1, message.FlagBatch, 0)
		add(minLong+1, message.FlagBatch|message.FlagBatchLast, 0)
		b.EndMulti()
		got, offs := b.seal([]byte("abc"), nil, first, salt, new(noting))
		if !bytes.Equal(got[3:], want) || !slices.Equal(offs, starts) {
			t.Fatal("the records are not what they are one by one")
		}
		if b.Bytes() != len(want) {
			t.Errorf("a batch of %d bytes claims %d", len(want), b.Bytes())
		}
	}
}

func TestTruncatedBatchHoldsItsFirstMessages(t *testing.T) {
	fill := func(messages int) *Batch {
		b := new(Batch)
		b.Reset()
		add := []func(){
			func() { b.Add(&message.Meta{Timestamp: 1}, []byte("plain")) },
			func() { b.Add(&message.Meta{Timestamp: 2, DeliverAt: 9}, []byte("deferred")) },
			func() { b.BeginMulti(); b.Add(&message.Meta{Timestamp: 3}, []byte("first")) },
			func() { b.Add(&message.Meta{Timestamp: 3}, bodyOf(1, minLong)) },
			func() { b.Add(&message.Meta{Timestamp: 3}, []byte("last")) },
		}
		for _, f := range add[:messages] {
			f()
		}
		if messages > 2 {
			b.EndMulti()
		}
		return b
	}
	for n := range 7 {
		got, want := fill(5), fill(min(n, 5))
		got.Truncate(n)
		if !bytes.Equal(got.buf, want.buf) || !slices.Equal(got.offsets, want.offsets) ||
			!slices.Equal(got.marks, want.marks) || got.bodyBytes != want.bodyBytes ||
			len(got.long) != len(want.long) || got.Bytes() != want.Bytes() {
			t.Errorf("cut to %d messages: %+v, want %+v", n, got, want)
		}
	}
}

// Who is told that the numbers of a segment that left before it was synced survive would miss
// them after a loss of power, if they were not given up by then.
func TestWhatLeavesBeforeItIsSyncedDoesNotSurviveUntilItIsGivenUp(t *testing.T) {
	n := newNode(newCrash(1))
	l, _ := n.open(t)
	first := mustAppend(t, l, single(bodyOf(0, 10)))
	mustSync(t, l)
	l.roll(l.active)
	second := mustAppend(t, l, single(bodyOf(1, 10)))
	l.roll(l.active)
	third := mustAppend(t, l, single(bodyOf(2, 10)))
	l.roll(l.active)
	gone := l.Detach([]seqset.Range{{From: second.First, To: second.End}})
	if len(gone) != 1 {
		t.Fatalf("%d segments left", len(gone))
	}
	wantSyncedTo(t, l, first.End)
	all := l.DetachBelow(l.End())
	wantSyncedTo(t, l, first.End)
	l.RemoveFiles(gone)
	wantSyncedTo(t, l, third.End)
	l.RemoveFiles(all)
	mustClose(t, l)
}

func wantSyncedTo(t *testing.T, l *Log, want uint64) {
	t.Helper()
	if end, err := l.Sync(); err != nil || end != want {
		t.Errorf("synced up to %d, %v; want %d", end, err, want)
	}
}

// Numbers that were skipped are no records: who took them for such would miss
// them at the next start, if the segment behind them is lost.
func TestWhatIsSyncedEndsWithARecord(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	mustAppend(t, l, single(bodyOf(0, 10), bodyOf(1, 10)))
	mustSync(t, l)
	second := mustAppend(t, l, single(bodyOf(2, 10)))
	mustClose(t, l)
	l, _ = n.open(t)
	third := mustAppend(t, l, single(bodyOf(3, 10)))
	if third.First == second.End {
		t.Error("no numbers were skipped")
	}
	fs.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && name == segmentPath(testDir, third.First) {
			return syscall.EIO
		}
		return nil
	})
	if end, err := l.Sync(); err == nil || end != second.End {
		t.Errorf("synced up to %d, %v; the last record that is ends at %d", end, err, second.End)
	}
	l.Discard()
}
