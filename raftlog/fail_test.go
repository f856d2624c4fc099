package raftlog

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// failures are how operations of the file system fail, from one on.
var failures = []struct {
	name string
	fail func(n, at int, op crashfs.Op) bool
}{
	{"once", func(n, at int, _ crashfs.Op) bool { return n == at }},
	{"twice", func(n, at int, _ crashfs.Op) bool { return n == at || n == at+1 }},
	{"every second one", func(n, at int, _ crashfs.Op) bool { return n >= at && (n-at)%2 == 0 }},
	{"from then on", func(n, at int, _ crashfs.Op) bool { return n >= at }},
	{"syncs from then on", func(n, at int, op crashfs.Op) bool { return n >= at && op == crashfs.OpSync }},
}

// TestNothingIsAcknowledgedThatFailed: whatever fails, what was acknowledged is
// there after a loss of power, or with NoSync after a kill; nothing is acknowledged
// behind what was not.
func TestNothingIsAcknowledgedThatFailed(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		for _, f := range failures {
			t.Run(fmt.Sprintf("nosync=%v/%s", noSync, f.name), func(t *testing.T) {
				for at := 1; failAt(t, noSync, at, f.fail) && !t.Failed(); at++ {
				}
			})
		}
	}
}

func failAt(t *testing.T, noSync bool, at int, fail func(n, at int, op crashfs.Op) bool) (more bool) {
	fsys := newDisk(t, uint64(at))
	o := options(fsys.Mount())
	o.NoSync = noSync
	var found []FindingKind
	o.Found = func(f Finding) { found = append(found, f.Kind) }
	l, _ := mustOpen(t, o)
	h := newHistory()
	must(t, h.script(t, l))
	n := 0
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if n++; fail(n, at, op) {
			return syscall.EIO
		}
		return nil
	})
	failed := h.script(t, l)
	closed := l.Close()
	fsys.Fail(nil)
	if failed != nil && (!errors.Is(failed, ErrFailed) || !slices.Contains(found, Failed)) {
		t.Errorf("Done got %v, found was %v", failed, found)
	}
	if noSync {
		fsys.Kill()
	} else {
		fsys.Crash(crashfs.DropAll)
	}
	o.FS = fsys.Mount()
	l, r := mustOpen(t, o)
	if r.Forgetful() && (!noSync || !slices.Contains(found, Doubt)) {
		t.Errorf("after failures: %+v", r)
	}
	if slices.Contains(found, Doubt) && !slices.Contains(found, Failed) && closed == nil && !r.Forgetful() {
		t.Error("a sync of what was acknowledged failed, and the next start does not know")
	}
	if closed == nil && len(found) == 0 && !r.Clean {
		t.Errorf("closed without an error, and not clean: %+v", r)
	}
	h.check(t, l, h.acked)
	must(t, l.Close())
	if t.Failed() {
		t.Logf("failed at operation %d, found %v", at, found)
	}
	return n >= at
}

func TestWriteThatFailsIsDoneOnceMoreInANewFile(t *testing.T) {
	for _, op := range []crashfs.Op{crashfs.OpWrite, crashfs.OpSync} {
		t.Run(string(op), func(t *testing.T) {
			fsys := newDisk(t, 1)
			o := options(fsys.Mount())
			var found []Finding
			o.Found = func(f Finding) { found = append(found, f) }
			l, _ := mustOpen(t, o)
			mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 2, 10)})
			failing := true
			fsys.Fail(func(at crashfs.Op, _ string) error {
				if at == op && failing {
					failing = false
					return syscall.EIO
				}
				return nil
			})
			mustSave(t, l, &Update{Shard: 1, Entries: entries(3, 1, 2, 10)})
			if len(found) != 1 || found[0].Kind != Sealed || !errors.Is(found[0].Err, syscall.EIO) {
				t.Errorf("found %v", found)
			}
			fsys.Crash(crashfs.DropAll)
			o.FS = fsys.Mount()
			l, r := mustOpen(t, o)
			if r.Forgetful() || r.Torn != nil {
				t.Errorf("%+v", r)
			}
			wantEntries(t, "after power failed", all(t, l.Shard(1)), entries(1, 1, 4, 10))
			must(t, l.Close())
		})
	}
}

// What was acknowledged is in a file that somebody has removed: nothing more is, and the
// member counts as forgetful.
func TestRemovedFileEndsTheLog(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fsys := newDisk(t, 1)
			o := options(fsys.Mount())
			o.NoSync = noSync
			var found []FindingKind
			o.Found = func(f Finding) { found = append(found, f.Kind) }
			l, _ := mustOpen(t, o)
			mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 2, 10)})
			must(t, fsys.RemoveAll(testDir))
			time.Sleep(lookEvery) // without syncs it may be acknowledged as long
			if err := save(l, &Update{Shard: 1, Entries: entries(3, 1, 2, 10)}); !errors.Is(err, ErrFailed) || !errors.Is(err, vfs.ErrRemoved) {
				t.Errorf("saved to a removed file: %v", err)
			}
			if !slices.Equal(found, []FindingKind{Failed, Doubt}) {
				t.Errorf("found %v", found)
			}
			if err := l.Close(); err == nil {
				t.Error("closed as if all were there")
			}
		})
	}
}

func TestEachWriteMayFailOnce(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	for i := range uint64(10) {
		l.Flush()
		failing := true
		fsys.Fail(func(op crashfs.Op, _ string) error {
			if failing && op == crashfs.OpSync {
				failing = false
				return syscall.EIO
			}
			return nil
		})
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 10)})
	}
	fsys.Crash(crashfs.DropAll)
	l, _ = mustOpen(t, options(fsys.Mount()))
	wantEntries(t, "after power failed", all(t, l.Shard(1)), entries(1, 1, 10, 10))
	must(t, l.Close())
}

