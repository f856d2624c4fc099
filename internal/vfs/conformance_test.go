//go:build unix

package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

// systems are the file systems that must behave the same, each with an empty
// directory to work in.
var systems = []struct {
	name string
	make func(t *testing.T) (vfs.FS, string)
}{
	{"OS", func(t *testing.T) (vfs.FS, string) { return vfs.OS, t.TempDir() }},
	{"Mem", func(t *testing.T) (vfs.FS, string) { return inMemory(t, vfs.NewMem()) }},
	{"Crash", func(t *testing.T) (vfs.FS, string) { return inMemory(t, crashfs.New(1)) }},
	{"CrashMount", func(t *testing.T) (vfs.FS, string) { return inMemory(t, crashfs.New(1).Mount()) }},
}

func inMemory(t *testing.T, fsys vfs.FS) (vfs.FS, string) {
	must(t, fsys.MkdirAll("/a/root"))
	return fsys, "/a/root"
}

func TestConformance(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			for _, b := range behaviours {
				t.Run(b.name, func(t *testing.T) {
					fsys, dir := s.make(t)
					b.test(t, fsys, func(parts ...string) string {
						return filepath.Join(append([]string{dir}, parts...)...)
					})
				})
			}
		})
	}
}

type in func(parts ...string) string

var behaviours = []struct {
	name string
	test func(t *testing.T, fsys vfs.FS, in in)
}{
	{"SyncSaysThatAFileWasRemoved", func(t *testing.T, fsys vfs.FS, in in) {
		f, other := create(t, fsys, in("f")), create(t, fsys, in("other"))
		_, tells := f.(interface{ Removed() bool }) // in memory nothing outlives the process anyway
		must(t, f.Sync())
		must(t, fsys.Rename(in("f"), in("moved")))
		if must(t, f.Sync()); vfs.Removed(f) {
			t.Error("a file that was renamed counts as removed")
		}
		must(t, fsys.Rename(in("other"), in("moved")))
		must(t, other.Sync())
		if tells && (!errors.Is(f.Sync(), vfs.ErrRemoved) || !vfs.Removed(f)) {
			t.Error("a file that another has the name of does not count as removed")
		}
		must(t, fsys.Remove(in("moved")))
		if err := other.Sync(); tells && !errors.Is(err, vfs.ErrRemoved) {
			t.Errorf("sync of a removed file: %v", err)
		}
	}},
	{"GatheredBytesAreWrittenInTheirOrder", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		write(t, f, "head", 0)
		want := []byte("head")
		for _, count := range []int{1, 2, 3, 5000} {
			var pieces [][]byte
			off := int64(len(want))
			for i := range count {
				pieces = append(pieces, bytes.Repeat([]byte{byte(i)}, 1+i%97))
				want = append(want, pieces[i]...)
			}
			must(t, vfs.WriteGathered(f, off, pieces))
		}
		got := make([]byte, len(want))
		if n, err := f.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", n, err)
		}
		must(t, f.Close())
		if err := vfs.WriteGathered(f, 0, [][]byte{{1}, {2}}); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}},
	{"AllocatedBytesAreZeros", func(t *testing.T, fsys vfs.FS, in in) {
		for name, lengthen := range map[string]func(f vfs.File, from, to int64) error{"set aside": vfs.Allocate, "written": vfs.WriteZeros} {
			f := create(t, fsys, in(name))
			write(t, f, "hello", 0)
			must(t, lengthen(f, 5, 3<<20))
			write(t, f, "world", 2<<20)
			b := make([]byte, 3<<20)
			if n, err := f.ReadAt(b, 0); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
			want := make([]byte, 3<<20)
			copy(want, "hello")
			copy(want[2<<20:], "world")
			if size, err := f.Size(); size != 3<<20 || err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s: %d bytes, %v", name, size, err)
			}
			must(t, f.Close())
		}
	}},
	{"WrittenBytesAreReadBack", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		write(t, f, "hello world", 0)
		write(t, f, "W", 6)
		wantBytes(t, f, "hello World")
		must(t, f.Sync())
		must(t, f.Close())
		g, err := fsys.Open(in("f"))
		must(t, err)
		wantBytes(t, g, "hello World")
		must(t, g.Close())
	}},
	{"ReadAtStopsAtTheEnd", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		write(t, f, "abc", 0)
		p := make([]byte, 8)
		if n, err := f.ReadAt(p, 1); n != 2 || err != io.EOF || string(p[:n]) != "bc" {
			t.Errorf("over the end: %d %v %q", n, err, p[:n])
		}
		if n, err := f.ReadAt(p[:2], 1); n != 2 || err != nil {
			t.Errorf("up to the end: %d %v", n, err)
		}
		if n, err := f.ReadAt(p, 3); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d %v", n, err)
		}
		if n, err := f.ReadAt(nil, 99); n != 0 || err != nil {
			t.Errorf("nothing: %d %v", n, err)
		}
	}},
	{"HolesReadAsZeros", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		write(t, f, "x", 200_000)
		wantSize(t, f, 200_001)
		want := make([]byte, 200_001)
		want[200_000] = 'x'
		wantBytes(t, f, string(want))
		dirty := bytes.Repeat([]byte("?"), 200_001)
		if _, err := f.ReadAt(dirty, 0); err != nil || !bytes.Equal(dirty, want) {
			t.Errorf("a used buffer kept bytes, error %v", err)
		}
	}},
	{"WriteOfNothingDoesNotLengthen", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		write(t, f, "", 100)
		wantSize(t, f, 0)
	}},
	{"WritesAcrossPages", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		var want []byte
		for i := range 300 {
			p := bytes.Repeat([]byte{byte(i + 1)}, 1+i*7)
			write(t, f, string(p), int64(len(want)))
			want = append(want, p...)
		}
		wantBytes(t, f, string(want))
	}},
	{"TruncateCutsAndExtendsWithZeros", func(t *testing.T, fsys vfs.FS, in in) {
		for _, size := range []int64{0, 1, 700, 65_535, 65_536, 65_537, 150_000} {
			f := create(t, fsys, in("f"))
			full := bytes.Repeat([]byte("x"), 200_000)
			write(t, f, string(full), 0)
			must(t, f.Truncate(size))
			wantBytes(t, f, string(full[:size]))
			must(t, f.Truncate(200_000))
			wantBytes(t, f, string(append(slices.Clone(full[:size]), make([]byte, 200_000-size)...)))
			must(t, f.Close())
			must(t, fsys.Remove(in("f")))
		}
	}},
	{"NegativeOffsetsAndSizesAreErrors", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("ReadAt")
		}
		if _, err := f.WriteAt([]byte("x"), -1); err == nil {
			t.Error("WriteAt")
		}
		if f.Truncate(-1) == nil {
			t.Error("Truncate")
		}
	}},
	{"ClosedFileRefusesEveryCall", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		must(t, f.Close())
		for name, err := range callAll(f) {
			wantErr(t, name, err, fs.ErrClosed)
		}
	}},
	{"CreateRefusesTakenNames", func(t *testing.T, fsys vfs.FS, in in) {
		create(t, fsys, in("f"))
		must(t, fsys.MkdirAll(in("d")))
		for _, name := range []string{"f", "d"} {
			_, err := fsys.Create(in(name))
			wantErr(t, name, err, fs.ErrExist)
		}
		_, err := fsys.Create(in("missing", "f"))
		wantErr(t, "no parent", err, fs.ErrNotExist)
		_, err = fsys.Create(in("f", "f"))
		wantErr(t, "file as parent", err, syscall.ENOTDIR)
	}},
	{"OpenWantsAFile", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("d")))
		f, err := fsys.Open(in("missing"))
		wantErr(t, "missing", err, fs.ErrNotExist)
		if f != nil {
			t.Error("a File beside an error")
		}
		_, err = fsys.Open(in("d"))
		wantErr(t, "directory", err, syscall.EISDIR)
	}},
	{"HandlesFollowTheFileNotTheName", func(t *testing.T, fsys vfs.FS, in in) {
		f, g := create(t, fsys, in("f")), create(t, fsys, in("g"))
		write(t, f, "f", 0)
		write(t, g, "g", 0)
		must(t, fsys.Rename(in("f"), in("g")))
		write(t, f, "f2", 0)
		wantBytes(t, g, "g") // replaced, but open
		h, err := fsys.Open(in("g"))
		must(t, err)
		wantBytes(t, h, "f2")
		must(t, fsys.Remove(in("g")))
		write(t, h, "f3", 0)
		wantBytes(t, f, "f3")
		wantNames(t, fsys, in())
	}},
	{"RenameMovesTrees", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("a", "b")))
		must(t, fsys.MkdirAll(in("c")))
		create(t, fsys, in("a", "b", "f"))
		must(t, fsys.Rename(in("a", "b"), in("c", "d")))
		wantNames(t, fsys, in("a"))
		wantNames(t, fsys, in("c", "d"), "f")
	}},
	{"RenameRefusals", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("d", "e")))
		must(t, fsys.MkdirAll(in("x")))
		create(t, fsys, in("f"))
		for _, c := range []struct {
			from, to string
			want     error
		}{
			{"missing", "g", fs.ErrNotExist},
			{"missing", "d", fs.ErrNotExist},
			{"f", "missing/g", fs.ErrNotExist},
			{"f", "d", fs.ErrExist},
			{"d", "x", fs.ErrExist},
			{"d", "d", fs.ErrExist},
			{"d", "f", syscall.ENOTDIR},
			{"d", "d/e/d", syscall.EINVAL},
		} {
			wantErr(t, c.from+" to "+c.to, fsys.Rename(in(c.from), in(c.to)), c.want)
		}
		must(t, fsys.Rename(in("f"), in("f")))
		wantNames(t, fsys, in(), "d", "f", "x")
	}},
	{"RemoveTakesFilesAndEmptyDirectories", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("d")))
		create(t, fsys, in("d", "f"))
		wantErr(t, "full", fsys.Remove(in("d")), syscall.ENOTEMPTY)
		must(t, fsys.Remove(in("d", "f")))
		must(t, fsys.Remove(in("d")))
		wantErr(t, "missing", fsys.Remove(in("d")), fs.ErrNotExist)
	}},
	{"RemoveAllTakesEverythingBelow", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("d", "e")))
		create(t, fsys, in("d", "e", "f"))
		create(t, fsys, in("d", "f"))
		create(t, fsys, in("keep"))
		must(t, fsys.RemoveAll(in("d")))
		must(t, fsys.RemoveAll(in("d")))
		must(t, fsys.RemoveAll(in("not", "there")))
		wantNames(t, fsys, in(), "keep")
		must(t, fsys.RemoveAll(in("keep")))
		wantNames(t, fsys, in())
	}},
	{"MkdirAllMakesParentsOnce", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("a", "b", "c")))
		create(t, fsys, in("a", "b", "f"))
		must(t, fsys.MkdirAll(in("a", "b", "c")))
		wantNames(t, fsys, in("a", "b"), "c", "f")
		wantErr(t, "file", fsys.MkdirAll(in("a", "b", "f")), syscall.ENOTDIR)
		wantErr(t, "below a file", fsys.MkdirAll(in("a", "b", "f", "g")), syscall.ENOTDIR)
	}},
	{"ReadDirIsSortedAndDescribes", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("b")))
		write(t, create(t, fsys, in("c")), "123", 0)
		create(t, fsys, in("a"))
		wantNames(t, fsys, in(), "a", "b", "c")
		list, err := fsys.ReadDir(in())
		must(t, err)
		if list[0].IsDir() || !list[1].IsDir() || list[1].Type() != fs.ModeDir || list[2].Type() != 0 {
			t.Error("kinds are wrong")
		}
		info, err := list[2].Info()
		must(t, err)
		if info.Size() != 3 || info.Name() != "c" || info.Mode() != 0o600 {
			t.Errorf("info: %v %v %v", info.Size(), info.Name(), info.Mode())
		}
		_, err = fsys.ReadDir(in("missing"))
		wantErr(t, "missing", err, fs.ErrNotExist)
		_, err = fsys.ReadDir(in("a"))
		wantErr(t, "file", err, syscall.ENOTDIR)
	}},
	{"SyncDirWantsADirectory", func(t *testing.T, fsys vfs.FS, in in) {
		create(t, fsys, in("f"))
		must(t, fsys.SyncDir(in()))
		wantErr(t, "missing", fsys.SyncDir(in("missing")), fs.ErrNotExist)
		wantErr(t, "file", fsys.SyncDir(in("f")), syscall.ENOTDIR)
	}},
	{"LockIsExclusiveUntilClosed", func(t *testing.T, fsys vfs.FS, in in) {
		must(t, fsys.MkdirAll(in("other")))
		l, err := fsys.Lock(in())
		must(t, err)
		_, err = fsys.Lock(in())
		wantErr(t, "second", err, vfs.ErrLocked)
		if !bytes.Contains([]byte(err.Error()), []byte(in())) {
			t.Errorf("%q does not name the directory", err)
		}
		wantNames(t, fsys, in(), "other") // no lock file
		o, err := fsys.Lock(in("other"))
		must(t, err)
		must(t, o.Close())
		must(t, l.Close())
		l2, err := fsys.Lock(in())
		must(t, err)
		wantErr(t, "closed twice", l.Close(), fs.ErrClosed)
		_, err = fsys.Lock(in())
		wantErr(t, "after a second Close of the first", err, vfs.ErrLocked)
		must(t, l2.Close())
		_, err = fsys.Lock(in("missing"))
		wantErr(t, "missing", err, fs.ErrNotExist)
	}},
	{"ConcurrentUse", func(t *testing.T, fsys vfs.FS, in in) {
		f := create(t, fsys, in("f"))
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				own := in("own" + string(rune('a'+i)))
				p, q := bytes.Repeat([]byte{byte(i + 1)}, 3000), make([]byte, 3000)
				for k := range int64(20) {
					at := (k*8 + int64(i)) * 3000
					_, werr := f.WriteAt(p, at)
					_, rerr := f.ReadAt(q, at)
					if err := errors.Join(werr, rerr, f.Sync()); err != nil || !bytes.Equal(p, q) {
						t.Errorf("own bytes changed, %v", err)
					}
					g, err := fsys.Create(own)
					if err != nil {
						t.Error(err)
						return
					}
					if err := errors.Join(g.Close(), fsys.SyncDir(in()), fsys.Rename(own, own+"2"), fsys.Remove(own+"2")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		wantSize(t, f, 20*8*3000)
	}},
}

func callAll(f vfs.File) map[string]error {
	_, read := f.ReadAt(make([]byte, 1), 0)
	_, write := f.WriteAt([]byte("x"), 0)
	_, size := f.Size()
	return map[string]error{
		"ReadAt": read, "WriteAt": write, "Size": size,
		"Truncate": f.Truncate(0), "Sync": f.Sync(), "Close": f.Close(),
	}
}

func create(t *testing.T, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() }) // the test may have closed it
	return f
}

func write(t *testing.T, f vfs.File, s string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(s), off); n != len(s) || err != nil {
		t.Fatalf("WriteAt: %d %v", n, err)
	}
}

func wantSize(t *testing.T, f vfs.File, want int64) {
	t.Helper()
	if size, err := f.Size(); size != want || err != nil {
		t.Errorf("Size: %d %v, want %d", size, err, want)
	}
}

func wantBytes(t *testing.T, f vfs.File, want string) {
	t.Helper()
	wantSize(t, f, int64(len(want)))
	p := make([]byte, len(want))
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != want {
		t.Errorf("other bytes than written, error %v", err)
	}
}

func wantNames(t *testing.T, fsys vfs.FS, dir string, want ...string) {
	t.Helper()
	list, err := fsys.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
