package diskqueue

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// testTimeout is how long a test waits for what must not wait for a disk.
const testTimeout = time.Minute

// wantSoon runs f, which must not wait for anything that hangs.
func wantSoon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Fatalf("%s waits for another log's file", what)
	}
}

// hanging lets operations hang.
type hanging struct {
	reached chan struct{} // closed when the first one hangs
	free    chan struct{} // closed by release
	once    sync.Once
}

// hang lets the operations of a kind hang on files whose path contains part.
func hang(fs *crashfs.FS, op crashfs.Op, part string) *hanging {
	h := &hanging{reached: make(chan struct{}), free: make(chan struct{})}
	fs.Fail(func(o crashfs.Op, name string) error {
		if o == op && strings.Contains(name, part) {
			h.once.Do(func() { close(h.reached) })
			<-h.free
		}
		return nil
	})
	return h
}

// twoLogs opens logs a and b on one node that keeps two files open.
func twoLogs(t *testing.T, fs *crashfs.FS) (a, b *Log) {
	t.Helper()
	n := newNode(fs).cold()
	n.shared.OpenFiles, n.shared.CacheBytes = 2, 1
	shared := NewShared(n.shared)
	open := func(name string) *Log {
		n.log.Dir = filepath.Join(filepath.Dir(testDir), name)
		l, _, err := Open(shared, n.log)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	return open("a"), open("b")
}

// wantAtWork appends to a log, reads and reclaims what it holds, and syncs.
func wantAtWork(t *testing.T, l *Log) {
	t.Helper()
	for i := range 30 {
		done := mustAppend(t, l, single(bodyOf(i, 400)))
		r := l.NewReader()
		wantBody(t, r, done.First, bodyOf(i, 400))
		wantBody(t, r, l.Start(), bodyOf(0, 400))
		r.Release()
	}
	mustSync(t, l)
}

func TestFileThatTakesLongDelaysNoOtherLog(t *testing.T) {
	for _, op := range []crashfs.Op{crashfs.OpOpen, crashfs.OpRename, crashfs.OpRemove, crashfs.OpSync} {
		t.Run(string(op), func(t *testing.T) {
			fs := newCrash(1)
			a, b := twoLogs(t, fs)
			first := a.End()
			for i := range 30 {
				mustAppend(t, a, single(bodyOf(i, 400)))
			}
			h := hang(fs, op, "/a/")
			stuck := make(chan struct{})
			go func() {
				defer close(stuck)
				switch op {
				case crashfs.OpOpen:
					r := a.NewReader()
					wantBody(t, r, first, bodyOf(0, 400))
					r.Release()
				case crashfs.OpSync:
					mustSync(t, a)
				default:
					a.Reclaim(a.ReclaimAt())
				}
			}()
			<-h.reached
			wantSoon(t, "another log", func() { wantAtWork(t, b) })
			if op != crashfs.OpOpen {
				wantSoon(t, "appending", func() { mustAppend(t, a, single(bodyOf(0, 40))) })
			}
			close(h.free)
			<-stuck
			fs.Fail(nil)
			wantOwned(t, a)
			mustClose(t, a)
			mustClose(t, b)
		})
	}
}

// The end of an empty segment removes its file: nobody waits for that.
func TestRemovalOfAnEmptySegmentHoldsNoLock(t *testing.T) {
	fs := newCrash(1)
	a, _ := twoLogs(t, fs)
	failNext(fs, 2, crashfs.OpWrite, crashfs.OpTruncate)
	_, err := a.Append([]*Batch{single(bodyOf(0, 400))})
	for err == nil { // the header is written first
		failNext(fs, 2, crashfs.OpWrite, crashfs.OpTruncate)
		a.roll(a.active)
		_, err = a.Append([]*Batch{single(bodyOf(0, 400))})
	}
	h := hang(fs, crashfs.OpRemove, "/a/")
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		mustAppend(t, a, single(bodyOf(1, 400)))
	}()
	<-h.reached
	wantSoon(t, "a look at the log", func() { a.Start() })
	close(h.free)
	<-stuck
	fs.Fail(nil)
	mustClose(t, a)
}

