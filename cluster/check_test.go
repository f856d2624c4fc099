package cluster

import (
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
	"qmq/raftlog"
)

// Of a node that is in no set nothing is found.
func TestCheckOfANodeInNoSet(t *testing.T) {
	fs := crashfs.New(1).Mount()
	if err := fs.MkdirAll("/data/topics"); err != nil {
		t.Fatal(err)
	}
	if checked, err := Check(fs, "/data"); err != nil || len(checked.Findings)+len(checked.Topics) > 0 {
		t.Errorf("%+v, %v", checked, err)
	}
}

// atRest is the directory of a member with some votes, and the files of its log.
func atRest(t *testing.T, change func(*identity)) (disk *crashfs.FS, files []string) {
	t.Helper()
	disk = crashfs.New(1)
	fs := disk.Mount()
	i := &identity{Member: 2, Cluster: 1, Joined: true, Ran: true}
	change(i)
	l, _, err := raftlog.Open(raftlog.Options{FS: fs, Dir: "/data/raft/wal", Cluster: 1, Node: 2, SegmentBytes: 1, Manual: true})
	if err == nil {
		err = identityFile{fs: fs, dir: "/data/raft"}.store(i)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &group0{fs: fs, dir: "/data/raft/0", s: group0State{Index: 7, Term: 1, Registry: new(registry)}}
	if _, err := g.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	l.Save(&raftlog.Update{Shard: 0, HardState: &raftpb.HardState{Term: new(uint64(1)), Commit: new(uint64(7))}, Snapshot: &raftpb.SnapshotMetadata{Index: new(uint64(7)), Term: new(uint64(1))}})
	for term := range uint64(3) {
		l.Save(&raftlog.Update{Shard: 4, HardState: &raftpb.HardState{Term: new(term + 1), Vote: new(uint64(2))}})
		l.Flush()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".wal") {
			files = append(files, f.Name)
		}
	}
	return disk, files
}

func TestCheckOfVotesAndOfWhoTheMemberIs(t *testing.T) {
	for name, c := range map[string]struct {
		identity func(*identity)
		damage   func(t *testing.T, disk *crashfs.FS, files []string)
		kind     broker.DamageKind // empty: nothing is amiss
		says     string
	}{
		"whole":                {},
		"flaw":                 {damage: func(t *testing.T, disk *crashfs.FS, files []string) { flipBit(t, disk, files[0], 20) }, kind: broker.DamagedRaftLog, says: "the other one is good"},
		"record":               {damage: func(t *testing.T, disk *crashfs.FS, files []string) { flipBit(t, disk, files[0], 8192+40) }, kind: broker.DamagedRaftLog, says: "join it anew"},
		"another member's log": {identity: func(i *identity) { i.Member = 3 }, kind: broker.DamagedRaftLog, says: "it will not start"},
		"former":               {identity: func(i *identity) { i.Former = &former{Why: "its disk lies"} }, kind: broker.DamagedMember, says: "its disk lies"},
		"renewing":             {identity: func(i *identity) { i.Renewing = &renewing{Member: 4} }, kind: broker.DamagedMember, says: "has to be repeated"},
		"members gone": {damage: func(t *testing.T, disk *crashfs.FS, _ []string) {
			if err := disk.Mount().Remove("/data/raft/0/state"); err != nil {
				t.Fatal(err)
			}
		}, kind: broker.DamagedRaftLog, says: "of shard 0 does not go on where its checkpoint ends, at entry 0"},
		"unknown": {damage: func(t *testing.T, disk *crashfs.FS, _ []string) {
			if err := disk.Mount().Remove("/data/raft/member"); err != nil {
				t.Fatal(err)
			}
		}, kind: broker.DamagedMember, says: "is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.identity == nil {
				c.identity = func(*identity) {}
			}
			disk, files := atRest(t, c.identity)
			if c.damage != nil {
				c.damage(t, disk, files)
			}
			before := disk.Files()
			checked, err := Check(disk.Mount(), "/data")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(before, disk.Files()) {
				t.Error("files were changed")
			}
			switch found := checked.Findings; {
			case c.kind == "" && len(found) == 0:
			case len(found) != 1 || found[0].Kind != c.kind || !strings.Contains(found[0].Text, c.says):
				t.Errorf("%+v", found)
			}
		})
	}
}

func flipBit(t *testing.T, disk *crashfs.FS, name string, at int64) {
	t.Helper()
	if err := disk.FlipBit(name, at); err != nil {
		t.Fatal(err)
	}
}