func TestSyncThatFailsTwiceEndsTheLogUntilItIsOpenedAgain(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 2, 10)})
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpSync {
			return syscall.EIO
		}
		return nil
	})
	for i := range uint64(3) {
		if err := save(l, &Update{Shard: 1, Entries: entries(3+i, 1, 1, 10)}); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("Done got %v", err)
		}
		fsys.Fail(nil) // it is of no use
	}
	if _, last := bounds(l.Shard(1)); last != 2 {
		t.Errorf("the log ends at %d", last)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: %v", err)
	}
	l, r := mustOpen(t, options(fsys.Mount())) // what the failed syncs left in memory seems to be there
	if r.Forgetful() || r.Clean {
		t.Errorf("%+v", r)
	}
	_, seen := bounds(l.Shard(1))
	fsys.Crash(crashfs.DropAll)
	l, _ = mustOpen(t, options(fsys.Mount()))
	if _, last := bounds(l.Shard(1)); last != seen {
		t.Errorf("a start found entries up to %d, and after power failed they end at %d", seen, last)
	}
	must(t, l.Close())
}

func TestUpdatesWaitForRoomOnAFullDisk(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	var found []FindingKind
	o.Found = func(f Finding) { found = append(found, f.Kind) }
	l, _ := mustOpen(t, o)
	l.Flush()
	fsys.Limit(fsys.Used())
	h := newHistory()
	var failed error
	for i := range uint64(40) {
		h.save(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 200), HardState: hard(1, 2, i)}, &failed)
		l.Flush()
	}
	if h.acked < 20 { // those that fit in the file in use, and the one that is prepared
		t.Errorf("%d were written", h.acked)
	}
	if h.acked == 40 || !slices.Equal(found, []FindingKind{NoRoom}) {
		t.Errorf("%d were written on a full disk, found %v", h.acked, found)
	}
	fsys.Limit(-1)
	l.Flush()
	if h.acked != 40 || failed != nil || !slices.Equal(found, []FindingKind{NoRoom, RoomAgain}) {
		t.Errorf("%d were written when there was room again, error %v, found %v", h.acked, failed, found)
	}
	fsys.Crash(crashfs.DropAll)
	o.FS = fsys.Mount()
	l, _ = mustOpen(t, o)
	h.check(t, l, 40)
	must(t, l.Close())
}

func TestFilesAreUsedAgainOnAFullDisk(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	for i := range uint64(100) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 200), HardState: hard(1, 2, i)})
		l.Compact(1, i)
		if i == 60 {
			fsys.Limit(fsys.Used())
		}
	}
	if n := len(fsys.Files()); n > 5 {
		t.Errorf("%d files", n)
	}
	must(t, l.Close())
}

func TestUpdateLargerThanAFileIsWritten(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 2, 100)})
	fsys.Limit(fsys.Used())
	large := entries(3, 1, 1, 5*minSegment)
	result := errors.New("waits")
	l.Save(&Update{Shard: 1, Entries: large, Done: func(err error) { result = err }})
	if l.Flush(); result == nil {
		t.Error("written without room")
	}
	fsys.Limit(-1)
	l.Flush()
	must(t, result)
	mustSave(t, l, &Update{Shard: 1, Entries: entries(4, 1, 30, 300)})
	fsys.Crash(crashfs.DropAll)
	l, r := mustOpen(t, options(fsys.Mount()))
	if r.Forgetful() || r.Torn != nil {
		t.Errorf("%+v", r)
	}
	wantEntries(t, "after power failed", all(t, l.Shard(1)), slices.Concat(entries(1, 1, 2, 100), large, entries(4, 1, 30, 300)))
	must(t, l.Close())
}

func TestNoDescriptorsPass(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpCreate || op == crashfs.OpOpen {
			return syscall.EMFILE
		}
		return nil
	})
	var results []error
	for i := range uint64(30) {
		l.Save(&Update{Shard: 1, Entries: entries(i+1, 1, 1, 300), Done: func(err error) { results = append(results, err) }})
		l.Flush()
	}
	if n := len(results); n == 0 || n == 30 {
		t.Errorf("%d were told", n)
	}
	fsys.Fail(nil)
	l.Flush()
	if len(results) != 30 || errors.Join(results...) != nil {
		t.Errorf("%d were told: %v", len(results), errors.Join(results...))
	}
	must(t, l.Close())
}

// A sync in the background that fails is known to the next start, also when the
// log is closed at the same time.
func TestSyncThatFailsInTheBackgroundIsNotClosedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newDisk(t, 1)
		o := options(fsys.Mount())
		o.Manual, o.NoSync = false, true
		var doubts atomic.Int32
		o.Found = func(f Finding) {
			if f.Kind == Doubt {
				doubts.Add(1)
			}
		}
		l, _ := mustOpen(t, o)
		synctest.Wait()
		failing := true
		fsys.Fail(func(op crashfs.Op, _ string) error {
			if op != crashfs.OpSync || !failing {
				return nil
			}
			failing = false
			time.Sleep(time.Second) // the log is closed meanwhile
			return syscall.EIO
		})
		for i := range uint64(15) { // two files
			l.Save(&Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v", err)
		}
		if doubts.Load() != 1 {
			t.Errorf("%d doubts were told", doubts.Load())
		}
		o.Manual, o.Boot = true, "tuesday"
		if _, r := mustOpen(t, o); r.Clean || r.Doubt == "" {
			t.Errorf("%+v", r)
		}
	})
}
