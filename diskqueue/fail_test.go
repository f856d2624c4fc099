package diskqueue

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"qmq/internal/vfs/crashfs"
)

// failNext lets the next operations of some kinds fail, times of them.
func failNext(fs *crashfs.FS, times int, ops ...crashfs.Op) {
	fs.Fail(func(op crashfs.Op, _ string) error {
		for _, o := range ops {
			if o == op && times > 0 {
				times--
				return syscall.EIO
			}
		}
		return nil
	})
}

func wantNothingFrom(t *testing.T, l *Log, seq uint64) {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	if l.End() != seq {
		t.Errorf("the log ends at %d, want %d", l.End(), seq)
	}
	for i := range uint64(6) {
		if v, err := r.Read(seq + i); !errors.Is(err, ErrNotFound) {
			t.Errorf("message %d is %.20q, %v", seq+i, v.Body, err)
		}
	}
}

// However little room is left, a batch that does not fit leaves nothing.
func TestFullDiskTakesNothingOfABatchAndGoesOnWhenThereIsRoom(t *testing.T) {
	for _, hot := range []int{0, 100} {
		for room := int64(0); room < 700; room += 23 {
			fs := newCrash(uint64(room))
			n := newNode(fs)
			n.log.HotMessages = hot
			l, _ := n.open(t)
			mustAppend(t, l, single(bodyOf(0, 100)))
			end := l.End()
			fs.Limit(fs.Used() + room)
			if _, err := l.Append([]*Batch{single(bodyOf(1, 300)), multi(bodyOf(2, 200), bodyOf(3, 200))}); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("with %d bytes left: %v", room, err)
			}
			wantNothingFrom(t, l, end)
			fs.Limit(-1)
			if room%2 == 0 { // or it is only found by the next start
				if done := mustAppend(t, l, single(bodyOf(4, 50))); done.First != end {
					t.Errorf("goes on with %d, want %d", done.First, end)
				}
				r := l.NewReader()
				wantBody(t, r, end, bodyOf(4, 50))
				r.Release()
			}
			wantOwned(t, l)
			fs.Kill()
			l, rec := n.open(t)
			if rec.TornBytes != 0 || len(rec.Findings) != 0 {
				t.Errorf("after a restart: %+v", rec)
			}
			got := bodies(contents(t, l), end-1, end+10)
			if room%2 == 0 && (len(got) != 2 || got[1] != string(bodyOf(4, 50))) || room%2 == 1 && len(got) != 1 {
				t.Errorf("with %d bytes left came back %.30q", room, got)
			}
			mustClose(t, l)
		}
	}
}

func TestFullDiskThatTakesNoNewSegment(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	l, _ := n.open(t)
	end := l.End()
	for _, room := range []int64{0, 10, 63, 64, 80} {
		fs.Limit(fs.Used() + room)
		if _, err := l.Append([]*Batch{single(bodyOf(1, 300))}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("with %d bytes left: %v", room, err)
		}
		wantNothingFrom(t, l, end)
		if err := l.Probe(1000); err == nil {
			t.Error("Probe finds room")
		}
		fs.Limit(-1)
	}
	if err := l.Probe(1000); err != nil {
		t.Error(err)
	}
	if done := mustAppend(t, l, single(bodyOf(1, 300))); done.First != end {
		t.Errorf("goes on with %d, want %d", done.First, end)
	}
	mustClose(t, l)
	for _, f := range fs.Files() {
		if strings.Contains(f.Name, "probe") {
			t.Errorf("%s is left over", f.Name)
		}
	}
}

