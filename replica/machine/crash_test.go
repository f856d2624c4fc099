package machine

import (
	"errors"
	"testing"

	"qmq/internal/vfs/crashfs"
)

var crashes = map[string]func(*crashfs.FS){
	"power, nothing kept": func(c *crashfs.FS) { c.Crash(crashfs.DropAll) },
	"power, some kept":    func(c *crashfs.FS) { c.Crash(crashfs.Random) },
	"killed":              (*crashfs.FS).Kill,
}

// Wherever it stops, and however often, what is applied again leads where it leads
// without any stop.
func TestStopAtAnyOperationIsMadeGoodByApplyingAgain(t *testing.T) {
	for seed := range uint64(3) {
		h := newHistory(t, seed, 150)
		disk := newDisk(seed)
		all := countOperations(disk)
		must(t, h.applyAll(open(t, disk), 11))
		for name, crash := range crashes {
			for at := int(seed % 3); at < *all; at += 3 { // each of the three histories takes a third of the moments
				disk := newDisk(seed + uint64(at))
				stopAt(disk, at, crash)
				runUntilStopped(t, disk, h)
				stopAt(disk, at/2, crash) // and once more, also within the start
				runUntilStopped(t, disk, h)
				disk.Fail(nil)
				m := open(t, disk)
				if err := h.applyAll(m, 17); err != nil {
					t.Fatalf("seed %d, %s at operation %d: %v", seed, name, at, err)
				}
				same(t, m, h.m)
				if missing := m.Missing(); len(missing) > 0 {
					t.Fatalf("seed %d, %s at operation %d: %+v are missing", seed, name, at, missing)
				}
				must(t, m.Close())
			}
		}
	}
}

// stopAt has the n-th operation from now on not happen, and the machine stop there.
func stopAt(disk *crashfs.FS, n int, crash func(*crashfs.FS)) {
	disk.Fail(func(crashfs.Op, string) error {
		if n--; n == -1 {
			crash(disk)
		}
		return nil
	})
}

// runUntilStopped opens a machine and applies what it can.
func runUntilStopped(t *testing.T, disk *crashfs.FS, h *history) {
	t.Helper()
	m, err := tryOpen(disk)
	if err == nil {
		err = h.applyAll(m, 11)
	}
	if errors.Is(err, ErrNoCheckpoint) {
		t.Fatal(err)
	}
	disk.Kill() // if it was not stopped: nothing of the process is left
}

// A full disk, and one that fails now and then, stop nothing for good.
func TestErrorsOfTheDiskOnlyDelay(t *testing.T) {
	for seed := range uint64(20) {
		h := newHistory(t, seed, 80)
		disk := newDisk(seed)
		m := open(t, disk)
		n := 0
		disk.Fail(func(op crashfs.Op, name string) error {
			if n++; n%7 == int(seed%7) && op != crashfs.OpSync && op != crashfs.OpSyncDir {
				return errFailing
			}
			return nil
		})
		tries := 0
		for {
			err := h.applyAll(m, 11)
			if err == nil {
				break
			}
			if tries++; tries > 10_000 {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		disk.Fail(nil)
		_, err := m.Checkpoint()
		must(t, err)
		same(t, m, h.m)
		disk.Crash(crashfs.DropAll)
		m = open(t, disk)
		if index, _ := m.Applied(); int(index) != len(h.entries) {
			t.Fatalf("seed %d: opened at %d", seed, index)
		}
		same(t, m, h.m)
	}
}

var errFailing = errors.New("the disk fails")

func TestFailedSyncIsMadeGoodByOpeningAnew(t *testing.T) {
	h := newHistory(t, 5, 60)
	disk := newDisk(5)
	m := open(t, disk)
	must(t, h.applyAll(m, 30))
	failed := false
	disk.Fail(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && !failed && len(name) > 4 && name[len(name)-4:] == ".seg" {
			failed = true
			return errFailing
		}
		return nil
	})
	more := newHistory(t, 5, 70)
	must(t, more.applyAll(m, 1000))
	if _, err := m.Checkpoint(); !errors.Is(err, ErrSyncFailed) || !failed {
		t.Fatal(err)
	}
	if _, err := m.Checkpoint(); !errors.Is(err, ErrSyncFailed) {
		t.Fatalf("a second try: %v", err)
	}
	_ = m.Close() // with the same error
	m = open(t, disk)
	if index, _ := m.Applied(); index != 60 {
		t.Fatalf("opened at %d", index)
	}
	must(t, more.applyAll(m, 70))
	disk.Crash(crashfs.DropAll)
	m = open(t, disk)
	same(t, m, more.m)
}
