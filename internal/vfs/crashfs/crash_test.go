package crashfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

func TestDropAllUndoesUnsyncedWritesAndTruncates(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "0123456789")
	write(t, f, "xxx", 2)
	write(t, f, "longer", 10)
	must(t, f.Truncate(5))
	wantFile(t, c, "/f", "01xxx")
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "0123456789")
}

func TestSyncedBytesAndSizeSurvive(t *testing.T) {
	for _, mode := range []crashfs.Mode{crashfs.DropAll, crashfs.Random} {
		c := crashfs.New(1)
		f := synced(t, c, "/f", "0123456789")
		must(t, f.Truncate(4))
		write(t, f, "x", 6)
		must(t, f.Sync())
		c.Crash(mode)
		wantFile(t, c, "/f", "0123\x00\x00x")
	}
}

func TestSyncOfFileDoesNotSaveItsName(t *testing.T) {
	c := crashfs.New(1)
	f := create(t, c, "/f")
	write(t, f, "x", 0)
	must(t, f.Sync())
	c.Crash(crashfs.DropAll)
	wantFiles(t, c)
}

func TestSyncDirSavesTheNameButNotTheBytes(t *testing.T) {
	c := crashfs.New(1)
	write(t, create(t, c, "/f"), "x", 0)
	must(t, c.SyncDir("/"))
	c.Crash(crashfs.DropAll)
	wantFiles(t, c, "/f")
	wantFile(t, c, "/f", "")
}

func TestDirectoryWithoutSyncedNameTakesItsFilesAlong(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.MkdirAll("/a/b"))
	create(t, c, "/a/b/f")
	must(t, c.SyncDir("/a/b"))
	must(t, c.SyncDir("/a"))
	c.Crash(crashfs.DropAll)
	list, err := c.ReadDir("/")
	if must(t, err); len(list) != 0 {
		t.Errorf("/a survived")
	}
}

func TestDropAllUndoesRenamesAndRemovals(t *testing.T) {
	c := crashfs.New(1)
	for _, name := range []string{"/d/renamed", "/d/replaced", "/d/removed", "/gone/f", "/d/moved"} {
		must(t, c.WriteFile(name, []byte(name)))
	}
	must(t, c.MkdirAll("/e"))
	must(t, c.SyncDir("/"))
	must(t, c.Rename("/d/renamed", "/d/replaced"))
	must(t, c.Rename("/d/moved", "/e/moved"))
	must(t, c.Remove("/d/removed"))
	must(t, c.RemoveAll("/gone"))
	wantFiles(t, c, "/d/replaced", "/e/moved")
	c.Crash(crashfs.DropAll)
	wantFiles(t, c, "/d/moved", "/d/removed", "/d/renamed", "/d/replaced", "/gone/f")
	wantFile(t, c, "/d/replaced", "/d/replaced")
}

func TestSyncDirOfEitherSideSavesAMoveWhole(t *testing.T) {
	for _, side := range []string{"/d", "/e"} {
		c := crashfs.New(1)
		must(t, c.WriteFile("/d/f", nil))
		must(t, c.MkdirAll("/e"))
		must(t, c.SyncDir("/"))
		must(t, c.Rename("/d/f", "/e/f"))
		must(t, c.SyncDir(side))
		c.Crash(crashfs.DropAll)
		wantFiles(t, c, "/e/f")
	}
}

func TestSyncDirSavesNothingOfOtherDirectories(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.MkdirAll("/d"))
	must(t, c.MkdirAll("/e"))
	must(t, c.SyncDir("/"))
	create(t, c, "/d/f")
	create(t, c, "/e/f")
	must(t, c.SyncDir("/e"))
	must(t, c.SyncDir("/"))
	c.Crash(crashfs.DropAll)
	wantFiles(t, c, "/e/f")
}

