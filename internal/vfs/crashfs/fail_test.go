package crashfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"qmq/internal/vfs/crashfs"
)

var errHook = errors.New("hook says no")

// failing is a hook that fails one kind of operation.
func failing(op crashfs.Op) func(crashfs.Op, string) error {
	return func(asked crashfs.Op, _ string) error {
		if asked == op {
			return errHook
		}
		return nil
	}
}

func TestHookFailsEachOperationWithoutEffect(t *testing.T) {
	ops := []crashfs.Op{
		crashfs.OpCreate, crashfs.OpOpen, crashfs.OpRead, crashfs.OpTruncate, crashfs.OpRename,
		crashfs.OpRemove, crashfs.OpMkdir, crashfs.OpReadDir, crashfs.OpSyncDir, crashfs.OpLock,
	}
	for _, op := range ops {
		t.Run(string(op), func(t *testing.T) {
			c := crashfs.New(1)
			f := synced(t, c, "/d/f", "abc")
			c.Fail(failing(op))
			var err error
			switch op {
			case crashfs.OpCreate:
				_, err = c.Create("/d/g")
			case crashfs.OpOpen:
				_, err = c.Open("/d/f")
			case crashfs.OpRead:
				_, err = f.ReadAt(make([]byte, 1), 0)
			case crashfs.OpTruncate:
				err = f.Truncate(0)
			case crashfs.OpRename:
				err = c.Rename("/d/f", "/d/g")
			case crashfs.OpRemove:
				err = c.RemoveAll("/d")
			case crashfs.OpMkdir:
				err = c.MkdirAll("/e")
			case crashfs.OpReadDir:
				_, err = c.ReadDir("/d")
			case crashfs.OpSyncDir:
				err = c.SyncDir("/d")
			case crashfs.OpLock:
				_, err = c.Lock("/d")
			}
			wantErr(t, string(op), err, errHook)
			wantFiles(t, c, "/d/f")
			wantFile(t, c, "/d/f", "abc")
			c.Fail(nil)
			_, err = c.Lock("/d")
			must(t, err)
			_, err = c.ReadDir("/e")
			wantErr(t, "/e", err, fs.ErrNotExist)
		})
	}
}

func TestFailedSyncDirSavesNothing(t *testing.T) {
	c := crashfs.New(1)
	create(t, c, "/f")
	c.Fail(failing(crashfs.OpSyncDir))
	wantErr(t, "SyncDir", c.SyncDir("/"), errHook)
	c.Crash(crashfs.DropAll)
	wantFiles(t, c)
}

func TestHookHearsOperationAndName(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/d/e/f", nil))
	var heard []string
	c.Fail(func(op crashfs.Op, name string) error {
		heard = append(heard, string(op)+" "+name)
		return nil
	})
	f := create(t, c, "/d/g")
	write(t, f, "x", 0)
	must(t, f.Sync())
	must(t, c.Rename("/d/g", "/d/h"))
	must(t, c.RemoveAll("/d/e"))
	want := "[create /d/g write /d/g sync /d/g rename /d/g remove /d/e/f remove /d/e]"
	if got := fmt.Sprint(heard); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

func TestFailedWriteLeavesAPrefix(t *testing.T) {
	lengths := make(map[int]bool)
	for seed := range uint64(100) {
		c := crashfs.New(seed)
		f := synced(t, c, "/f", "")
		c.Fail(failing(crashfs.OpWrite))
		n, err := f.WriteAt([]byte("abcd"), 0)
		wantErr(t, "WriteAt", err, errHook)
		wantFile(t, c, "/f", "abcd"[:n])
		lengths[n] = true
	}
	if len(lengths) != 4 || lengths[4] {
		t.Errorf("prefixes of lengths %v, want 0 to 3", lengths)
	}
}

func TestFailedSyncCannotBeRetried(t *testing.T) {
	for _, mode := range []crashfs.Mode{crashfs.DropAll, crashfs.Random} {
		for seed := range uint64(20) {
			c := crashfs.New(seed)
			f := synced(t, c, "/f", "old")
			write(t, f, "new", 0)
			c.Fail(failing(crashfs.OpSync))
			wantErr(t, "Sync", f.Sync(), errHook)
			c.Fail(nil)
			must(t, f.Sync())
			wantFile(t, c, "/f", "new")
			c.Kill()
			wantFile(t, c, "/f", "new")
			f, err := c.Open("/f")
			must(t, err)
			must(t, f.Sync())
			c.Crash(mode)
			wantFile(t, c, "/f", "old")
		}
	}
}

func TestWritesAfterAFailedSyncCanBeSynced(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "....")
	write(t, f, "ab", 0)
	c.Fail(failing(crashfs.OpSync))
	wantErr(t, "Sync", f.Sync(), errHook)
	c.Fail(nil)
	write(t, f, "c", 2)
	must(t, f.Sync())
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "..c.")
}