// All who need a file that is being opened wait for one open, and all get its
// error.
func TestFileIsOpenedOnceForAllWhoNeedIt(t *testing.T) {
	for _, failure := range []error{nil, syscall.EIO} {
		fs := newCrash(1)
		a, _ := twoLogs(t, fs)
		done := mustAppend(t, a, single(bodyOf(0, 400)))
		a.shared.files.forgetIdle(a.active)
		opens, reached, free := 0, make(chan struct{}), make(chan struct{})
		fs.Fail(func(op crashfs.Op, name string) error {
			if op != crashfs.OpOpen {
				return nil
			}
			if opens++; opens == 1 {
				close(reached)
			}
			<-free
			return failure
		})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				h, err := a.shared.files.acquire(a.active)
				if !errors.Is(err, failure) {
					t.Errorf("acquire: %v", err)
				}
				if err == nil {
					a.shared.files.release(h)
				}
			})
		}
		<-reached
		close(free)
		all.Wait()
		fs.Fail(nil)
		if failure == nil && opens != 1 {
			t.Errorf("%d opens", opens)
		}
		wantFilesOpen(t, a, 2)
		r := a.NewReader()
		wantBody(t, r, done.First, bodyOf(0, 400))
		r.Release()
		mustClose(t, a)
	}
}

func TestFileRemovedWhileItIsOpenedIsNotUsedAgain(t *testing.T) {
	fs := newCrash(1)
	a, _ := twoLogs(t, fs)
	first := a.End()
	for i := range 30 {
		mustAppend(t, a, single(bodyOf(i, 400)))
	}
	mustSync(t, a)
	h := hang(fs, crashfs.OpOpen, "/a/")
	read := make(chan error)
	go func() {
		_, err := a.NewReader().Read(first)
		read <- err
	}()
	<-h.reached
	path := a.list()[0].path
	wantSoon(t, "Reclaim", func() { a.Reclaim(a.ReclaimAt()) })
	close(h.free)
	if err := <-read; err == nil {
		t.Error("read what was removed")
	}
	fs.Fail(nil)
	for _, f := range fs.Files() {
		if f.Name == path || strings.HasPrefix(f.Name, "/recycled/") {
			t.Errorf("%s is there", f.Name)
		}
	}
	wantFilesOpen(t, a, 2)
	wantOwned(t, a)
	mustClose(t, a)
}

// scarce is a file system with few descriptors.
type scarce struct {
	vfs.FS
	mu   sync.Mutex
	left int
}

func (s *scarce) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return fmt.Errorf("open: %w", syscall.EMFILE)
	}
	s.left--
	return nil
}

func (s *scarce) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
}

func (s *scarce) Open(name string) (vfs.File, error)   { return s.file(s.FS.Open, name) }
func (s *scarce) Create(name string) (vfs.File, error) { return s.file(s.FS.Create, name) }

func (s *scarce) file(open func(string) (vfs.File, error), name string) (vfs.File, error) {
	if err := s.take(); err != nil {
		return nil, err
	}
	f, err := open(name)
	if err != nil {
		s.give()
		return nil, err
	}
	return &scarceFile{File: f, fs: s}, nil
}

func (s *scarce) SyncDir(name string) error {
	if err := s.take(); err != nil {
		return err
	}
	defer s.give()
	return s.FS.SyncDir(name)
}

type scarceFile struct {
	vfs.File
	fs *scarce
}

func (f *scarceFile) Close() error {
	f.fs.give()
	return f.File.Close()
}

