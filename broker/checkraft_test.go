package broker

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs/crashfs"
	"qmq/raftlog"
)

// withRaftLog adds a raft log with votes to the directory.
func withRaftLog(t *testing.T, disk *crashfs.FS) (files []string) {
	t.Helper()
	dir := dataPath + "/" + raftLogDir
	l, _, err := raftlog.Open(raftlog.Options{FS: disk, Dir: dir, Cluster: 1, Node: 2, SegmentBytes: 1, Manual: true})
	must(t, err)
	for term := range uint64(3) {
		l.Save(&raftlog.Update{Shard: 4, HardState: &raftpb.HardState{Term: new(term + 1), Vote: new(uint64(2))}, Done: func(err error) { must(t, err) }})
		l.Flush()
	}
	must(t, l.Close())
	for _, f := range disk.Files() {
		if strings.HasPrefix(f.Name, dir) {
			files = append(files, f.Name)
		}
	}
	return files
}

func TestCheckReadsTheRaftLogOfAMember(t *testing.T) {
	disk := used(t)
	files := withRaftLog(t, disk)
	before := disk.Files()
	if checked := check(t, disk, "monday"); len(checked.Findings) > 0 {
		t.Errorf("found %+v", checked.Findings)
	}
	if !slices.Equal(disk.Files(), before) {
		t.Error("files were changed")
	}
	must(t, disk.FlipBit(files[0], 8192+40)) // in the first record
	checked := check(t, disk, "monday")
	if len(checked.Findings) != 1 || checked.Findings[0].Kind != DamagedRaftLog || checked.Findings[0].Path != files[0] {
		t.Errorf("found %+v", checked.Findings)
	}
}
