package raftlog

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

func TestWhatWasSavedIsThereAfterARestart(t *testing.T) {
	fsys := newDisk(t, 1)
	l, r := mustOpen(t, options(fsys.Mount()))
	if !r.New || r.Forgetful() {
		t.Errorf("an empty directory: %+v", r)
	}
	want := entries(1, 1, 5, 100)
	want[3].Type = raftpb.EntryConfChangeV2.Enum()
	mustSave(t, l, &Update{Shard: 4, Entries: want, HardState: hard(1, 3, 2)})
	mustSave(t, l, &Update{Shard: 9, Entries: entries(1, 2, 1, 0), HardState: hard(2, 0, 0)})
	must(t, l.Close())
	l, r = mustOpen(t, options(fsys.Mount()))
	if r.New || !r.Clean || r.Torn != nil || r.Forgetful() {
		t.Errorf("after Close: %+v", r)
	}
	wantEntries(t, "shard 4", all(t, l.Shard(4)), want)
	wantEntries(t, "shard 9", all(t, l.Shard(9)), entries(1, 2, 1, 0))
	if got := hardOf(l.Shard(4)); got != (hardState{1, 3, 2}) {
		t.Errorf("hard state %+v", got)
	}
	must(t, l.Close())
}
