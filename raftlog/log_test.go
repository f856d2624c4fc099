package raftlog

import (
	"errors"
	"math"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs/crashfs"
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

func TestUpdateThatCannotFollowIsRefused(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 2, 5, 10), HardState: hard(2, 1, 0)})
	l.Compact(1, 3)
	for name, u := range map[string]*Update{
		"gap":              {Shard: 1, Entries: entries(7, 2, 1, 0)},
		"gap in itself":    {Shard: 1, Entries: append(entries(6, 2, 1, 0), entries(8, 2, 1, 0)...)},
		"compacted":        {Shard: 1, Entries: entries(3, 3, 3, 0)},
		"older term":       {Shard: 1, HardState: hard(1, 0, 0)},
		"other vote":       {Shard: 1, HardState: hard(2, 3, 0)},
		"behind no log":    {Shard: 2, Entries: entries(2, 2, 1, 0)},
		"below a snapshot": {Shard: 1, Snapshot: &raftpb.SnapshotMetadata{Index: new(uint64(9)), Term: new(uint64(2))}, Entries: entries(9, 2, 1, 0)},
	} {
		if err := save(l, u); !errors.Is(err, ErrContract) {
			t.Errorf("%s: Done got %v", name, err)
		}
	}
	wantEntries(t, "afterwards", all(t, l.Shard(1)), entries(1, 2, 5, 10))
	mustSave(t, l, &Update{Shard: 1, Entries: entries(4, 3, 1, 10)})
	must(t, l.Close())
	l, r := mustOpen(t, options(fsys.Mount()))
	if !r.Clean {
		t.Errorf("%+v", r)
	}
	wantEntries(t, "after a restart", all(t, l.Shard(1)), append(entries(1, 2, 3, 10), entries(4, 3, 1, 10)...))
	must(t, l.Close())
}

func TestCommitAloneNeedsNoSync(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 3, 10), HardState: hard(1, 1, 0)})
	syncs := 0
	fsys.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpSync {
			syncs++
		}
		return nil
	})
	mustSave(t, l, &Update{Shard: 1, HardState: hard(1, 1, 3)})
	if syncs != 0 || hardOf(l.Shard(1)).commit != 3 {
		t.Errorf("%d syncs, %+v", syncs, hardOf(l.Shard(1)))
	}
	mustSave(t, l, &Update{Shard: 1, HardState: hard(2, 0, 3)})
	mustSave(t, l, &Update{Shard: 1, HardState: hard(2, 2, 3)})
	if syncs != 2 {
		t.Errorf("%d syncs of a term and a vote", syncs)
	}
	must(t, l.Close())
}

func TestUpdatesOfManyShardsShareOneWriteAndOneSync(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	l.Flush() // prepares a file
	ops := make(map[crashfs.Op]int)
	fsys.Fail(func(op crashfs.Op, _ string) error {
		ops[op]++
		return nil
	})
	var done []uint32
	for id := range uint32(12) {
		l.Save(&Update{Shard: id, Entries: entries(1, 1, 1, 10), HardState: hard(1, 1, 0), Done: func(err error) {
			must(t, err)
			done = append(done, id)
		}})
	}
	l.Flush()
	if !slices.IsSorted(done) || len(done) != 12 {
		t.Errorf("told were %v", done)
	}
	if ops[crashfs.OpWrite] != 1 || ops[crashfs.OpSync] != 1 {
		t.Errorf("operations %v", ops)
	}
	must(t, l.Close())
}

func TestFilesThatNobodyNeedsAreKeptForFollowersUpToRetain(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.Retain = 3 * minSegment
	l, _ := mustOpen(t, o)
	for i := range uint64(60) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
		mustSave(t, l, &Update{Shard: 2, Entries: entries(i+1, 1, 1, 0)})
	}
	if p := l.Pinning(); !slices.Equal(p.Shards, []uint32{1, 2}) || p.Bytes < 60*300 {
		t.Errorf("pinned: %+v", p)
	}
	l.Compact(1, 60)
	l.Flush()
	if first, _ := bounds(l.Shard(1)); first != 1 {
		t.Errorf("entries below %d went while shard 2 needs its own", first)
	}
	if p := l.Pinning(); !slices.Equal(p.Shards, []uint32{2}) {
		t.Errorf("pinned: %+v", p)
	}
	l.Compact(2, 1000) // more than there is
	l.Flush()
	first, _ := bounds(l.Shard(1))
	if first < 20 || first > 50 {
		t.Errorf("shard 1 begins at %d", first)
	}
	if p := l.Pinning(); len(p.Shards) != 0 || p.Bytes > minSegment {
		t.Errorf("pinned: %+v", p)
	}
	if n := len(fsys.Files()); n > 3+1+1+maxSpares {
		t.Errorf("%d files", n)
	}
	list, err := l.Shard(1).Entries(first, 61, math.MaxUint64)
	must(t, err)
	wantEntries(t, "what followers may ask for", list, entries(first, 1, int(61-first), 300))
	must(t, l.Close())
}