func TestSyncDirOfRenamedDirectoryDoesNotSaveItsNewName(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/tmp/f", nil))
	must(t, c.Rename("/tmp", "/final"))
	create(t, c, "/final/g")
	must(t, c.SyncDir("/final"))
	c.Crash(crashfs.DropAll)
	wantFiles(t, c, "/tmp/f", "/tmp/g")
}

func TestSavedRemovalOfDirectorySavesWhatLeftItBefore(t *testing.T) {
	c := crashfs.New(1)
	must(t, c.WriteFile("/d/f", nil))
	must(t, c.MkdirAll("/e"))
	must(t, c.SyncDir("/"))
	must(t, c.Rename("/d/f", "/e/f"))
	must(t, c.Remove("/d"))
	must(t, c.SyncDir("/"))
	c.Crash(crashfs.DropAll)
	wantFiles(t, c, "/e/f")
}

func TestSwappedDirectoriesNeverBecomeALoop(t *testing.T) {
	for seed := range uint64(200) {
		c := crashfs.New(seed)
		must(t, c.WriteFile("/x/a/c/b/f", nil))
		must(t, c.WriteFile("/y/g", nil))
		must(t, c.Rename("/x/a/c/b", "/y/b"))
		must(t, c.Rename("/x/a", "/y/b/a"))
		if seed%2 == 0 {
			must(t, c.SyncDir("/x"))
		}
		c.Crash(crashfs.Random)
		if n := len(c.Files()); n != 2 {
			t.Fatalf("seed %d: %d files left, want 2", seed, n)
		}
	}
}

func TestRandomKeepsAPrefixOfEachDirectorysChanges(t *testing.T) {
	const n = 4
	seen := make(map[string]bool)
	for seed := range uint64(300) {
		c := crashfs.New(seed)
		must(t, c.MkdirAll("/d"))
		must(t, c.MkdirAll("/e"))
		must(t, c.SyncDir("/"))
		for i := range n {
			create(t, c, fmt.Sprintf("/d/%d", i))
			create(t, c, fmt.Sprintf("/e/%d", i))
		}
		c.Crash(crashfs.Random)
		var kept [2]int
		for i, dir := range []string{"/d", "/e"} {
			list, err := c.ReadDir(dir)
			must(t, err)
			for k, e := range list {
				if e.Name() != fmt.Sprint(k) {
					t.Fatalf("seed %d: %s kept %v: not a prefix", seed, dir, list)
				}
			}
			kept[i] = len(list)
		}
		seen[fmt.Sprint(kept)] = true
	}
	if len(seen) != (n+1)*(n+1) {
		t.Errorf("%d of 25 combinations came up: the directories are not independent", len(seen))
	}
}

func TestRandomKeepsOrLosesAMoveAsOne(t *testing.T) {
	outcomes := make(map[string]bool)
	for seed := range uint64(200) {
		c := crashfs.New(seed)
		must(t, c.WriteFile("/d/f", nil))
		must(t, c.MkdirAll("/e"))
		must(t, c.SyncDir("/"))
		create(t, c, "/e/before")
		must(t, c.Rename("/d/f", "/e/f"))
		create(t, c, "/d/after")
		c.Crash(crashfs.Random)
		outcomes[fmt.Sprint(names(c))] = true
	}
	for _, want := range []string{
		"[/d/f]", "[/d/f /e/before]", "[/e/before /e/f]", "[/d/after /e/before /e/f]",
	} {
		if !outcomes[want] {
			t.Errorf("%s never came up", want)
		}
		delete(outcomes, want)
	}
	if len(outcomes) > 0 {
		t.Errorf("impossible outcomes: %v", outcomes)
	}
}

func TestRandomLosesNoFileThatLeftARemovedDirectory(t *testing.T) {
	for seed := range uint64(100) {
		c := crashfs.New(seed)
		must(t, c.WriteFile("/d/f", nil))
		must(t, c.MkdirAll("/e"))
		must(t, c.SyncDir("/"))
		must(t, c.Rename("/d/f", "/e/f"))
		must(t, c.Remove("/d"))
		c.Crash(crashfs.Random)
		if len(c.Files()) != 1 {
			t.Fatalf("seed %d: the file vanished", seed)
		}
	}
}