func TestFailedWriteWhoseCutBackFailsTooLeavesNothing(t *testing.T) {
	for _, before := range []int{0, 3} {
		fs := newCrash(7)
		n := newNode(fs).cold()
		l, _ := n.open(t)
		for i := range before {
			mustAppend(t, l, single(bodyOf(i, 100)))
		}
		end := l.End()
		failed := multi(bodyOf(10, 100), bodyOf(11, 100), bodyOf(12, 100))
		if before == 0 { // the header is written first
			mustAppend(t, l, single(bodyOf(0, 1)))
			end = l.End()
		}
		fs.Fail(func(op crashfs.Op, _ string) error {
			if op == crashfs.OpWrite || op == crashfs.OpTruncate {
				return syscall.EIO
			}
			return nil
		})
		if _, err := l.Append([]*Batch{failed}); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Append: %v", err)
		}
		wantNothingFrom(t, l, end)
		fs.Fail(nil)
		for i := range 4 {
			if done := mustAppend(t, l, single(bodyOf(20+i, 30))); done.First != end+uint64(i) {
				t.Fatalf("goes on with %d, want %d", done.First, end+uint64(i))
			}
		}
		check := func(l *Log) {
			t.Helper()
			r := l.NewReader()
			defer r.Release()
			for i := range 4 {
				wantBody(t, r, end+uint64(i), bodyOf(20+i, 30))
			}
		}
		check(l)
		fs.Kill()
		l, _ = n.open(t)
		check(l)
		wantOwned(t, l)
		mustClose(t, l)
	}
}

// What is left of a batch behind a shorter one that took its place is not read.
func TestRestOfAFailedBatchDoesNotPassForWhatFollows(t *testing.T) {
	for chance := range uint64(30) {
		fs := newCrash(chance)
		n := newNode(fs)
		l, _ := n.open(t)
		mustAppend(t, l, single(bodyOf(0, 100)))
		failNext(fs, 2, crashfs.OpWrite, crashfs.OpTruncate)
		if _, err := l.Append([]*Batch{single(bodyOf(1, 100), bodyOf(2, 100), bodyOf(3, 100))}); err == nil {
			t.Fatal("Append succeeds")
		}
		done := mustAppend(t, l, single(bodyOf(4, 100)))
		fs.Kill()
		l, _ = n.open(t)
		if found := contents(t, l); len(found) != 2 || found[done.First] != string(bodyOf(4, 100)) {
			t.Errorf("chance %d: %d messages came back", chance, len(found))
		}
		mustClose(t, l)
	}
}

// Creating a segment fails at each of its steps in turn.
func TestNextSegmentThatCannotBeMadeIsMadeLater(t *testing.T) {
	for _, recycling := range []bool{false, true} {
		for step := range 6 {
			t.Run(fmt.Sprintf("recycling=%v/%d", recycling, step), func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs)
				l, _ := n.open(t)
				for i := range 100 {
					mustAppend(t, l, single(bodyOf(i, 100)))
				}
				if recycling {
					l.Reclaim(l.ReclaimAt())
				}
				l.roll(l.active)
				end, ops := l.End(), 0
				fs.Fail(func(op crashfs.Op, _ string) error {
					if ops++; ops > step && op != crashfs.OpRemove {
						return syscall.EIO
					}
					return nil
				})
				_, err := l.Append([]*Batch{single(bodyOf(1, 100))})
				fs.Fail(nil)
				if err != nil {
					wantNothingFrom(t, l, end)
					mustAppend(t, l, single(bodyOf(1, 100)))
				}
				r := l.NewReader()
				wantBody(t, r, end, bodyOf(1, 100))
				wantBody(t, r, end-1, bodyOf(99, 100))
				r.Release()
				fs.Kill()
				l, rec := n.open(t)
				if len(rec.Findings) != 0 {
					t.Errorf("got %+v", rec)
				}
				wantBody(t, l.NewReader(), end, bodyOf(1, 100))
				mustClose(t, l)
			})
		}
	}
}

