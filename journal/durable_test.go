package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
)

// onLogs counts the syncs of logs.
func onLogs(count *atomic.Int64) func(crashfs.Op, string) error {
	return func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.HasSuffix(name, logSuffix) {
			count.Add(1)
		}
		return nil
	}
}

func TestWhatIsWrittenIsSyncedWithinSyncEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), func(o *Options) { o.SyncEvery = time.Second })
		s := withChannel(t, j)
		s.ack(100)
		elapse(1100 * time.Millisecond)
		fsys.Crash(crashfs.DropAll)
		_ = j.Close() // its file system is gone
		j, st := openJournal(t, fsys)
		defer j.Close()
		wantChannel(t, st, s)
	})
}

func TestNothingNewNeedsNoSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys)
		defer j.Close()
		var syncs atomic.Int64
		fsys.Fail(onLogs(&syncs))
		elapse(time.Hour)
		must(t, j.Durable())
		if n := syncs.Load(); n != 0 {
			t.Errorf("%d syncs", n)
		}
		must(t, j.Commit(createTopic(1, "t")))
		must(t, j.Durable())
		must(t, j.Durable())
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs for one commit", n)
		}
	})
}

func TestCommitsThatAreToBeDurableShareASyncAndHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys)
		defer j.Close()
		gate := make(chan struct{})
		var syncs atomic.Int64
		fsys.Fail(func(op crashfs.Op, name string) error {
			_ = onLogs(&syncs)(op, name)
			if op == crashfs.OpSync && syncs.Load() == 1 {
				<-gate
			}
			return nil
		})
		const callers = 20
		done := make(chan error, callers)
		go func() { done <- j.CommitDurable(createTopic(1, "first")) }()
		synctest.Wait() // in the sync
		for i := range uint64(callers - 1) {
			go func() { done <- j.CommitDurable(createTopic(2+i, fmt.Sprint("t", i))) }()
		}
		must(t, j.Commit(createTopic(100, "not held up")))
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("a commit returned before its sync")
		}
		close(gate)
		for range callers {
			must(t, <-done)
		}
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d syncs, want 2", n)
		}
	})
}

func TestDurableCoversWhatAKilledProcessCommitted(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	must(t, j.Commit(createTopic(1, "t")))
	fsys.Kill()
	_ = j.Close() // its file system is gone
	j, _ = openJournal(t, fsys.Mount())
	must(t, j.Durable())
	fsys.Crash(crashfs.DropAll)
	_ = j.Close()
	j, st := openJournal(t, fsys)
	defer j.Close()
	if st.State.Topics[1] == nil {
		t.Error("the topic is gone")
	}
}

func TestDurableCoversTheLogBeforeACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), func(o *Options) { o.SyncEvery = time.Hour })
		must(t, j.Commit(createTopic(1, "t")))
		fsys.Fail(func(op crashfs.Op, name string) error { // no checkpoint ends
			if op == crashfs.OpRename {
				return syscall.EIO
			}
			return nil
		})
		elapse(time.Minute)
		must(t, j.Durable())
		fsys.Fail(nil)
		fsys.Crash(crashfs.DropAll)
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		if st.State.Topics[1] == nil || st.Incomplete {
			t.Errorf("got %+v", st)
		}
	})
}

func TestFailedSyncIsNeverTakenBackButByACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		var h health
		j, _ := openJournal(t, fsys.Mount(), h.option)
		must(t, j.Commit(createTopic(1, "t")))
		fsys.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpSync || op == crashfs.OpRename {
				return syscall.EIO
			}
			return nil
		})
		if err := j.Durable(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v", err)
		}
		synctest.Wait()
		if err := h.err(t); !errors.Is(err, syscall.EIO) {
			t.Errorf("health: %v", err)
		}
		fsys.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpRename { // no checkpoint ends
				return syscall.EIO
			}
			return nil
		})
		must(t, j.Commit(createTopic(2, "later")))
		if err := j.Durable(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a later sync made it good: %v", err)
		}
		fsys.Fail(nil)
		elapse(time.Minute)
		must(t, j.Durable())
		must(t, h.err(t))
		fsys.Crash(crashfs.DropAll)
		_ = j.Close()
		j, st := openJournal(t, fsys)
		defer j.Close()
		if st.State.Topics[1] == nil || st.State.Topics[2] == nil {
			t.Errorf("got %+v", st.State.Topics)
		}
	})
}

func TestDurableAfterCloseRefusesNobodyWhoIsServed(t *testing.T) {
	j, _ := openJournal(t, crashfs.New(1))
	must(t, j.CommitDurable(createTopic(1, "t")))
	must(t, j.Close())
	must(t, j.Durable())
}