func TestHookMayCrashAndTheOperationDoesNotHappen(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/f", []byte("old")))
	c.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite || op == crashfs.OpCreate {
			c.Crash(crashfs.DropAll)
		}
		return nil
	})
	_, err := c.Create("/g")
	wantErr(t, "Create", err, crashfs.ErrCrashed)
	f, err := c.Open("/f")
	must(t, err)
	_, err = f.WriteAt([]byte("new"), 0)
	wantErr(t, "WriteAt", err, crashfs.ErrCrashed)
	wantFiles(t, c, "/f")
	wantFile(t, c, "/f", "old")
}

func TestRemoveAllStopsAtACrash(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/d/a", nil))
	must(t, c.WriteFile("/d/b", nil))
	c.Fail(func(op crashfs.Op, name string) error {
		if name == "/d/a" {
			c.Kill()
		}
		return nil
	})
	wantErr(t, "RemoveAll", c.RemoveAll("/d"), crashfs.ErrCrashed)
	wantFiles(t, c, "/d/a")
}

func TestFullDiskTakesThePartThatFits(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "0123456789")
	c.Limit(15)
	n, err := f.WriteAt([]byte("abcdefghij"), 8) // two bytes are there, five fit
	wantErr(t, "WriteAt", err, syscall.ENOSPC)
	if n != 7 {
		t.Errorf("%d bytes written, want 7", n)
	}
	wantFile(t, c, "/f", "01234567abcdefg")
	n, err = f.WriteAt([]byte("x"), 15)
	wantErr(t, "WriteAt", err, syscall.ENOSPC)
	if n != 0 {
		t.Errorf("%d bytes written, want 0", n)
	}
	write(t, f, "overwriting", 0)
	c.Limit(-1)
	write(t, f, "more", 15)
}

func TestHolesTakeNoSpaceUntilWritten(t *testing.T) {
	c := crashfs.New(1)
	f := create(t, c, "/f")
	c.Limit(10)
	must(t, f.Truncate(1000))
	wantUsed(t, c, 0)
	write(t, f, "aaaa", 100)
	write(t, f, "bbbb", 104)
	n, err := f.WriteAt([]byte("cccccccccccccccc"), 98) // 2 new, 8 old, 6 new
	wantErr(t, "WriteAt", err, syscall.ENOSPC)
	if n != 10 {
		t.Errorf("%d bytes written, want 10", n)
	}
	wantUsed(t, c, 10)
	must(t, f.Truncate(100))
	wantUsed(t, c, 2)
}

func TestWriteStopsInAHoleThatDoesNotFit(t *testing.T) {
	c := crashfs.New(1)
	f := create(t, c, "/f")
	write(t, f, "old", 10)
	c.Limit(5)
	n, err := f.WriteAt([]byte("new bytes"), 4) // six new, then three old
	wantErr(t, "WriteAt", err, syscall.ENOSPC)
	if n != 2 {
		t.Errorf("%d bytes written, want 2", n)
	}
	wantUsed(t, c, 5)
}

