package vfs_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"qmq/internal/vfs"
)

func TestReadOnlyChangesNothing(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			fsys, dir := s.make(t)
			in := func(name string) string { return filepath.Join(dir, name) }
			f := create(t, fsys, in("f"))
			write(t, f, "abc", 0)
			must(t, fsys.MkdirAll(in("d")))
			r := vfs.ReadOnly(fsys)
			g, err := r.Open(in("f"))
			must(t, err)
			wantBytes(t, g, "abc")
			wantNames(t, r, dir, "d", "f")
			_, writeErr := g.WriteAt([]byte("x"), 0)
			_, createErr := r.Create(in("g"))
			for what, err := range map[string]error{
				"WriteAt": writeErr, "Create": createErr, "Truncate": g.Truncate(0), "Sync": g.Sync(),
				"Rename": r.Rename(in("f"), in("h")), "Remove": r.Remove(in("f")), "RemoveAll": r.RemoveAll(in("d")),
				"MkdirAll": r.MkdirAll(in("e")), "SyncDir": r.SyncDir(dir),
			} {
				wantErr(t, what, err, syscall.EROFS)
			}
			must(t, g.Close())
			lock, err := r.Lock(dir)
			must(t, err)
			_, err = fsys.Lock(dir)
			wantErr(t, "beside the lock", err, vfs.ErrLocked)
			must(t, lock.Close())
			wantBytes(t, f, "abc")
			wantNames(t, fsys, dir, "d", "f")
		})
	}
}

// The program that runs is a file that nobody may open for writing.
func TestReadOnlyOpensWhatMayOnlyBeRead(t *testing.T) {
	path, err := os.Executable()
	must(t, err)
	f, err := vfs.ReadOnly(vfs.OS).Open(path)
	must(t, err)
	if size, err := f.Size(); err != nil || size == 0 {
		t.Errorf("size %d, error %v", size, err)
	}
	must(t, f.Close())
}
