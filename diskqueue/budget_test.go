package diskqueue

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

func TestFewFilesAreOpenHoweverManySegmentsThereAre(t *testing.T) {
	n := newNode(vfs.NewMem()).cold()
	n.shared.OpenFiles, n.shared.CacheBytes = 4, 1
	l, _ := n.open(t)
	first := l.End()
	for i := 0; len(l.list()) < 20; i++ {
		mustAppend(t, l, single(bodyOf(i, 400)))
	}
	count := int(l.End() - first)
	var all sync.WaitGroup
	for id := range 3 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 0))
			r := l.NewReader()
			defer r.Release()
			for range 500 {
				i := rng.IntN(count)
				if v, err := r.Read(first + uint64(i)); err != nil || string(v.Body) != string(bodyOf(i, 400)) {
					t.Errorf("message %d: %.20q, %v", i, v.Body, err)
				}
			}
		})
	}
	all.Go(func() { mustSync(t, l) })
	all.Wait()
	wantFilesOpen(t, l, 4)
	l.Reclaim(l.ReclaimAt())
	wantFilesOpen(t, l, 4)
	wantOwned(t, l)
	mustClose(t, l)
	wantFilesOpen(t, l, 0)
}

func TestNoFileDescriptorIsLeftAfterClose(t *testing.T) {
	before := openDescriptors(t)
	n := newNode(vfs.OS)
	n.log.Dir = filepath.Join(t.TempDir(), "log")
	n.shared.RecycleDir = filepath.Join(t.TempDir(), "recycled")
	for range 3 {
		l, _ := n.open(t)
		for i := range 200 {
			mustAppend(t, l, single(bodyOf(i, 100)))
		}
		mustSync(t, l)
		l.Reclaim(l.End() - 20)
		contents(t, l)
		mustClose(t, l)
	}
	if after := openDescriptors(t); after > before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func openDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not here
	}
	return len(entries)
}

func TestHotTailKeepsToItsBudgetAndItsMessages(t *testing.T) {
	n := newNode(vfs.NewMem())
	n.shared.HotBytes, n.log.HotMessages = 200<<10, 100
	n.log.SegmentBytes = 1 << 20
	shared := NewShared(n.shared)
	var logs []*Log
	for _, dir := range []string{"/a", "/b", "/c"} {
		n.log.Dir = dir
		l, _, err := Open(shared, n.log)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	for i := range 2000 {
		l := logs[i%3]
		mustAppend(t, l, single(bodyOf(i, i%3000)))
		if used := shared.hot.used.Load(); used > 200<<10 {
			t.Fatalf("%d bytes are taken", used)
		}
		if chunks := l.hot.chunks; len(chunks) > 1 && l.hot.messages-len(chunks[0].offs) >= 100 {
			t.Fatalf("%d messages are kept, %d of them in the oldest chunk", l.hot.messages, len(chunks[0].offs))
		}
	}
	for _, l := range logs {
		wantOwned(t, l)
		l.TrimHot(l.End())
		if l.HotStart() != l.End() {
			t.Errorf("from %d is kept, nothing is needed", l.HotStart())
		}
	}
	if used := shared.hot.used.Load(); used != 0 {
		t.Errorf("%d bytes are taken by nothing", used)
	}
}

// The chunk that an Append is writing into stays until it is done.
func TestTrimDuringAnAppendKeepsTheAccounts(t *testing.T) {
	fs := newCrash(1)
	l, _ := newNode(fs).open(t)
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite {
			l.TrimHot(l.End())
		}
		return nil
	})
	for i := range 50 {
		done := mustAppend(t, l, single(bodyOf(i, 200)))
		wantAccounts(t, l)
		if l.HotStart() > done.First {
			t.Fatalf("message %d is not in memory", done.First)
		}
		r := l.NewReader()
		wantBody(t, r, done.First, bodyOf(i, 200))
		r.Release()
	}
	wantOwned(t, l)
	l.TrimHot(l.End())
	wantAccounts(t, l)
}

func wantAccounts(t *testing.T, l *Log) {
	t.Helper()
	l.hot.mu.Lock()
	defer l.hot.mu.Unlock()
	messages, bytes := 0, 0
	for _, c := range l.hot.chunks {
		messages, bytes = messages+len(c.offs), bytes+cap(c.buf)
	}
	if used := l.shared.hot.used.Load(); messages != l.hot.messages || int64(bytes) != used {
		t.Fatalf("%d messages in %d bytes are counted as %d in %d", messages, bytes, l.hot.messages, used)
	}
}