func TestSpaceOfRemovedFileIsFreeOnceClosed(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "0123456789")
	must(t, c.Remove("/f"))
	wantUsed(t, c, 10)
	must(t, f.Close())
	wantUsed(t, c, 0)

	must(t, c.WriteFile("/g", []byte("12345")))
	must(t, c.WriteFile("/h", []byte("123")))
	must(t, c.Rename("/h", "/g"))
	wantUsed(t, c, 3)
	c.Crash(crashfs.DropAll) // the removal and the rename were not synced, WriteFile synced the former
	wantUsed(t, c, 8)
}

func TestSpaceOfFileThatACrashBroughtBackIsCountedAnew(t *testing.T) {
	c := crashfs.New(1)
	synced(t, c, "/f", "0123456789") // stays open
	must(t, c.Remove("/f"))
	c.Crash(crashfs.DropAll)
	wantUsed(t, c, 10)
	f, err := c.Open("/f")
	must(t, err)
	must(t, f.Close())
	wantUsed(t, c, 10)
	must(t, c.Remove("/f"))
	wantUsed(t, c, 0)
}

func wantUsed(t *testing.T, c *crashfs.FS, want int64) {
	t.Helper()
	if got := c.Used(); got != want {
		t.Errorf("%d bytes used, want %d", got, want)
	}
}

func TestFlippedBitIsSeenAtOnceAndAfterACrash(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "aaaa")
	write(t, f, "b", 3)
	must(t, c.FlipBit("/f", 1))
	must(t, c.FlipBit("/f", 3))
	wantFile(t, c, "/f", "acaj")
	must(t, f.Sync())
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "acaj")
	must(t, c.FlipBit("/f", 1))
	wantFile(t, c, "/f", "aaaj")
	wantErr(t, "beyond the end", c.FlipBit("/f", 4), syscall.EINVAL)
	wantErr(t, "missing", c.FlipBit("/g", 0), fs.ErrNotExist)
}

func TestWriteFileReplacesAndIsOnThePlatter(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/a/b/f", []byte("long contents")))
	must(t, c.WriteFile("/a/b/f", []byte("short")))
	must(t, c.WriteFile("/a/empty", nil))
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/a/b/f", "short")
	wantFile(t, c, "/a/empty", "")
	files := c.Files()
	if len(files) != 2 || files[0] != (crashfs.Info{Name: "/a/b/f", Size: 5}) || files[1].Name != "/a/empty" {
		t.Errorf("files: %v", files)
	}
}

func TestCrashBesideConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crashfs.New(1)
		c.Fail(func(crashfs.Op, string) error { return nil })
		var all sync.WaitGroup
		for i := range 8 {
			m := c.Mount()
			all.Go(func() {
				for k := 0; ; k++ {
					f, err := m.Create(fmt.Sprintf("/%d-%d", i, k))
					if err == nil {
						_, err = f.WriteAt(bytes.Repeat([]byte("x"), 2000), 0)
					}
					if err == nil {
						err = errors.Join(f.Sync(), m.SyncDir("/"))
					}
					if err != nil {
						wantErr(t, "at the end", err, crashfs.ErrCrashed)
						return
					}
				}
			})
		}
		for len(c.Files()) < 200 {
			c.Used()
		}
		c.Crash(crashfs.Random)
		all.Wait()
		if len(c.Files()) < 150 {
			t.Errorf("only %d files survived", len(c.Files()))
		}
	})
}

func TestBadSectorsFailReadsThatMeetThem(t *testing.T) {
	c := crashfs.New(1)
	if err := c.WriteFile("/f", make([]byte, 2000)); err != nil {
		t.Fatal(err)
	}
	if err := c.BadSectors("/f", 512, 1024); err != nil {
		t.Fatal(err)
	}
	f, err := c.Open("/f")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		off, n int64
		bad    bool
	}{{0, 512, false}, {0, 513, true}, {600, 1, true}, {1023, 500, true}, {1024, 500, false}} {
		if _, err := f.ReadAt(make([]byte, r.n), r.off); errors.Is(err, syscall.EIO) != r.bad {
			t.Errorf("%d bytes at %d: %v", r.n, r.off, err)
		}
	}
	if err := c.BadSectors("/f", 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 2000), 0); err != nil {
		t.Error(err)
	}
}