func TestAfterAFailedSyncTheLogGoesOnInAnotherSegment(t *testing.T) {
	fs := newCrash(3)
	n := newNode(fs).cold()
	n.log.SegmentBytes = 1 << 20
	l, _ := n.open(t)
	first := l.End()
	mustAppend(t, l, single(bodyOf(0, 100)))
	failNext(fs, 1, crashfs.OpSync)
	var failed *SyncError
	if _, err := l.Sync(); !errors.As(err, &failed) || failed.Path != segmentPath(testDir, first) {
		t.Fatalf("Sync: %v", err)
	}
	mustAppend(t, l, single(bodyOf(1, 100)))
	if end, err := l.Sync(); err != nil || end > first {
		t.Errorf("Sync = %d, %v: what was before is not known to survive", end, err)
	}
	r := l.NewReader()
	wantBody(t, r, first, bodyOf(0, 100))
	wantBody(t, r, first+1, bodyOf(1, 100))
	r.Release()
	fs.Crash(crashfs.DropAll)
	l, _ = n.open(t)
	wantBody(t, l.NewReader(), first+1, bodyOf(1, 100))
	mustClose(t, l)
}

func TestCloseSyncsWhatItCanWhenASegmentFails(t *testing.T) {
	fs := newCrash(3)
	n := newNode(fs).cold()
	l, _ := n.open(t)
	for i := range 100 {
		mustAppend(t, l, single(bodyOf(i, 100)))
	}
	last := l.End() - 1
	failNext(fs, 1, crashfs.OpSync)
	var failed *SyncError
	if err := l.Close(); !errors.As(err, &failed) {
		t.Errorf("Close: %v", err)
	}
	wantFilesOpen(t, l, 0)
	fs.Crash(crashfs.DropAll)
	l, _ = n.open(t)
	wantBody(t, l.NewReader(), last, bodyOf(99, 100))
	mustClose(t, l)
}

func TestSyncDoesNotWaitForWhatIsAppendedMeanwhile(t *testing.T) {
	fs := newCrash(1)
	l, _ := newNode(fs).open(t)
	mustAppend(t, l, single(bodyOf(0, 100)))
	end, syncs := l.End(), 0
	fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpSync && syncs < 50 {
			syncs++
			mustAppend(t, l, single(bodyOf(syncs, 100)))
		}
		return nil
	})
	if got, err := l.Sync(); err != nil || got < end || syncs != 1 {
		t.Errorf("Sync = %d, %v with %d syncs, want %d", got, err, syncs, end)
	}
}

// The channels may be done with a segment while it is written or synced.
func TestSegmentReclaimedWhileItIsSyncedIsNoError(t *testing.T) {
	for _, op := range []crashfs.Op{crashfs.OpSync, crashfs.OpSyncDir, crashfs.OpCreate, crashfs.OpWrite} {
		fs := newCrash(1)
		n := newNode(fs)
		l, _ := n.open(t)
		for i := range 100 {
			mustAppend(t, l, single(bodyOf(i, 100)))
		}
		fs.Fail(func(o crashfs.Op, _ string) error {
			if o == op {
				l.Reclaim(l.End())
			}
			return nil
		})
		if _, err := l.Sync(); err != nil {
			t.Errorf("reclaimed at %s: %v", op, err)
		}
		fs.Fail(nil)
		wantOwned(t, l)
		kept := l.list()[0].indexPath()
		mustClose(t, l)
		for _, f := range fs.Files() {
			if strings.HasSuffix(f.Name, indexSuffix) && f.Name != kept {
				t.Errorf("reclaimed at %s: %s is left over", op, f.Name)
			}
		}
	}
}

func TestSegmentBeingWrittenIsNotReclaimedWhenItsSyncFailed(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	l, _ := n.open(t)
	mustAppend(t, l, single(bodyOf(0, 100)))
	writing := false
	fs.Fail(func(op crashfs.Op, _ string) error {
		switch {
		case op == crashfs.OpWrite && !writing:
			writing = true // the syncer and a channel come in between
			if _, err := l.Sync(); err == nil {
				t.Error("Sync succeeds")
			}
			l.Reclaim(l.End())
		case op == crashfs.OpSync:
			return syscall.EIO
		}
		return nil
	})
	done := mustAppend(t, l, single(bodyOf(1, 100)))
	fs.Fail(nil)
	wantBody(t, l.NewReader(), done.First, bodyOf(1, 100))
}

