package diskqueue

import (
	"log/slog"
	"sync"

	"qmq/internal/histogram"
	"qmq/internal/vfs"
)

// SharedOptions configure what the logs of a node share. Zero values stand for
// the defaults that are named.
type SharedOptions struct {
	FS           vfs.FS
	RecycleDir   string // where files wait for their next use; empty: none do
	RecycleFiles int    // how many wait at most; 4
	HotBytes     int64  // memory of all hot tails; 256 MiB
	CacheBytes   int64  // memory for what is read back from disk; 16 MiB
	// OpenFiles is how many segment files are held open; a quarter of the
	// descriptors that the process may have, from 16 to 4,096.
	OpenFiles int
	Logger    *slog.Logger
}

// Shared is what the logs of a node have in common: the budget of their hot
// tails, the open files, the stretches read back from disk, and the files that
// wait to be used again. It may be used concurrently.
type Shared struct {
	fs      vfs.FS
	files   fileCache
	chunks  chunkCache
	recycle recycler
	hot     *byteBudget
	// syncs has room for the segments that may be synced at a time: each keeps its
	// file, and for a while a directory, open for as long as the disk takes.
	syncs chan struct{}
	// writes and synced count how long appends and syncs of segments took, also those that
	// failed.
	writes, synced histogram.Histogram

	memory  bool // the files are in memory, and count against hot
	logger  *slog.Logger
	scratch sync.Pool // of *[]uint32: starts of records being written
}

// takeScratch takes room for the starts of records.
func (s *Shared) takeScratch() *[]uint32 {
	if starts, ok := s.scratch.Get().(*[]uint32); ok {
		return starts
	}
	return new([]uint32)
}

// NewShared prepares the recycling directory; files that wait there from a
// former run are used. Where it cannot be prepared, as on a full disk, no file is
// used again: that saves time, and the logs can be without.
func NewShared(o SharedOptions) *Shared {
	s := &Shared{logger: o.Logger, hot: new(byteBudget)}
	s.fs = givingFS{o.FS, &s.files}
	s.hot.limit = orDefault(o.HotBytes, 256<<20)
	s.files.fs, s.files.max = s.fs, int(orDefault(int64(o.OpenFiles), int64(openFiles(vfs.DescriptorLimit()))))
	s.syncs = make(chan struct{}, max(s.files.max, minOpenFiles)/2)
	s.chunks.budget = orDefault(o.CacheBytes, 16<<20)
	s.recycle = recycler{fs: s.fs, dir: o.RecycleDir, max: int(orDefault(int64(o.RecycleFiles), 4))}
	if err := s.recycle.load(); err != nil {
		o.Logger.Warn("no segment file is used again", "path", o.RecycleDir, "error", err)
		s.recycle.dir = ""
	}
	return s
}

// InMemory is for logs on a file system that is in memory: what they hold counts
// against the budget of s, whose hot tails give way to it.
func (s *Shared) InMemory(fs vfs.FS) *Shared {
	m := &Shared{logger: s.logger, hot: s.hot, syncs: s.syncs, memory: true, fs: fs}
	m.files.fs, m.files.max = fs, maxOpenFiles
	m.chunks.budget = s.chunks.budget
	return m
}

func orDefault(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return v
}

// Timings count how long appends to segments and syncs of them took, also those that
// failed. Nobody but the logs adds to them.
func (s *Shared) Timings() (writes, syncs *histogram.Histogram) { return &s.writes, &s.synced }

// DropSpare removes the files that wait to be used again, and says whether there
// were any.
func (s *Shared) DropSpare() bool { return s.recycle.clear() }

// FS is the file system that the logs are on. When there are no descriptors
// left it closes segment files that nobody uses and tries again: whoever works
// beside the logs does well to use it.
func (s *Shared) FS() vfs.FS { return s.fs }
