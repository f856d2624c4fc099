package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// elapse lets the bubble's time pass and everybody finish what is due.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// counter counts calls of a kind on logs.
func counter(count *atomic.Int64, op crashfs.Op) func(crashfs.Op, string) error {
	return func(o crashfs.Op, name string) error {
		if o == op && strings.HasSuffix(name, logSuffix) {
			count.Add(1)
		}
		return nil
	}
}

func TestChangesAreWrittenAnIntervalAfterTheFirstMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, _ := openJournal(t, crashfs.New(1))
		defer j.Close()
		s := withChannel(t, j)
		s.ack(100)
		elapse(24 * time.Millisecond)
		s.ack(101)
		if n := len(s.calls()); n != 0 {
			t.Fatalf("asked %d times before the interval was over", n)
		}
		elapse(time.Millisecond)
		if n := len(s.calls()); n != 1 {
			t.Fatalf("asked %d times after the interval", n)
		}
		elapse(time.Hour)
		if n := len(s.calls()); n != 1 {
			t.Fatalf("asked %d times without new changes", n)
		}
	})
}

func TestMarkDuringChangesIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount())
		s := withChannel(t, j)
		s.during = func() { s.ack(105) }
		s.ack(100)
		elapse(100 * time.Millisecond)
		fsys.Kill()
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		wantChannel(t, st, s)
		if n := len(s.calls()); n < 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestCommitsAtTheSameTimeShareAWriteAndASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys, synced)
		defer j.Close()
		gate := make(chan struct{})
		var writes, syncs atomic.Int64
		fsys.Fail(func(op crashfs.Op, name string) error {
			_ = counter(&writes, crashfs.OpWrite)(op, name)
			_ = counter(&syncs, crashfs.OpSync)(op, name)
			if op == crashfs.OpSync && syncs.Load() == 1 {
				<-gate
			}
			return nil
		})
		const callers = 20
		done := make(chan error, callers)
		go func() { done <- j.Commit(createTopic(1, "first")) }()
		synctest.Wait() // in the sync
		for i := range uint64(callers - 1) {
			go func() { done <- j.Commit(createTopic(2+i, fmt.Sprint("t", i))) }()
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("a commit returned before its sync")
		}
		close(gate)
		for range callers {
			must(t, <-done)
		}
		synctest.Wait()
		if writes.Load() > 4 || syncs.Load() != 2 { // the log also says twice that it is synced
			t.Errorf("%d writes, %d syncs; want 4 and 2", writes.Load(), syncs.Load())
		}
	})
}

func TestChangesOfManyChannelsAreWrittenInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), func(o *Options) { o.Bytes = 200 })
		must(t, j.Commit(createTopic(1, "t")))
		var sources []*testSource
		for i := range uint64(50) {
			must(t, j.Commit(createChannel(1, 2+i, fmt.Sprint("c", i))))
			s := newTestSource(j, 1, 2+i, 100)
			j.Attach(s)
			sources = append(sources, s)
		}
		var writes atomic.Int64
		fsys.Fail(counter(&writes, crashfs.OpWrite))
		for _, s := range sources {
			s.ack(100, 102)
		}
		must(t, j.Flush())
		if n := writes.Load(); n < 5 || n > 20 {
			t.Errorf("%d writes", n)
		}
		fsys.Kill()
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		for _, s := range sources {
			wantChannel(t, st, s)
		}
	})
}

// health notes what OnHealth is told.
type health struct{ last atomic.Value }

type told struct{ err error }

func (h *health) option(o *Options) { o.OnHealth = func(err error) { h.last.Store(told{err}) } }

// err is what it was told last; it fails the test if that was nothing.
func (h *health) err(t *testing.T) error {
	t.Helper()
	v, ok := h.last.Load().(told)
	if !ok {
		t.Fatal("OnHealth was not called")
	}
	return v.err
}

func TestFullDiskRefusesCommitsAndRecoversByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		var h health
		j, _ := openJournal(t, fsys.Mount(), h.option)
		s := withChannel(t, j)
		fsys.Limit(fsys.Used() + 10)
		if err := j.Commit(createTopic(7, "refused")); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("commit: %v", err)
		}
		if err := h.err(t); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("health: %v", err)
		}
		s.ack(100)
		elapse(5 * time.Second)
		s.ack(103)
		elapse(5 * time.Second)
		if n := len(s.calls()); n < 5 || n > 20 {
			t.Errorf("asked %d times in 10 s", n)
		}
		if h.err(t) == nil {
			t.Error("healthy on a full disk")
		}
		fsys.Limit(-1)
		elapse(time.Second)
		must(t, h.err(t))
		if calls := s.calls(); !calls[len(calls)-1] {
			t.Error("not asked for everything after a failed write")
		}
		fsys.Kill()
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		wantChannel(t, st, s)
		if st.State.Topics[7] != nil {
			t.Error("a refused commit was replayed")
		}
	})
}

func TestJournalRecoversWithoutAnythingToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		var h health
		j, _ := openJournal(t, fsys, h.option, synced)
		defer j.Close()
		fsys.Fail(func(op crashfs.Op, _ string) error {
			if op == crashfs.OpWrite || op == crashfs.OpTruncate || op == crashfs.OpCreate {
				return syscall.EIO
			}
			return nil
		})
		if err := j.Commit(createTopic(1, "t")); !errors.Is(err, syscall.EIO) {
			t.Fatalf("commit: %v", err)
		}
		elapse(10 * time.Second)
		if h.err(t) == nil {
			t.Fatal("healthy on a broken disk")
		}
		fsys.Fail(nil)
		elapse(time.Second)
		must(t, h.err(t))
	})
}

func TestFailedWriteIsCutBack(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	defer j.Close()
	s := withChannel(t, j)
	before, err := fsys.ReadFile(logName(1))
	must(t, err)
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite {
			return syscall.EIO
		}
		return nil
	})
	for id := range uint64(20) {
		if err := j.Commit(createTopic(10+id, "refused")); err == nil {
			t.Fatal("committed")
		}
	}
	after, err := fsys.ReadFile(logName(1))
	must(t, err)
	if !slices.Equal(before, after) {
		t.Error("the log was not cut back")
	}
	fsys.Fail(nil)
	s.ack(100)
	must(t, j.Flush())
}

func TestLogThatCannotBeCutBackIsLeftForANewOne(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	s := withChannel(t, j)
	fsys.Fail(func(op crashfs.Op, name string) error {
		if name == logName(1) && (op == crashfs.OpWrite || op == crashfs.OpTruncate) {
			return syscall.EIO
		}
		return nil
	})
	if err := j.Commit(createTopic(9, "refused")); err == nil {
		t.Fatal("committed")
	}
	must(t, j.Commit(createTopic(10, "later")))
	s.ack(100)
	must(t, j.Flush())
	fsys.Fail(nil)
	fsys.Kill()
	_ = j.Close()
	j, st := openJournal(t, fsys)
	defer j.Close()
	wantChannel(t, st, s)
	if st.State.Topics[10] == nil || st.State.Topics[9] != nil {
		t.Errorf("topics: %v", st.State.Topics)
	}
}

func TestFailedSyncRefusesTheGroupAndEndsTheFile(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash=", crash), func(t *testing.T) {
			fsys := crashfs.New(1)
			j, _ := openJournal(t, fsys.Mount(), synced)
			s := withChannel(t, j)
			s.ack(100)
			must(t, j.Flush()) // written, and lost by the failed sync
			var failed, touched atomic.Bool
			fsys.Fail(func(op crashfs.Op, name string) error {
				if name != logName(1) {
					return nil
				}
				if op == crashfs.OpSync && failed.CompareAndSwap(false, true) {
					return syscall.EIO
				}
				if failed.Load() && (op == crashfs.OpSync || op == crashfs.OpWrite) {
					touched.Store(true)
				}
				return nil
			})
			if err := j.Commit(createTopic(9, "refused")); !errors.Is(err, syscall.EIO) {
				t.Fatalf("commit: %v", err)
			}
			must(t, j.Commit(createTopic(10, "later")))
			if touched.Load() {
				t.Error("the file was used after its sync failed")
			}
			if crash {
				fsys.Crash(crashfs.DropAll)
			} else {
				fsys.Kill()
			}
			_ = j.Close()
			fsys.Fail(nil)
			j, st := openJournal(t, fsys)
			defer j.Close()
			if st.State.Topics[10] == nil || st.State.Channel(1, 2) == nil {
				t.Errorf("topics: %v", st.State.Topics)
			}
			if st.State.Topics[9] != nil {
				t.Error("a refused commit was replayed")
			}
		})
	}
}

func TestFailedSyncIsFollowedByACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), synced)
		s := withChannel(t, j)
		s.ack(100, 104)
		must(t, j.Flush())
		fsys.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpSync && name == logName(1) {
				return syscall.EIO
			}
			return nil
		})
		if err := j.Commit(createTopic(9, "refused")); err == nil {
			t.Fatal("committed")
		}
		elapse(5 * time.Second)
		fsys.Crash(crashfs.DropAll)
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		wantChannel(t, st, s)
	})
}

func TestClosedJournalRefuses(t *testing.T) {
	j, _ := openJournal(t, crashfs.New(1))
	s := withChannel(t, j)
	must(t, j.Close())
	must(t, j.Close())
	if err := j.Commit(createTopic(3, "t")); !errors.Is(err, ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	if err := j.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("flush: %v", err)
	}
	s.ack(100) // marks
	j.Detach(s)
}

func TestCloseOnABrokenDiskSaysSoAndEnds(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	s := withChannel(t, j)
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite {
			return syscall.EIO
		}
		return nil
	})
	s.ack(100)
	if err := j.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}
