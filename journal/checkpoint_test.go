package journal

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// reopen kills the process and opens its journal anew.
func reopen(t *testing.T, fsys *crashfs.FS, j *Journal) *Found {
	t.Helper()
	fsys.Kill()
	_ = j.Close() // its file system is gone
	j, st := openJournal(t, fsys)
	t.Cleanup(func() { must(t, j.Close()) })
	return st
}

func wantNames(t *testing.T, fsys *crashfs.FS, want ...string) {
	t.Helper()
	if got := names(fsys); !slices.Equal(got, want) {
		t.Errorf("files: %v, want %v", got, want)
	}
}

func TestCheckpointReplacesOlderFilesWhenItsTimeHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount())
		elapse(time.Hour)
		wantNames(t, fsys, fileName(1, logSuffix)) // nothing was written
		s := withChannel(t, j)
		s.ack(100, 105)
		s.requeue(state.OpenMessage{Seq: 103, Attempts: 7, Due: 5})
		elapse(time.Minute)
		wantNames(t, fsys, fileName(1, logSuffix), fileName(2, checkpointSuffix), fileName(2, logSuffix))
		elapse(time.Hour)
		wantNames(t, fsys, fileName(1, logSuffix), fileName(2, checkpointSuffix), fileName(2, logSuffix))
		s.ack(102)
		elapse(time.Hour)
		wantNames(t, fsys, fileName(2, checkpointSuffix), fileName(2, logSuffix),
			fileName(3, checkpointSuffix), fileName(3, logSuffix)) // two generations
		s.ack(101)
		must(t, j.Flush())
		wantChannel(t, reopen(t, fsys, j), s)
	})
}

func TestCheckpointIsWrittenWhenTheLogIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), func(o *Options) { o.CheckpointBytes = 500 })
		s := withChannel(t, j)
		for seq := uint64(101); seq < 201; seq += 2 {
			s.ack(seq)
			must(t, j.Flush())
			synctest.Wait() // until a checkpoint that was begun is whole
		}
		if got := names(fsys); len(got) != 4 || got[0] < fileName(2, "") {
			t.Errorf("files: %v", got)
		}
		wantChannel(t, reopen(t, fsys, j), s)
	})
}

func TestCloseWritesACheckpointOnlyIfSomethingIsNew(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	s := withChannel(t, j)
	s.ack(100)
	must(t, j.Close())
	wantNames(t, fsys, fileName(1, logSuffix), fileName(2, checkpointSuffix), fileName(2, logSuffix))
	b, err := fsys.ReadFile(logName(2))
	must(t, err)
	if n := len(frames(t, b)); n != 1 {
		t.Errorf("%d bytes in the log after the last checkpoint", len(b))
	}
	j, st := openJournal(t, fsys)
	wantChannel(t, st, s)
	must(t, j.Close())
}

func TestFailedCheckpointLeavesEverythingAndIsTriedAgain(t *testing.T) {
	steps := map[string]func(op crashfs.Op, name string) bool{
		"create": func(op crashfs.Op, name string) bool {
			return op == crashfs.OpCreate && strings.HasSuffix(name, temporarySuffix)
		},
		"create log": func(op crashfs.Op, name string) bool {
			return op == crashfs.OpCreate && strings.HasSuffix(name, logSuffix)
		},
		"write": func(op crashfs.Op, name string) bool {
			return op == crashfs.OpWrite && strings.HasSuffix(name, temporarySuffix)
		},
		"sync": func(op crashfs.Op, name string) bool {
			return op == crashfs.OpSync && strings.HasSuffix(name, temporarySuffix)
		},
		"rename":   func(op crashfs.Op, _ string) bool { return op == crashfs.OpRename },
		"sync dir": func(op crashfs.Op, _ string) bool { return op == crashfs.OpSyncDir },
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := crashfs.New(1)
				var h health
				j, _ := openJournal(t, fsys.Mount(), h.option)
				s := withChannel(t, j)
				s.ack(100, 103)
				must(t, j.Flush())
				var failures atomic.Int64
				fsys.Fail(func(op crashfs.Op, name string) error {
					if step(op, name) {
						failures.Add(1)
						return syscall.EIO
					}
					return nil
				})
				elapse(2 * time.Minute)
				if n := failures.Load(); n < 2 || n > 10 {
					t.Errorf("failed %d times", n)
				}
				if !slices.Contains(names(fsys), fileName(1, logSuffix)) {
					t.Error("the old log is gone")
				}
				s.ack(101)
				must(t, j.Flush())
				fsys.Fail(nil)
				elapse(2 * time.Minute)
				s.ack(104)
				elapse(2 * time.Minute)
				if got := names(fsys); len(got) != 4 {
					t.Errorf("files: %v", got)
				}
				wantChannel(t, reopen(t, fsys, j), s)
			})
		})
	}
}

