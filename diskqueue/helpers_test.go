package diskqueue

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
)

const testDir = "/topics/t-1"

// testClock is a wall clock that goes on by a second at each look, so that
// each start of a log finds numbers of its own.
type testClock struct{ now atomic.Int64 }

func (c *testClock) wall() int64 { return c.now.Add(int64(time.Second)) }

// testing.T and rapid.T both are this.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// node is how the logs of a test are opened.
type node struct {
	fs     vfs.FS
	shared SharedOptions
	log    Options
}

func newNode(fs vfs.FS) *node {
	fs.MkdirAll(filepath.Dir(testDir))
	fs.SyncDir("/")
	clock := new(testClock)
	clock.now.Store(1 << 50)
	quiet := slog.New(slog.DiscardHandler)
	n := &node{
		fs:     fs,
		shared: SharedOptions{FS: fs, RecycleDir: "/recycled", Logger: quiet},
		log:    Options{Dir: testDir, Incarnation: 1, SegmentBytes: 4 << 10, HotMessages: 1000, Now: clock.wall, Logger: quiet},
	}
	// A rule as that of local topics: no start gives a number that one before may
	// have given.
	n.log.Next = func(seen uint64) uint64 { return max(seen, uint64(n.log.Now())>>8) }
	return n
}

func (n *node) open(t tester) (*Log, Recovery) {
	t.Helper()
	shared := NewShared(n.shared)
	l, rec, err := Open(shared, n.log)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l, rec
}

// cold keeps nothing in the hot tail.
func (n *node) cold() *node {
	n.log.HotMessages = 0
	return n
}

const testTime = 1_700_000_000_000_000_000

// bodyOf is what the tests store as message i: about n bytes that tell it apart.
func bodyOf(i, n int) []byte {
	b := fmt.Appendf(nil, "message %d ", i)
	n = max(n, len(b))
	for len(b) < n {
		b = append(b, byte(i), byte(len(b)), byte(len(b)>>8))
	}
	return b[:n]
}

func single(bodies ...[]byte) *Batch {
	b := new(Batch)
	for _, body := range bodies {
		b.Add(&message.Meta{Timestamp: testTime}, body)
	}
	return b
}

func multi(bodies ...[]byte) *Batch {
	b := new(Batch)
	b.BeginMulti()
	for _, body := range bodies {
		b.Add(&message.Meta{Timestamp: testTime}, body)
	}
	b.EndMulti()
	return b
}

func mustAppend(t tester, l *Log, batches ...*Batch) Appended {
	t.Helper()
	done, err := l.Append(batches)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return done
}

func mustSync(t tester, l *Log) {
	t.Helper()
	if end, err := l.Sync(); err != nil || end < l.End() {
		t.Fatalf("Sync = %d, %v; the log ends at %d", end, err, l.End())
	}
}

func mustClose(t tester, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// contents reads the log from start to end; damaged and missing numbers are
// left out.
func contents(t tester, l *Log) map[uint64]string {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	found := make(map[uint64]string)
	for seq := l.Start(); seq < l.End(); {
		v, err := r.Read(seq)
		var damaged *DamageError
		switch {
		case err == nil && v.Seq == seq:
			found[seq] = string(v.Body)
			seq++
		case err == nil:
			t.Fatalf("Read(%d) returned message %d", seq, v.Seq)
		case errors.As(err, &damaged):
			if seq < damaged.From || seq >= damaged.To {
				t.Fatalf("Read(%d) reports damage of %d to %d", seq, damaged.From, damaged.To)
			}
			seq = damaged.To
		case errors.Is(err, ErrNotFound):
			seq = nextSegment(l, seq)
		default:
			t.Fatalf("Read(%d): %v", seq, err)
		}
	}
	return found
}

// nextSegment skips the numbers that no segment holds.
func nextSegment(l *Log, seq uint64) uint64 {
	for _, g := range l.Gaps(seq, l.End()) {
		if g.From <= seq && seq < g.To {
			return g.To
		}
	}
	return l.End()
}

func wantBody(t tester, r *Reader, seq uint64, body []byte) {
	t.Helper()
	v, err := r.Read(seq)
	if err != nil {
		t.Fatalf("Read(%d): %v", seq, err)
	}
	if v.Seq != seq || v.Timestamp != testTime || !bytes.Equal(v.Body, body) {
		t.Fatalf("Read(%d) = message %d of %d bytes %.40q, want %d bytes %.40q", seq, v.Seq, len(v.Body), v.Body, len(body), body)
	}
}

// bodies lists what was found in the order of its numbers.
func bodies(found map[uint64]string, from, to uint64) (list []string) {
	for seq := from; seq < to; seq++ {
		if b, ok := found[seq]; ok {
			list = append(list, b)
		}
	}
	return list
}

// wantOwned checks that nobody but the hot tail and the cache holds chunks.
func wantOwned(t tester, l *Log) {
	t.Helper()
	l.hot.mu.Lock()
	for _, c := range l.hot.chunks {
		if n := c.refs.Load(); n != 1 {
			t.Errorf("hot chunk at %d has %d references", c.first, n)
		}
	}
	l.hot.mu.Unlock()
	cc := &l.shared.chunks
	cc.mu.Lock()
	defer cc.mu.Unlock()
	for _, e := range cc.entries {
		if n := e.c.refs.Load(); n != 1 {
			t.Errorf("cached chunk at %d has %d references", e.c.first, n)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.loads) != 0 {
		t.Errorf("%d loads are left over", len(l.loads))
	}
}

// wantFilesOpen checks that no more than max files are open, all of them idle.
func wantFilesOpen(t tester, l *Log, max int) {
	t.Helper()
	c := &l.shared.files
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != c.lru.Len() || c.open > max {
		t.Errorf("%d files are open, %d known, want at most %d", c.open, c.lru.Len(), max)
	}
	for e := c.lru.Front(); e != nil; e = e.Next() {
		if h := e.Value.(*fileHandle); h.refs != 0 {
			t.Errorf("%s is held %d times", h.seg.path, h.refs)
		}
	}
}

func newCrash(seed uint64) *crashfs.FS { return crashfs.New(seed) }

func encodedSize(body int) int { return message.HeaderSize + body }

var _ tester = (*testing.T)(nil)
