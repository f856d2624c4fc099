//go:build unix

package vfs_test

import (
	"path/filepath"
	"slices"
	"testing"

	"qmq/internal/vfs"
)

// BenchmarkGather: what it saves not to copy a long piece together with what is around it.
func BenchmarkGather(b *testing.B) {
	head, long, tail := make([]byte, 41), make([]byte, 300<<10), make([]byte, 31)
	for _, way := range []struct {
		name  string
		write func(f vfs.File) error
	}{
		{"gathered", func(f vfs.File) error { return vfs.WriteGathered(f, 0, [][]byte{head, long, tail}) }},
		{"copied", func(f vfs.File) error {
			_, err := f.WriteAt(slices.Concat(head, long, tail), 0)
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			f, err := vfs.OS.Create(filepath.Join(b.TempDir(), "f"))
			must(b, err)
			defer f.Close()
			b.SetBytes(int64(len(long)))
			for b.Loop() {
				must(b, way.write(f))
			}
		})
	}
}

// BenchmarkSyncOfRoom: writes that are synced, to room that was set aside, to room that
// zeros were written to before, which counts, and to room that was written to ahead.
func BenchmarkSyncOfRoom(b *testing.B) {
	const room, ahead = 32 << 20, 256 << 10
	for _, size := range []int{4 << 10, 300 << 10} {
		for _, way := range []struct {
			name  string
			make  func(f vfs.File, from, to int64) error
			ahead bool
		}{{"set aside", vfs.Allocate, false}, {"zeros", vfs.WriteZeros, false}, {"ahead", vfs.Allocate, true}} {
			b.Run(way.name+"/"+map[bool]string{true: "4 KiB", false: "300 KiB"}[size == 4<<10], func(b *testing.B) {
				data, at, used := make([]byte, size), int64(room), int64(0)
				var f vfs.File
				var err error
				for i := 0; b.Loop(); i++ {
					if at+int64(size)+ahead > room {
						if f != nil {
							f.Close()
						}
						f, err = vfs.OS.Create(filepath.Join(b.TempDir(), "f"))
						must(b, err)
						must(b, way.make(f, 0, room))
						must(b, f.Sync())
						at, used = 0, 0
					}
					_, err = f.WriteAt(data, at)
					if at += int64(size); err == nil && way.ahead && at > used {
						used = at + ahead
						err = vfs.WriteZeros(f, at, used)
					}
					must(b, err)
					must(b, f.Sync())
				}
				f.Close()
			})
		}
	}
}