func TestRandomKeepsLosesAndTearsWritesIndependently(t *testing.T) {
	const sector = 512
	outcomes := make(map[string]int)
	for seed := range uint64(2000) {
		c := crashfs.New(seed)
		f := synced(t, c, "/f", string(make([]byte, 6*sector)))
		write(t, f, string(bytes.Repeat([]byte{'a'}, 2*sector)), 100) // parts of sectors 0 and 2, all of 1
		write(t, f, string(bytes.Repeat([]byte{'b'}, sector)), 4*sector)
		c.Crash(crashfs.Random)
		got, err := c.ReadFile("/f")
		must(t, err)
		for _, s := range []struct{ from, to int }{{100, 512}, {512, 1024}, {1024, 1124}, {2048, 2560}} {
			for _, b := range got[s.from:s.to] {
				if b != got[s.from] {
					t.Fatalf("seed %d: a sector is torn", seed)
				}
			}
		}
		outcomes[fmt.Sprintf("%q", []byte{got[100], got[512], got[1024], got[2048]})]++
	}
	if len(outcomes) != 16 {
		t.Errorf("%d of 16 outcomes came up: %v", len(outcomes), outcomes)
	}
}

func TestRandomSizeIsThatOfWhatSurvived(t *testing.T) {
	sizes := make(map[int]bool)
	for seed := range uint64(500) {
		c := crashfs.New(seed)
		f := synced(t, c, "/f", "0123456789")
		write(t, f, "abcde", 10)
		must(t, f.Truncate(3))
		write(t, f, "fgh", 20)
		c.Crash(crashfs.Random)
		got, err := c.ReadFile("/f")
		must(t, err)
		sizes[len(got)] = true
		if len(got) == 23 && string(got[20:]) != "fgh" && string(got[20:]) != "\x00\x00\x00" {
			t.Fatalf("seed %d: %q", seed, got)
		}
	}
	for _, want := range []int{3, 10, 15, 23} {
		if !sizes[want] {
			t.Errorf("size %d never came up", want)
		}
		delete(sizes, want)
	}
	if len(sizes) > 0 {
		t.Errorf("impossible sizes: %v", sizes)
	}
}

func TestSameSeedSameCrash(t *testing.T) {
	run := func(seed uint64) string {
		c := crashfs.New(seed)
		for i := range 20 {
			dir := fmt.Sprintf("/%d", i%3)
			must(t, c.MkdirAll(dir))
			f := create(t, c, fmt.Sprintf("%s/%d", dir, i))
			write(t, f, string(bytes.Repeat([]byte{byte(i)}, 3000)), 0)
			must(t, c.SyncDir(dir))
			create(t, c, fmt.Sprintf("%s/%d-b", dir, i))
		}
		must(t, c.SyncDir("/"))
		c.Crash(crashfs.Random)
		var state bytes.Buffer
		for _, f := range c.Files() {
			data, err := c.ReadFile(f.Name)
			must(t, err)
			fmt.Fprintf(&state, "%s %q\n", f.Name, data)
		}
		return state.String()
	}
	if first, second := run(7), run(7); first != second {
		t.Error("the same seed gave two outcomes")
	}
	if run(7) == run(8) {
		t.Error("two seeds gave the same outcome")
	}
}

