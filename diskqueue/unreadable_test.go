package diskqueue

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/seqset"
	"qmq/internal/vfs/crashfs"
)

// sector is where a bad sector lies in the segment of the damage table: in the
// middle of message 5, so that a block is bad that begins before message 0.
const (
	sectorAt   = 3 * mediumBlock
	sectorBody = 1000
	longCount  = 30
)

func longAt(i int) int64 { return segmentHead + int64(i*encodedSize(sectorBody)) }

// writeLong writes a segment of longCount messages and one behind it.
func writeLong(t *testing.T, n *node, sealed bool) (first uint64, path string) {
	t.Helper()
	n.log.SegmentBytes = 1 << 20
	l, _ := n.open(t)
	first = l.End()
	for i := range longCount {
		mustAppend(t, l, single(bodyOf(i, sectorBody)))
	}
	path = l.active.path
	l.roll(l.active)
	mustAppend(t, l, single(bodyOf(longCount, sectorBody)))
	if sealed {
		mustClose(t, l)
	} else {
		l.Discard()
	}
	return first, path
}

// within lists the messages of writeLong that lie in part between two offsets.
func within(from, to int64) (list []int) {
	for i := range longCount {
		if longAt(i) < to && from < longAt(i+1) {
			list = append(list, i)
		}
	}
	return list
}

// outcomes reads all messages of writeLong and says which are lost for good and
// which cannot be read now.
func outcomes(t *testing.T, l *Log, first uint64) (lost, unread []int) {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	for i := range longCount + 1 {
		seq := first + uint64(i)
		v, err := r.Read(seq)
		var damaged *DamageError
		var unreadable *UnreadableError
		switch {
		case errors.As(err, &damaged):
			if seq < damaged.From || seq >= damaged.To {
				t.Errorf("message %d: %v", i, err)
			}
			lost = append(lost, i)
		case errors.As(err, &unreadable):
			if !unreadable.Holds(seq) || !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOENT) {
				t.Errorf("message %d: %v", i, err)
			}
			unread = append(unread, i)
		case err != nil:
			t.Errorf("message %d: %v", i, err)
		case string(v.Body) != string(bodyOf(i, sectorBody)):
			t.Errorf("message %d is %.20q", i, v.Body)
		}
	}
	return lost, unread
}

// notes collects what reads find.
func (n *node) notes() *[]Finding {
	var found []Finding
	n.log.Found = func(f Finding) { found = append(found, f) }
	return &found
}

func TestBadSectorIsSkippedAtOnceAndGivenUpInTime(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for at := int64(segmentHead); at < longAt(longCount); at += 7 * 512 {
			synctest.Test(t, func(t *testing.T) { testBadSector(t, at, sealed) })
		}
	}
}

func testBadSector(t *testing.T, at int64, sealed bool) {
	fs := newCrash(1)
	n := newNode(fs).cold()
	found := n.notes()
	first, path := writeLong(t, n, sealed)
	if err := fs.BadSectors(path, at, at+512); err != nil {
		t.Fatal(err)
	}
	n.log.Known, n.log.KnownEnd = true, first+longCount+1
	l, rec := n.open(t)
	if rec.Lost() > 0 {
		t.Fatalf("given up at the start: %+v", rec)
	}
	// All that lies in a block with the bad sector in it, and no more.
	block := at - at%mediumBlock
	want := within(block, block+mediumBlock)
	if at%mediumBlock > mediumBlock-512 {
		want = within(block, block+2*mediumBlock)
	}
	lost, unread := outcomes(t, l, first)
	if got := slices.Concat(lost, unread); !slices.Equal(got, want) {
		t.Fatalf("bad sector at %d: %v cannot be read, want %v", at, got, want)
	}
	until := time.Now().Add(defaultReadTimeout + 5*time.Second)
	for time.Now().Before(until) {
		time.Sleep(5 * time.Second)
		lost, unread = outcomes(t, l, first)
	}
	if !slices.Equal(lost, want) || len(unread) > 0 {
		t.Errorf("bad sector at %d: %v are lost and %v not yet, want %v", at, lost, unread, want)
	}
	total := rec.Lost()
	for _, f := range *found {
		total += f.Lost
		if f.Kind != Unreadable || f.Path != path || f.Copy == "" || !errors.Is(f.Err, syscall.EIO) {
			t.Errorf("found %+v", f)
		}
	}
	if total != uint64(len(want)) {
		t.Errorf("%d messages are counted, want %d", total, len(want))
	}
	wantOwned(t, l)
	mustClose(t, l)
}

