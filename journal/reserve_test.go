package journal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/vfs/crashfs"
	"qmq/state"
)

const spareSize = 16 << 10

func reserved(o *Options) { o.Reserve = spareSize }

// fullDisk is a journal with a complete reserve, on a disk that then was filled
// to the last byte.
func fullDisk(t *testing.T, adjust ...func(*Options)) (*crashfs.FS, *Journal, *testSource) {
	t.Helper()
	fsys := crashfs.New(1)
	j, _ := openJournal(t, fsys.Mount(), append(adjust, reserved)...)
	s := withChannel(t, j)
	synctest.Wait()
	if n := spares(fsys); n != spareFiles {
		t.Fatalf("%d spare files", n)
	}
	fsys.Limit(fsys.Used())
	return fsys, j, s
}

// everySecond is n numbers, each two above the one before.
func everySecond(first uint64, n int) (seqs []uint64) {
	for i := range uint64(n) {
		seqs = append(seqs, first+2*i)
	}
	return seqs
}

func spares(fsys *crashfs.FS) (n int) {
	for _, name := range names(fsys) {
		if strings.HasSuffix(name, spareSuffix) {
			n++
		}
	}
	return n
}

func TestJournalGoesOnInItsReserveWhileTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		fsys, j, s := fullDisk(t, h.option)
		must(t, j.Commit(createTopic(7, "seven")))
		must(t, j.Commit(state.Entry{Op: state.DeleteTopic, Topic: 7}))
		s.ack(100, 103)
		for i := range uint64(12) { // more than a file holds
			s.ack(everySecond(200+100_000*i, 1_500)...)
			must(t, j.Flush())
			synctest.Wait() // until a checkpoint has freed what it can
		}
		if err := h.err(t); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), testDir) {
			t.Errorf("health: %v", err)
		}
		fsys.Limit(-1)
		elapse(maxFillPause)
		must(t, h.err(t))
		if n := spares(fsys); n != spareFiles {
			t.Errorf("%d spare files when there was room again", n)
		}
		st := reopen(t, fsys, j)
		wantChannel(t, st, s)
		if st.State.Topics[7] != nil || st.Incomplete || st.LostBytes != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestJournalOpensOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, j, s := fullDisk(t)
		for range 5 { // more lives than spare files
			fsys.Kill()
			_ = j.Close() // its file system is gone
			var st *Found
			j, st = openJournal(t, fsys.Mount(), reserved)
			wantChannel(t, st, s)
			s = newTestSource(j, 1, 2, 100)
			s.version = st.State.Channel(1, 2).Version
			j.Attach(s)
			must(t, j.Commit(state.Entry{Op: state.PauseTopic, Topic: 1}))
			s.ack(100, 101)
			must(t, j.Flush())
			elapse(time.Minute + time.Second)
		}
		must(t, j.Close())
		j, st := openJournal(t, fsys, reserved)
		wantChannel(t, st, s)
		must(t, j.Close())
	})
}

func TestJournalWithoutReserveOpensOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys, s := writtenLog(t)
		fsys.Limit(0)
		var h health
		j, st := openJournal(t, fsys, h.option, reserved)
		wantChannel(t, st, s)
		if err := h.err(t); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("health: %v", err)
		}
		if err := j.Commit(createTopic(9, "t9")); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), testDir) {
			t.Errorf("commit: %v", err)
		}
		fsys.Limit(-1)
		elapse(2 * time.Second)
		must(t, h.err(t))
		must(t, j.Commit(createTopic(9, "t9")))
		must(t, j.Close())
	})
}

// A disk may stay full for long. Checkpoints then free what was used of the
// reserve, and nothing of it is given to others.
func TestJournalLivesInItsReserveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		fsys, j, s := fullDisk(t, h.option)
		seq := uint64(100)
		for i := range 400 {
			s.ack(everySecond(seq+1, 2500)...) // about 5 KB in the log
			must(t, j.Flush())
			synctest.Wait()
			seq += 5_001
			s.empty(seq)
			must(t, j.Flush())
			synctest.Wait()
			if i%10 == 0 {
				must(t, j.Commit(createTopic(1000+uint64(i), fmt.Sprint("t", i))))
				must(t, j.Commit(state.Entry{Op: state.DeleteTopic, Topic: 1000 + uint64(i)}))
			}
			elapse(500 * time.Millisecond)
			fsys.Limit(fsys.Used()) // others take what is free
		}
		if err := h.err(t); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("health: %v", err)
		}
		st := reopen(t, fsys, j)
		wantChannel(t, st, s)
		if len(st.State.Topics) != 1 || st.Incomplete || st.LostBytes != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

// When the reserve comes to its end, deletions go on longest, then all is
// refused, and nothing is forgotten that waits for room.
func TestEndOfTheReserveKeepsStateAndRefusesClearly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		fsys, j, s := fullDisk(t, h.option)
		far := everySecond(101, 50_000) // a state that no checkpoint has room for
		for len(far) > 0 {
			n := min(1000, len(far))
			s.ack(far[:n]...)
			far = far[n:]
			elapse(500 * time.Millisecond)
		}
		if got := len(s.calls()); got > 40 {
			t.Errorf("asked %d times", got)
		}
		must(t, j.Commit(state.Entry{Op: state.PauseTopic, Topic: 1}))
		var err error
		for range 5000 {
			if err = j.Commit(state.Entry{Op: state.PauseTopic, Topic: 1}); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), testDir) {
			t.Fatalf("got %v", err)
		}
		fsys.Limit(-1)
		elapse(maxFillPause)
		must(t, h.err(t))
		st := reopen(t, fsys, j)
		wantChannel(t, st, s)
		if st.Incomplete || st.LostBytes != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestSpareFilesAreZerosOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys.Mount(), reserved)
		for i := range 4 { // checkpoints whose files become spare ones again
			must(t, j.Commit(createTopic(10+uint64(i), fmt.Sprint("t", i))))
			elapse(time.Minute)
		}
		fsys.Crash(crashfs.DropAll)
		_ = j.Close() // its file system is gone
		for _, f := range fsys.Files() {
			if !strings.HasSuffix(f.Name, spareSuffix) {
				continue
			}
			b, err := fsys.ReadFile(f.Name)
			must(t, err)
			if len(b) != spareSize || usedEnd(b) != 0 {
				t.Errorf("%s: %d bytes, used up to %d", f.Name, len(b), usedEnd(b))
			}
		}
		j, st := openJournal(t, fsys, reserved)
		defer j.Close()
		if len(st.State.Topics) != 4 || st.Incomplete || st.LostBytes != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestSpareFilesGrowWithCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New(1)
		j, _ := openJournal(t, fsys, reserved)
		defer j.Close()
		s := withChannel(t, j)
		s.ack(everySecond(101, 100_000)...)
		elapse(2 * time.Minute)
		sizes := make(map[int64]int)
		for _, f := range fsys.Files() {
			if strings.HasSuffix(f.Name, spareSuffix) {
				sizes[f.Size]++
			}
		}
		if len(sizes) != 1 || sizes[maxSpareFactor*spareSize] != spareFiles {
			t.Errorf("spare files by size: %v", sizes)
		}
	})
}