// TestFilesOfWhatIsEverywhereAreNotKeptForFollowers but for the newest of them.
func TestFilesOfWhatIsEverywhereAreNotKeptForFollowers(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.Retain = 1 << 30
	l, _ := mustOpen(t, o)
	for i := range uint64(60) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
		mustSave(t, l, &Update{Shard: 2, Entries: entries(i+1, 1, 1, 0)})
	}
	first := func() uint64 {
		l.Flush()
		first, _ := bounds(l.Shard(1))
		return first
	}
	l.Everywhere(1, 60)
	l.Everywhere(2, 60)
	if first := first(); first != 1 {
		t.Errorf("entries below %d went though this node needs them", first)
	}
	l.Compact(1, 60)
	l.Compact(2, 60)
	newest := first()
	if newest < 30 || newest > 59 {
		t.Errorf("shard 1 begins at %d", newest)
	}
	for i := range uint64(60) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+61, 1, 1, 300)})
	}
	l.Everywhere(1, 90)
	l.Everywhere(1, 80)
	l.Compact(1, 120)
	if first := first(); first <= newest || first > 91 {
		t.Errorf("up to entry 90 all is everywhere, and shard 1 begins at %d", first)
	}
	must(t, l.Close())
}

func TestFilesForFollowersAreShedWhenTheDiskIsFull(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.Retain = 1 << 30
	l, _ := mustOpen(t, o)
	for i := range uint64(60) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
	}
	l.Compact(1, 40)
	l.Flush()
	before := fsys.Used()
	l.Shed()
	l.Flush()
	if first, _ := bounds(l.Shard(1)); first < 20 || first > 41 {
		t.Errorf("the log begins at %d", first)
	}
	if after := fsys.Used(); after >= before {
		t.Errorf("%d bytes are used, %d before", after, before)
	}
	for i := range uint64(20) { // it is done once
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+61, 1, 1, 300)})
	}
	first, _ := bounds(l.Shard(1))
	l.Compact(1, 80)
	l.Flush()
	if again, _ := bounds(l.Shard(1)); again != first {
		t.Errorf("entries from %d to %d went, too", first, again)
	}
	must(t, l.Close())
}

func TestVotesOutliveTheFilesThatTheyWereWrittenTo(t *testing.T) {
	fsys := newDisk(t, 1)
	l, _ := mustOpen(t, options(fsys.Mount()))
	members := &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}
	mustSave(t, l, &Update{Shard: 5, HardState: hard(9, 2, 7), Snapshot: &raftpb.SnapshotMetadata{Index: new(uint64(7)), Term: new(uint64(8)), ConfState: members}})
	for i := range uint64(100) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
		l.Compact(1, i)
	}
	if _, err := fsys.ReadFile(testDir + "/" + segmentName(1)); err == nil {
		t.Error("the first file is still there")
	}
	fsys.Crash(crashfs.DropAll)
	l, _ = mustOpen(t, options(fsys.Mount()))
	s := l.Shard(5)
	first, last := bounds(s)
	term, err := s.Term(7)
	_, got, _ := s.InitialState()
	if hardOf(s) != (hardState{9, 2, 7}) || first != 8 || last != 7 || term != 8 || err != nil || got.Equivalent(members) != nil {
		t.Errorf("hard state %+v, entries from %d to %d behind term %d, %v, members %v", hardOf(s), first, last, term, err, got)
	}
	must(t, l.Close())
}

// Without syncs a loss of power is noticed, and stays known until the node has
// another id, also where the machine is not started anew again.
func TestLossOfPowerWithoutSyncsIsNotForgotten(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.NoSync = true
	l, _ := mustOpen(t, o)
	mustSave(t, l, &Update{Shard: 1, Entries: entries(1, 1, 3, 10)})
	fsys.Kill()
	o.FS = fsys.Mount()
	l, r := mustOpen(t, o)
	if r.Forgetful() || r.Clean {
		t.Errorf("after a kill: %+v", r)
	}
	wantEntries(t, "after a kill", all(t, l.Shard(1)), entries(1, 1, 3, 10))
	fsys.Crash(crashfs.DropAll)
	o.FS, o.Boot, o.NoSync = fsys.Mount(), "tuesday", false
	if l, r = mustOpen(t, o); r.Doubt == "" {
		t.Errorf("after a loss of power: %+v", r)
	}
	must(t, l.Close())
	for range 2 {
		if l, r = mustOpen(t, o); r.Doubt == "" || r.Clean {
			t.Errorf("later: %+v", r)
		}
		must(t, l.Close())
	}
}

func TestWhatIsMissingWithoutSyncsEndsTheLogThere(t *testing.T) {
	fsys := newDisk(t, 1)
	o := options(fsys.Mount())
	o.NoSync = true
	l, _ := mustOpen(t, o)
	for i := range uint64(30) {
		mustSave(t, l, &Update{Shard: 1, Entries: entries(i+1, 1, 1, 300)})
	}
	at := l.shards[1].stretches[1].places[2] // the second file's third
	index := l.shards[1].stretches[1].first + 2
	fsys.Kill()
	must(t, fsys.FlipBit(testDir+"/"+segmentName(2), int64(at.offset)+60))
	o.FS = fsys.Mount()
	l, r := mustOpen(t, o)
	if r.Doubt == "" || len(r.Damaged) > 0 {
		t.Errorf("%+v", r)
	}
	wantEntries(t, "before what is missing", all(t, l.Shard(1)), entries(1, 1, int(index)-1, 300))
	if _, err := fsys.ReadFile(testDir + "/" + segmentName(3) + ".kept-1"); err != nil {
		t.Errorf("what stood behind it: %v", err)
	}
	mustSave(t, l, &Update{Shard: 1, Entries: entries(index, 2, 3, 10)})
	must(t, l.Close())
	l, _ = mustOpen(t, o)
	wantEntries(t, "and on", all(t, l.Shard(1)), append(entries(1, 1, int(index)-1, 300), entries(index, 2, 3, 10)...))
	must(t, l.Close())
}