// A read error may pass: it is no damage.
func TestFailedReadIsNotDamage(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	l, _ := n.open(t)
	done := mustAppend(t, l, single(bodyOf(0, 100)))
	r := l.NewReader()
	for _, op := range []crashfs.Op{crashfs.OpRead, crashfs.OpOpen} {
		l.shared.files.forgetIdle(l.active)
		failNext(fs, 1000, op)
		var damaged *DamageError
		if _, err := r.Read(done.First); !errors.Is(err, syscall.EIO) || errors.As(err, &damaged) {
			t.Errorf("%s fails: %v", op, err)
		}
		fs.Fail(nil)
	}
	wantBody(t, r, done.First, bodyOf(0, 100))
	r.Release()
	wantOwned(t, l)
	mustClose(t, l)
}

// forgetIdle closes the file of s, as eviction does.
func (c *fileCache) forgetIdle(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := s.handle; h != nil {
		c.takeOut(h)
		h.File.Close()
	}
}

func TestOpenThatFailsLeavesNoFileOpen(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	writeDamageLog(t, n, true, false)
	for at := 1; ; at++ {
		ops := 0
		fs.Fail(func(op crashfs.Op, _ string) error {
			if ops++; ops == at {
				return syscall.EIO
			}
			return nil
		})
		shared := NewShared(n.shared)
		l, _, err := Open(shared, n.log)
		if err == nil {
			if l.Discard(); ops < at {
				return
			}
		}
		if shared.files.open != 0 {
			t.Errorf("operation %d fails: %d files are open", at, shared.files.open)
		}
	}
}

// Who reads of an error wants to know the segment, not which file it was made of.
func TestErrorsNameTheSegmentAndNotTheFileThatItWasMadeOf(t *testing.T) {
	for _, op := range []crashfs.Op{crashfs.OpWrite, crashfs.OpSync, crashfs.OpRead} {
		fs := newCrash(1)
		n := newNode(fs).cold()
		l, _ := n.open(t)
		for i := range 100 {
			mustAppend(t, l, single(bodyOf(i, 100)))
		}
		mustSync(t, l)
		l.Reclaim(l.ReclaimAt())
		l.roll(l.active)
		var made string // of the recycled file
		fs.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpRename {
				made = name
			}
			return nil
		})
		seq := mustAppend(t, l, single(bodyOf(1, 100))).First
		if made == "" {
			t.Fatal("no file was used again")
		}
		fs.Fail(func(o crashfs.Op, name string) error {
			if o == op {
				return &os.PathError{Op: string(op), Path: name, Err: syscall.EIO}
			}
			return nil
		})
		var err error
		switch op {
		case crashfs.OpWrite:
			_, err = l.Append([]*Batch{single(bodyOf(2, 100))})
		case crashfs.OpSync:
			_, err = l.Sync()
		case crashfs.OpRead:
			_, err = l.NewReader().Read(seq)
		}
		if !errors.Is(err, syscall.EIO) || strings.Contains(err.Error(), made) || strings.Count(err.Error(), segmentPath(testDir, seq)) != 1 {
			t.Errorf("%s fails: %v", op, err)
		}
		fs.Fail(nil)
		l.Discard()
	}
}

func TestLogsGoOnWithoutFilesToUseAgain(t *testing.T) {
	fs := newCrash(1)
	n := newNode(fs)
	fs.Fail(func(op crashfs.Op, name string) error {
		if strings.HasPrefix(name, n.shared.RecycleDir) {
			return syscall.EIO
		}
		return nil
	})
	l, _ := n.open(t)
	for i := range 100 {
		mustAppend(t, l, single(bodyOf(i, 100)))
	}
	l.Reclaim(l.ReclaimAt())
	mustSync(t, l)
	mustClose(t, l)
}