// during runs f once, at the sync of a checkpoint that is about to be renamed:
// its topology is from before, and its states are.
func during(fsys *crashfs.FS, f func()) {
	var once atomic.Bool
	fsys.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRename && once.CompareAndSwap(false, true) {
			f()
		}
		return nil
	})
}

func TestWhatHappensWhileACheckpointIsWrittenIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount())
		s := withChannel(t, j)
		must(t, j.Commit(createChannel(1, 3, "deleted meanwhile"), createChannel(1, 4, "attached meanwhile")))
		deleted, late := newTestSource(j, 1, 3, 100), newTestSource(j, 1, 4, 100)
		created := newTestSource(j, 1, 5, 120)
		j.Attach(deleted)
		deleted.ack(100)
		committed := make(chan error, 2)
		during(fsys, func() {
			j.Attach(late)
			late.ack(100, 101)
			s.ack(100)
			go func() { committed <- j.Commit(state.Entry{Op: state.DeleteChannel, Topic: 1, Channel: 3}) }()
			go func() {
				e := createChannel(1, 5, "created meanwhile")
				e.Start = 120
				committed <- j.Commit(e)
			}()
		})
		elapse(time.Minute)
		must(t, <-committed)
		must(t, <-committed)
		j.Detach(deleted)
		j.Attach(created)
		created.ack(120, 122)
		must(t, j.Flush())
		wantNames(t, fsys, fileName(1, logSuffix), fileName(2, checkpointSuffix), fileName(2, logSuffix))
		st := reopen(t, fsys, j)
		wantChannel(t, st, s)
		wantChannel(t, st, late)
		wantChannel(t, st, created)
		if st.State.Channel(1, 3) != nil {
			t.Error("the deleted channel is there")
		}
	})
}

func TestCommitsAreServedBetweenThePiecesOfACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys)
		defer j.Close()
		s := withChannel(t, j)
		var far []uint64 // a state of more than one piece
		for seq := uint64(101); seq < 400_000; seq += 2 {
			far = append(far, seq)
		}
		s.ack(far...)
		must(t, j.Commit(createChannel(1, 3, "c3")))
		j.Attach(newTestSource(j, 1, 3, 100))
		var committed, renamed atomic.Bool
		done := make(chan error, 1)
		var once atomic.Bool
		fsys.Fail(func(op crashfs.Op, name string) error {
			isTemporary := strings.HasSuffix(name, temporarySuffix)
			switch {
			case op == crashfs.OpCreate && isTemporary && once.CompareAndSwap(false, true):
				r := &request{entries: []state.Entry{createTopic(9, "now")}, done: done}
				j.mu.Lock()
				j.queue = append(j.queue, r) // as Commit does, without waiting
				j.mu.Unlock()
			case op == crashfs.OpRename:
				renamed.Store(true)
				committed.Store(len(done) == 1)
			}
			return nil
		})
		elapse(time.Minute)
		if !renamed.Load() || !committed.Load() {
			t.Errorf("checkpoint %v, commit before its end %v", renamed.Load(), committed.Load())
		}
	})
}

