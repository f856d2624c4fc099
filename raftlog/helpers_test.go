package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
)

const testDir = "/node/raft/wal"

// tester is a test, or a run of rapid.
type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// options are those of a small log without goroutines.
func options(fsys vfs.FS) Options {
	return Options{
		FS: fsys, Dir: testDir, Cluster: 7, Node: 3, Boot: "monday", Manual: true,
		SegmentBytes: minSegment, CacheBytes: 2 << 10, Retain: 1,
	}
}

func newDisk(t tester, seed uint64) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New(seed)
	must(t, fsys.MkdirAll("/node/raft"))
	must(t, fsys.SyncDir("/"))
	must(t, fsys.SyncDir("/node"))
	return fsys
}

func mustOpen(t tester, o Options) (*Log, *Recovered) {
	t.Helper()
	l, r, err := Open(o)
	must(t, err)
	return l, r
}

// entries are n of a term, from an index on.
func entries(index, term uint64, n, size int) (list []*raftpb.Entry) {
	for i := range uint64(n) {
		data := fmt.Appendf(nil, "%d/%d ", term, index+i)
		list = append(list, &raftpb.Entry{Term: new(term), Index: new(index + i), Data: append(data, make([]byte, size)...)})
	}
	return list
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return hardState{term, vote, commit}.message()
}

// save saves an update and has it written.
func save(l *Log, u *Update) error {
	result := errors.New("Done was not called")
	u.Done = func(err error) { result = err }
	l.Save(u)
	l.Flush()
	return result
}

func mustSave(t tester, l *Log, u *Update) {
	t.Helper()
	must(t, save(l, u))
}

// bounds are the first and the last index.
func bounds(s *Shard) (first, last uint64) {
	first, _ = s.FirstIndex()
	last, _ = s.LastIndex()
	return first, last
}

func hardOf(s *Shard) hardState {
	h, _, _ := s.InitialState()
	return hardStateOf(h)
}

func all(t tester, s *Shard) []*raftpb.Entry {
	t.Helper()
	first, last := bounds(s)
	list, err := s.Entries(first, last+1, math.MaxUint64)
	must(t, err)
	return list
}

func sameEntry(a, b *raftpb.Entry) bool {
	return a.GetTerm() == b.GetTerm() && a.GetIndex() == b.GetIndex() && a.GetType() == b.GetType() && bytes.Equal(a.GetData(), b.GetData())
}

func wantEntries(t tester, what string, got, want []*raftpb.Entry) {
	t.Helper()
	if !slices.EqualFunc(got, want, sameEntry) {
		t.Errorf("%s: entries are %s, want %s", what, show(got), show(want))
	}
}

func show(list []*raftpb.Entry) (s string) {
	for _, e := range list {
		s += fmt.Sprintf("%d/%d ", e.GetTerm(), e.GetIndex())
	}
	return s
}