func TestWhatCanBeReadAgainInTimeIsNotLost(t *testing.T) {
	for _, fail := range []struct {
		name       string
		spoil, fix func(*crashfs.FS, string)
	}{
		{"bad sector", func(fs *crashfs.FS, path string) { fs.BadSectors(path, sectorAt, sectorAt+1) },
			func(fs *crashfs.FS, path string) { fs.BadSectors(path, 0, 0) }},
		{"nothing can be read", func(fs *crashfs.FS, _ string) { failNext(fs, 1<<30, crashfs.OpRead) },
			func(fs *crashfs.FS, _ string) { fs.Fail(nil) }},
		{"nothing can be opened", func(fs *crashfs.FS, _ string) { failNext(fs, 1<<30, crashfs.OpOpen) },
			func(fs *crashfs.FS, _ string) { fs.Fail(nil) }},
	} {
		t.Run(fail.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs).cold()
				n.shared.OpenFiles = 1
				found := n.notes()
				first, path := writeLong(t, n, true)
				l, _ := n.open(t)
				fail.spoil(fs, path)
				limit := defaultReadTimeout
				if fail.name != "bad sector" {
					limit *= 3 // a device that is gone is waited for longer
				}
				for start := time.Now(); time.Since(start) < limit; time.Sleep(4 * time.Second) {
					if lost, unread := outcomes(t, l, first); len(lost) > 0 || len(unread) == 0 {
						t.Fatalf("after %v %v are lost, %v not yet", time.Since(start), lost, unread)
					}
				}
				fail.fix(fs, path)
				if lost, unread := outcomes(t, l, first); len(lost)+len(unread)+len(*found) > 0 {
					t.Errorf("%v are lost, %v not yet, found %v", lost, unread, *found)
				}
				mustClose(t, l)
			})
		})
	}
}

func TestSegmentThatGoesAwayWhileItIsInUseIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrash(1)
		n := newNode(fs).cold()
		found := n.notes()
		first, path := writeLong(t, n, true)
		l, _ := n.open(t)
		if err := fs.Remove(path); err != nil {
			t.Fatal(err)
		}
		var lost, unread []int
		for range 10 {
			lost, unread = outcomes(t, l, first)
			time.Sleep(4 * time.Second)
		}
		if len(lost) != longCount || len(unread) > 0 {
			t.Errorf("%v are lost, %v not yet", lost, unread)
		}
		if f := *found; len(f) != 1 || f[0].Kind != Missing || f[0].Lost != longCount || f[0].Path != path {
			t.Errorf("found %+v", f)
		}
		mustClose(t, l)
	})
}