// Whatever needs a descriptor gets one as long as a file is open that nobody
// uses.
func TestIdleFilesGiveWayWhenThereAreNoDescriptors(t *testing.T) {
	for _, count := range []int{2, 3, 7} {
		few := &scarce{FS: newCrash(1), left: count}
		n := newNode(few).cold()
		n.shared.OpenFiles, n.shared.CacheBytes = 1000, 1
		l, _ := n.open(t)
		first := l.End()
		for i := range 200 {
			mustAppend(t, l, single(bodyOf(i, 400)))
			if i%50 == 49 {
				mustSync(t, l)
			}
		}
		r := l.NewReader()
		for i := range 200 {
			wantBody(t, r, first+uint64(i), bodyOf(i, 400))
		}
		r.Release()
		if err := l.Probe(1000); err != nil {
			t.Error(err)
		}
		l.Reclaim(l.ReclaimAt() + 5)
		mustClose(t, l)
		if few.left != count {
			t.Errorf("%d of %d descriptors are free after Close", few.left, count)
		}
		l, rec := n.open(t)
		if rec.Lost() != 0 || len(rec.Findings) != 0 {
			t.Errorf("after a restart: %+v", rec)
		}
		mustClose(t, l)
	}
}

// TestAppendWaitsForADescriptor of its segment, which was closed for others, and of
// a file that is used again: it stays to be used.
func TestAppendWaitsForADescriptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newCrash(1)
		n := newNode(disk).cold()
		l, _ := n.open(t)
		mustAppend(t, l, single(bodyOf(0, 400)))
		for l.shared.files.giveWay() {
		}
		until := time.Now().Add(descriptorTimeout / 2)
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpOpen && time.Now().Before(until) {
				return syscall.EMFILE
			}
			return nil
		})
		mustAppend(t, l, single(bodyOf(1, 400)))
		disk.Fail(nil)
		mustClose(t, l)
	})
}

func TestRecycledFileStaysWhereThereIsNoDescriptorForIt(t *testing.T) {
	disk := newCrash(1)
	r := &recycler{fs: disk, dir: "/spare", max: 3}
	if err := errors.Join(r.load(), disk.MkdirAll("/t")); err != nil {
		t.Fatal(err)
	}
	f, err := disk.Create("/t/old")
	if err != nil || f.Close() != nil || !r.give("/t/old", func() error { return nil }) {
		t.Fatal(err)
	}
	disk.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpOpen {
			return syscall.EMFILE
		}
		return nil
	})
	if _, ok := r.take("/t/new", make([]byte, 64)); ok {
		t.Fatal("opened without a descriptor")
	}
	disk.Fail(nil)
	if _, ok := r.take("/t/new", make([]byte, 64)); !ok {
		t.Error("the file is forgotten")
	}
}

func TestOpenFilesAreAShareOfTheDescriptors(t *testing.T) {
	for limit, want := range map[int]int{0: 4096, 20: 16, 256: 64, 1024: 256, 20000: 4096, 1 << 20: 4096} {
		if got := openFiles(limit); got != want {
			t.Errorf("of %d descriptors %d, want %d", limit, got, want)
		}
	}
	if vfs.DescriptorLimit() < 0 {
		t.Error("a negative limit")
	}
}

// Files that are being synced cannot give way: so many logs at a time as there
// are topics of a large node would leave no descriptor.
func TestSyncOfManyLogsAtATimeNeedsFewDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrash(1)
		n := newNode(fs)
		n.shared.OpenFiles = minOpenFiles
		shared := NewShared(n.shared)
		var logs []*Log
		for i := range 200 {
			n.log.Dir = filepath.Join(filepath.Dir(testDir), fmt.Sprint(i))
			l, _, err := Open(shared, n.log)
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, single(bodyOf(i, 40)))
			logs = append(logs, l)
		}
		var inUse atomic.Int32 // a descriptor of each file, and one of a directory
		fs.Fail(func(op crashfs.Op, name string) error {
			if op != crashfs.OpSync && op != crashfs.OpSyncDir {
				return nil
			}
			defer inUse.Add(-1)
			if inUse.Add(1) > minOpenFiles {
				return syscall.EMFILE
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		var all sync.WaitGroup
		for _, l := range logs {
			all.Go(func() { mustSync(t, l) })
		}
		all.Wait()
		fs.Fail(nil)
		for _, l := range logs {
			mustClose(t, l)
		}
	})
}