// What a reader looks at stays as it is, whoever gives it up meanwhile.
func TestViewStaysValidUntilReleased(t *testing.T) {
	for _, hot := range []int{0, 100} {
		n := newNode(vfs.NewMem())
		n.log.HotMessages, n.shared.CacheBytes = hot, 20<<10
		l, _ := n.open(t)
		first := l.End()
		for i := range 20 {
			mustAppend(t, l, single(bodyOf(i, 300)))
		}
		r := l.NewReader()
		v, err := r.Read(first)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			mustAppend(t, l, single(bodyOf(1000+i, 300)))
		}
		l.TrimHot(l.End())
		contents(t, l)
		l.Reclaim(l.End() - 1)
		for i := range 300 {
			mustAppend(t, l, single(bodyOf(2000+i, 300)))
		}
		if string(v.Body) != string(bodyOf(0, 300)) {
			t.Errorf("hot %d: the body has become %.30q", hot, v.Body)
		}
		held := r.view.c
		if n := held.refs.Load(); n < 1 {
			t.Errorf("hot %d: %d references on what is read", hot, n)
		}
		r.Release()
		if n := held.refs.Load(); n > 1 {
			t.Errorf("hot %d: %d references are left", hot, n)
		}
		wantOwned(t, l)
		mustClose(t, l)
	}
}

func TestReadCachedReadsNoFile(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	l, _ := n.open(t)
	done := mustAppend(t, l, single(bodyOf(0, 100), bodyOf(1, 100)))
	reads := 0
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == "read" {
			reads++
		}
		return nil
	})
	r, other := l.NewReader(), l.NewReader()
	defer r.Release()
	defer other.Release()
	if _, ok := r.ReadCached(done.First); ok || reads > 0 {
		t.Errorf("found before it was read, %d reads", reads)
	}
	wantBody(t, r, done.First, bodyOf(0, 100))
	for i, r := range []*Reader{r, other} {
		m, ok := r.ReadCached(done.First + 1)
		if !ok || string(m.Body) != string(bodyOf(1, 100)) {
			t.Errorf("reader %d does not find the neighbour of what was read", i)
		}
	}
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
}

func TestReadersThatMissTogetherReadOnce(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	n.log.SegmentBytes = 1 << 20
	l, _ := n.open(t)
	done := mustAppend(t, l, single(bodyOf(0, 100), bodyOf(1, 100)))
	reading, others := make(chan struct{}), make(chan struct{})
	reads := 0
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == "read" {
			if reads++; reads == 1 {
				close(reading)
				<-others
			}
		}
		return nil
	})
	var all sync.WaitGroup
	read := func(seq uint64, i int) {
		r := l.NewReader()
		defer r.Release()
		wantBody(t, r, seq, bodyOf(i, 100))
	}
	all.Go(func() { read(done.First, 0) })
	<-reading
	for range 3 {
		all.Go(func() { read(done.First+1, 1) })
	}
	close(others)
	all.Wait()
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
	wantOwned(t, l)
}

// A reader that waits for another's read of the same place is not told of the
// damage that the other ran into.
func TestDamageFoundByAnotherReaderIsNotReportedForAGoodMessage(t *testing.T) {
	synctest.Test(t, testDamageFoundByAnotherReader)
}

func testDamageFoundByAnotherReader(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	first, path := writeDamageLog(t, n, true, true)
	if err := fs.FlipBit(path, int64(recordAt(3)+inBody)); err != nil {
		t.Fatal(err)
	}
	l, _ := n.open(t)
	reading, others := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpRead {
			once.Do(func() {
				close(reading)
				<-others
			})
		}
		return nil
	})
	var all sync.WaitGroup
	all.Go(func() {
		var damaged *DamageError
		if _, err := l.NewReader().Read(first + 3); !errors.As(err, &damaged) || damaged.From != first+3 || damaged.To != first+4 {
			t.Errorf("message 3: %v", err)
		}
	})
	<-reading
	for range 3 {
		all.Go(func() {
			r := l.NewReader()
			defer r.Release()
			wantBody(t, r, first+5, bodyOf(5, damageBody))
		})
	}
	synctest.Wait() // until all of them are at it
	close(others)
	all.Wait()
	wantOwned(t, l)
}

func TestBatchCountsWhatIsInIt(t *testing.T) {
	var b Batch
	b.Add(&message.Meta{Timestamp: testTime}, []byte("abc"))
	b.BeginMulti()
	b.EndMulti() // empty
	b.BeginMulti()
	b.Add(&message.Meta{Timestamp: testTime}, []byte("de"))
	b.EndMulti()
	b.Add(&message.Meta{Timestamp: testTime, DeliverAt: 5}, []byte("f"))
	if b.Len() != 3 || b.BodyBytes() != 6 || b.Bytes() != 3*message.HeaderSize+6+12 {
		t.Errorf("%d messages, %d bytes, %d of bodies", b.Len(), b.Bytes(), b.BodyBytes())
	}
	b.Reset()
	if b.Len() != 0 || b.BodyBytes() != 0 || b.Bytes() != 0 {
		t.Errorf("after Reset: %+v", b)
	}
}
