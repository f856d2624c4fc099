package journal

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

// starting opens a journal as a start does that is not complete.
func starting(t *testing.T, fsys *crashfs.FS, boot string, adjust ...func(*Options)) (*Journal, *Found) {
	t.Helper()
	o := Options{FS: fsys.Mount(), Dir: testDir, Logger: quiet(), BootID: boot}
	for _, f := range adjust {
		f(&o)
	}
	j, found, err := Open(o)
	must(t, err)
	return j, found
}

// killed ends the process of a journal.
func killed(fsys *crashfs.FS, j *Journal) {
	fsys.Kill()
	_ = j.Close() // its file system is gone
}

func TestBootCountsOnceAStartInItIsComplete(t *testing.T) {
	fsys := crashfs.New(1)
	for i, life := range []struct {
		boot    string
		settles bool
		same    bool // is found
	}{
		{"monday", false, false}, {"monday", false, false}, {"monday", true, false},
		{"monday", false, true}, {"monday", true, true},
		{"tuesday", false, false}, {"tuesday", false, false}, {"tuesday", true, false}, {"tuesday", false, true},
		{"monday", false, false}, {"tuesday", false, false}, // and the one before is not the same
	} {
		j, found := starting(t, fsys, life.boot)
		if found.SameBoot != life.same {
			t.Errorf("start %d: same boot %v", i, found.SameBoot)
		}
		must(t, j.Commit(createTopic(uint64(i)+1, fmt.Sprint(i))))
		if life.settles {
			must(t, j.Settle())
		}
		killed(fsys, j)
	}
}

// What a start had noted is there whenever the next one takes the boot for the same,
// wherever between them the process was killed.
func TestWhatAStartNotesIsThereWhereItsBootCounts(t *testing.T) {
	noted := state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{From: 7, To: 9}}
	settle := func(fsys *crashfs.FS, adjust func(*Options)) {
		o := Options{FS: fsys.Mount(), Dir: testDir, Logger: quiet(), BootID: "tuesday", CheckpointBytes: 1}
		adjust(&o)
		j, _, err := Open(o)
		if err != nil {
			return
		}
		defer j.Close()
		if j.Commit(createTopic(2, "revived")) == nil && j.Settle(noted) == nil {
			_ = j.Commit(createTopic(3, "more"))
		}
	}
	for name, adjust := range map[string]func(*Options){"plain": func(*Options) {}, "synced": synced, "reserve": smallReserve} {
		t.Run(name, func(t *testing.T) {
			for at, done := int64(1), false; !done; at++ {
				fsys := crashfs.New(uint64(at))
				j, _ := starting(t, fsys, "monday", adjust)
				must(t, j.Commit(createTopic(1, "t")))
				must(t, j.Settle())
				killed(fsys, j)
				var calls atomic.Int64
				fsys.Fail(func(crashfs.Op, string) error {
					if calls.Add(1) == at {
						fsys.Kill()
					}
					return nil
				})
				settle(fsys, adjust)
				done = calls.Load() < at
				fsys.Fail(nil)
				j, found := starting(t, fsys, "tuesday", adjust)
				if knows := len(found.State.Topics[1].GivenUp) > 0; found.SameBoot && !knows || done && !found.SameBoot {
					t.Errorf("killed at call %d: same boot %v, what was taken is noted: %v", at, found.SameBoot, knows)
				}
				must(t, j.Close())
			}
		})
	}
}

// A checkpoint may begin before a start is complete, and its log go on after it.
func TestStartIsCompleteInWhateverLogItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := starting(t, fsys, "monday", func(o *Options) { o.CheckpointBytes = 1 })
		for n := range uint64(4) {
			must(t, j.Commit(createTopic(n+1, fmt.Sprint(n))))
			synctest.Wait()
		}
		must(t, j.Settle())
		must(t, j.Commit(createTopic(9, "nine")))
		synctest.Wait()
		must(t, j.Commit(createTopic(10, "ten")))
		killed(fsys, j)
		j, found := starting(t, fsys, "monday")
		if found.Checkpoint == 0 || !found.SameBoot || len(found.State.Topics) != 6 {
			t.Errorf("same boot %v, checkpoint %d, %d topics", found.SameBoot, found.Checkpoint, len(found.State.Topics))
		}
		killed(fsys, j)
	})
}