func TestStateOfChannelNobodyAttachesSurvivesCheckpoints(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	s := withChannel(t, j)
	s.ack(100, 107)
	s.requeue(state.OpenMessage{Seq: 105, Attempts: 3})
	must(t, j.Close())
	for range 3 {
		var st *Found
		j, st = openJournal(t, fsys)
		wantChannel(t, st, s)
		must(t, j.Commit(state.Entry{Op: state.PauseChannel, Topic: 1, Channel: 2}))
		must(t, j.Close())
	}
}

func TestDetachedSourceIsAskedALastTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount())
		s := withChannel(t, j)
		s.ack(100, 102)
		j.Detach(s)
		elapse(time.Minute) // a checkpoint
		must(t, j.Commit(createTopic(5, "t5")))
		elapse(time.Minute) // another
		if n := len(j.collector.Sources()); n != 0 {
			t.Errorf("%d sources are still held", n)
		}
		wantNames(t, fsys, fileName(2, checkpointSuffix), fileName(2, logSuffix),
			fileName(3, checkpointSuffix), fileName(3, logSuffix))
		wantChannel(t, reopen(t, fsys, j), s)
	})
}

func TestEmptiedChannelStaysEmptyWhenACheckpointComesBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount())
		s := withChannel(t, j)
		s.ack(103)
		must(t, j.Flush())
		must(t, j.Commit(state.Entry{Op: state.EmptyChannel, Topic: 1, Channel: 2, FanOut: 150}))
		elapse(time.Minute) // a checkpoint, before the source knows that it is empty
		wantNames(t, fsys, fileName(1, logSuffix), fileName(2, checkpointSuffix), fileName(2, logSuffix))
		if got := reopen(t, fsys, j).State.Channel(1, 2).Acked.Floor(); got != 150 {
			t.Errorf("floor %d, want 150", got)
		}
	})
}

func TestChangesBeforeTheCreationIsCommittedAreAskedAgain(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount())
	s := newTestSource(j, 1, 2, 100)
	s.ack(100, 103)
	must(t, j.Flush())
	must(t, j.Commit(createTopic(1, "t"), createChannel(1, 2, "c")))
	j.Attach(s)
	s.ack(105)
	must(t, j.Flush())
	wantChannel(t, reopen(t, fsys, j), s)
}

// TestVoidsBehindAllChannelsArePruned that were given up: no rewind leads to them.
func TestVoidsBehindAllChannelsArePruned(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys)
	s := withChannel(t, j)
	for _, v := range []seqset.Range{{From: 40, To: 45}, {From: 50, To: 60}, {From: 98, To: 102}, {From: 130, To: 140}} {
		must(t, j.Commit(state.Entry{Op: state.EmptyTopic, Topic: 1, Void: v}))
	}
	must(t, j.Commit(state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{To: 55}}))
	s.ack(100)
	must(t, j.Close())
	j, st := openJournal(t, fsys)
	defer j.Close()
	if got, want := st.State.Topics[1].Voids, []seqset.Range{{From: 55, To: 60}, {From: 98, To: 102}, {From: 130, To: 140}}; !slices.Equal(got, want) {
		t.Errorf("voids %v, want %v", got, want)
	}
}

func TestJournalWorksOnTheRealFileSystem(t *testing.T) {
	dir := t.TempDir() + "/a/journal"
	for range 3 {
		j, _, err := Open(Options{FS: vfs.OS, Dir: dir, SyncTopology: true, Logger: quiet()})
		must(t, err)
		must(t, j.Commit(createTopic(1, "t"), createChannel(1, 2, "c")))
		must(t, j.Close())
	}
	j, st, err := Open(Options{FS: vfs.OS, Dir: dir, Logger: quiet()})
	must(t, err)
	defer j.Close()
	if st.State.Channel(1, 2) == nil {
		t.Errorf("got %+v", st)
	}
}