// What the medium does not give when a log is opened stops neither it nor what
// can be read.
func TestUnreadablePartsDoNotKeepALogFromOpening(t *testing.T) {
	index := func(path string) string { return strings.TrimSuffix(path, segmentSuffix) + indexSuffix }
	bad := func(from, to int64) func(*crashfs.FS, string) {
		return func(fs *crashfs.FS, path string) { fs.BadSectors(path, from, to) }
	}
	noOpen := func(names ...string) func(*crashfs.FS, string) {
		return func(fs *crashfs.FS, path string) {
			fs.Fail(func(op crashfs.Op, name string) error {
				if op == crashfs.OpOpen && (name == path || slices.Contains(names, "index") && name == index(path)) {
					return &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
				}
				return nil
			})
		}
	}
	all := make([]int, longCount)
	for i := range all {
		all[i] = i
	}
	for _, c := range []struct {
		name         string
		damage       func(*crashfs.FS, string)
		open, sealed []int // cannot be read, or are lost
		kind         FindingKind
	}{
		{"first header", bad(0, 512), nil, nil, HeaderDamaged},
		{"second header", bad(secondHeader, 2*secondHeader), within(4096, 8192), within(4096, 8192), HeaderDamaged},
		{"both headers", bad(0, 2*secondHeader), all, within(4096, 8192), ""},
		{"index", func(fs *crashfs.FS, path string) { fs.BadSectors(index(path), 0, 10) }, nil, nil, ""},
		{"records", bad(sectorAt, sectorAt+mediumBlock), within(sectorAt, sectorAt+mediumBlock), within(sectorAt, sectorAt+mediumBlock), ""},
		{"the last records", bad(longAt(25), longAt(30)), within(longAt(25)-longAt(25)%mediumBlock, longAt(30)), within(longAt(25)-longAt(25)%mediumBlock, longAt(30)), ""},
		{"all", bad(0, 1<<30), all, all, ""},
		{"the file", noOpen(), all, all, ""},
		{"the file and its index", noOpen("index"), all, all, ""},
	} {
		for _, sealed := range []bool{false, true} {
			t.Run(c.name+map[bool]string{false: "", true: ", sealed"}[sealed], func(t *testing.T) {
				fs := newCrash(1)
				n := newNode(fs).cold()
				first, path := writeLong(t, n, sealed)
				n.log.Known, n.log.Start, n.log.KnownEnd, n.log.SameBoot = true, first, first+longCount+1, true
				c.damage(fs, path)
				l, rec := n.open(t)
				want := c.open
				if sealed {
					want = c.sealed
				}
				lost, unread := outcomesOfOpen(t, l, first)
				if got := slices.Concat(lost, unread); !slices.Equal(got, want) {
					t.Errorf("%v are lost and %v cannot be read now, want %v", lost, unread, want)
				}
				if rec.Lost() != uint64(len(lost)) {
					t.Errorf("%d messages are counted, want %d: %+v", rec.Lost(), len(lost), rec.Findings)
				}
				for _, f := range rec.Findings {
					if f.Path != path || c.kind != "" && f.Kind != c.kind && f.Kind != Unreadable {
						t.Errorf("found %+v", f)
					}
				}
				mustAppend(t, l, single(bodyOf(99, 10)))
				l.Discard()
				// When the medium gives it again, everything is there.
				fs.Fail(nil)
				for _, p := range []string{path, index(path)} {
					fs.BadSectors(p, 0, 0)
				}
				n.log.GivenUp = []seqset.Range{}
				l, rec = n.open(t)
				if lost, unread := outcomesOfOpen(t, l, first); len(lost)+len(unread)+len(rec.Findings) > 0 {
					t.Errorf("afterwards %v are lost and %v cannot be read: %+v", lost, unread, rec.Findings)
				}
				mustClose(t, l)
			})
		}
	}
}

// outcomesOfOpen is outcomes where lost numbers may be in no segment.
func outcomesOfOpen(t *testing.T, l *Log, first uint64) (lost, unread []int) {
	t.Helper()
	r := l.NewReader()
	defer r.Release()
	for i := range longCount + 1 {
		_, err := r.Read(first + uint64(i))
		var unreadable *UnreadableError
		switch {
		case errors.Is(err, ErrNotFound):
			if !isVoid(l, first+uint64(i)) {
				t.Errorf("message %d is in no segment and not void", i)
			}
			lost = append(lost, i)
		case errors.As(err, &unreadable):
			unread = append(unread, i)
		case err != nil:
			t.Errorf("message %d: %v", i, err)
		}
	}
	return lost, unread
}

func TestLackOfDescriptorsIsNeverTakenForABadMedium(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newCrash(1)
		n := newNode(fs).cold()
		n.shared.OpenFiles = 1
		first, _ := writeLong(t, n, true)
		l, _ := n.open(t)
		fs.Fail(func(op crashfs.Op, _ string) error {
			if op == crashfs.OpOpen {
				return syscall.EMFILE
			}
			return nil
		})
		r := l.NewReader()
		for range 100 {
			var damaged *DamageError
			var unreadable *UnreadableError
			if _, err := r.Read(first); !errors.Is(err, syscall.EMFILE) || errors.As(err, &damaged) || errors.As(err, &unreadable) {
				t.Fatalf("Read: %v", err)
			}
			time.Sleep(5 * time.Second)
		}
		fs.Fail(nil)
		wantBody(t, r, first, bodyOf(0, sectorBody))
		r.Release()
		mustClose(t, l)
	})
}