// On a full disk a start that cannot say that it is complete counts for none.
func TestStartThatCannotSaySoIsNotComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := starting(t, fsys, "monday")
		must(t, j.Commit(createTopic(1, "t")))
		killed(fsys, j)
		j, _ = starting(t, fsys, "monday")
		fsys.Limit(fsys.Used())
		if j.Settle() == nil {
			t.Error("there was room")
		}
		killed(fsys, j)
		fsys.Limit(-1)
		j, found := starting(t, fsys, "monday")
		if found.SameBoot {
			t.Error("it counts")
		}
		must(t, j.Settle())
		killed(fsys, j)
		j, found = starting(t, fsys, "monday")
		if !found.SameBoot {
			t.Error("the boot does not count although a start is complete")
		}
		killed(fsys, j)
	})
}

// A version that does not know of starts that are under way reads the record as it
// read all others, and what such a version wrote counts as it did.
func TestRecordOfAStartIsReadByVersionsThatDoNotKnowOfIt(t *testing.T) {
	e, d := state.NewEncoder(), state.NewDecoder()
	want := settledRecord{Kind: kindFirst, Boot: "monday", Before: 7, BeforeEnd: 1 << 40}
	var got settledRecord
	must(t, d.Decode(encodeFirst(e, firstRecord{Boot: want.Boot, Before: want.Before, BeforeEnd: want.BeforeEnd, Starting: true}), &got))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	older, err := decodeFirst(d, e.Encode(&want))
	must(t, err)
	if older.Starting || older.Boot != want.Boot || older.Before != want.Before || older.BeforeEnd != want.BeforeEnd {
		t.Errorf("got %+v", older)
	}
}

// The process that made a log may end before the log's name is on the disk: who takes it
// into use again has it there.
func TestLogThatIsTakenIntoUseAgainKeepsItsName(t *testing.T) {
	fsys := crashfs.New(1)
	fsys.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && name == logName(1) {
			fsys.Kill()
		}
		return nil
	})
	if _, _, err := Open(Options{FS: fsys.Mount(), Dir: testDir, Reserve: spareSize, Logger: quiet()}); err == nil {
		t.Fatal("it was not killed")
	}
	fsys.Fail(nil)
	j, _ := starting(t, fsys, "", reserved, synced)
	if j.Log() != 1 {
		t.Errorf("goes on in log %d", j.Log())
	}
	must(t, j.Commit(createTopic(1, "t")))
	fsys.Crash(crashfs.DropAll)
	_ = j.Close() // its file system is gone
	j, found := starting(t, fsys, "")
	defer j.Close()
	if found.State.Topics[1] == nil {
		t.Error("what was committed is lost")
	}
}

// A log that was made while the start was not complete, for a checkpoint, and is taken into
// use afterwards says that it is though nothing else is written to it.
func TestCompleteStartIsToldInALogThatWasMadeBefore(t *testing.T) {
	fsys := crashfs.New(1)
	j, _ := starting(t, fsys, "monday")
	must(t, j.Commit(createTopic(1, "t")))
	killed(fsys, j)
	made, settled, inUse := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var making, placing sync.Once
	fsys.Fail(func(op crashfs.Op, name string) error {
		switch {
		case op == crashfs.OpRename:
			placing.Do(func() { close(inUse) })
		case strings.HasSuffix(name, temporarySuffix):
			making.Do(func() { close(made); <-settled })
		}
		return nil
	})
	j, _ = starting(t, fsys, "tuesday", func(o *Options) { o.CheckpointBytes = 1 })
	must(t, j.Commit(createTopic(2, "u")))
	<-made
	must(t, j.Settle(state.Entry{Op: state.GiveUp, Topic: 1, Void: seqset.Range{From: 7, To: 9}}))
	close(settled)
	<-inUse
	killed(fsys, j)
	fsys.Fail(nil)
	j, found := starting(t, fsys, "tuesday")
	if !found.SameBoot {
		t.Error("the start is not complete")
	}
	must(t, j.Close())
}