func TestCrashAndKillEndHandlesLocksAndMounts(t *testing.T) {
	ends := map[string]func(*crashfs.FS){
		"DropAll": func(c *crashfs.FS) { c.Crash(crashfs.DropAll) },
		"Random":  func(c *crashfs.FS) { c.Crash(crashfs.Random) },
		"Kill":    (*crashfs.FS).Kill,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			c := crashfs.New(1)
			f := synced(t, c, "/d/f", "x")
			m := c.Mount()
			old, err := m.Lock("/d")
			must(t, err)
			end(c)
			fresh, err := c.Lock("/d")
			must(t, err)
			wantErr(t, "old lock", old.Close(), crashfs.ErrCrashed)
			_, err = c.Lock("/d")
			wantErr(t, "new lock after Close of the old", err, vfs.ErrLocked)
			must(t, fresh.Close())

			for call, err := range callsOfFile(f) {
				wantErr(t, call, err, crashfs.ErrCrashed)
			}
			for call, err := range callsOfFS(m) {
				wantErr(t, call, err, crashfs.ErrCrashed)
			}
			wantFile(t, c, "/d/f", "x")
			wantFiles(t, c, "/d/f")
		})
	}
}

func TestKillLosesNothingAndSavesNothing(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "old")
	write(t, f, "new", 0)
	create(t, c, "/g")
	c.Kill()
	wantFile(t, c, "/f", "new")
	wantFiles(t, c, "/f", "/g")
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "old")
	wantFiles(t, c, "/f")
}

func TestNextLifeCanSyncWhatTheKilledOneWrote(t *testing.T) {
	c := crashfs.New(1)
	write(t, synced(t, c, "/f", "old"), "new", 0)
	c.Kill()
	f, err := c.Open("/f")
	must(t, err)
	must(t, f.Sync())
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "new")
}

func TestWhatACrashUndidStaysUndone(t *testing.T) {
	c := crashfs.New(1)
	f := synced(t, c, "/f", "old")
	write(t, f, "new", 0)
	create(t, c, "/g")
	c.Crash(crashfs.DropAll)
	f, err := c.Open("/f")
	must(t, err)
	must(t, f.Sync())
	must(t, c.SyncDir("/"))
	c.Crash(crashfs.DropAll)
	wantFile(t, c, "/f", "old")
	wantFiles(t, c, "/f")
}

func callsOfFile(f vfs.File) map[string]error {
	_, read := f.ReadAt(make([]byte, 1), 0)
	_, write := f.WriteAt([]byte("y"), 0)
	_, size := f.Size()
	return map[string]error{
		"ReadAt": read, "WriteAt": write, "Size": size,
		"Truncate": f.Truncate(0), "Sync": f.Sync(), "Close": f.Close(),
	}
}

func callsOfFS(fsys vfs.FS) map[string]error {
	_, create := fsys.Create("/d/new")
	_, open := fsys.Open("/d/f")
	_, list := fsys.ReadDir("/d")
	_, lock := fsys.Lock("/d")
	return map[string]error{
		"Create": create, "Open": open, "ReadDir": list, "Lock": lock,
		"Rename": fsys.Rename("/d/f", "/d/g"), "Remove": fsys.Remove("/d/f"),
		"RemoveAll": fsys.RemoveAll("/d"), "MkdirAll": fsys.MkdirAll("/new"),
		"SyncDir": fsys.SyncDir("/d"),
	}
}

// synced is an open file that the platter has with these bytes.
func synced(t *testing.T, c *crashfs.FS, name, data string) vfs.File {
	t.Helper()
	must(t, c.WriteFile(name, []byte(data)))
	f, err := c.Open(name)
	must(t, err)
	return f
}

func create(t *testing.T, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	return f
}

func write(t *testing.T, f vfs.File, s string, off int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(s), off)
	must(t, err)
}

func names(c *crashfs.FS) (list []string) {
	for _, f := range c.Files() {
		list = append(list, f.Name)
	}
	return list
}

func wantFiles(t *testing.T, c *crashfs.FS, want ...string) {
	t.Helper()
	if got := names(c); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func wantFile(t *testing.T, c *crashfs.FS, name, want string) {
	t.Helper()
	got, err := c.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("%s has %q, %v, want %q", name, got, err, want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
