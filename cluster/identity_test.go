package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs"
	"qmq/replica"
)

func newFile(t *testing.T) identityFile {
	dir := t.TempDir()
	return identityFile{fs: vfs.OS, dir: filepath.Join(dir, "raft")}
}

func TestMemberKeepsItsIDAndItsEpochGrows(t *testing.T) {
	f := newFile(t)
	first, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	first.Cluster, first.Number, first.Record = 5, 7, newRecord([]place{{first.Member, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil)
	if err := f.store(first); err != nil {
		t.Fatal(err)
	}
	second, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if second.Epoch != first.Epoch+1 || first.Member == 0 {
		t.Errorf("%+v", second)
	}
	second.Epoch--
	if !reflect.DeepEqual(first, second) {
		t.Errorf("%+v, not %+v", second, first)
	}
}

func TestDamagedIdentityStopsTheStartAndSaysWhatToDo(t *testing.T) {
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return append(b, b...) },
		func([]byte) []byte { return nil },
	} {
		f := newFile(t)
		if _, err := f.open(); err != nil {
			t.Fatal(err)
		}
		content, err := vfs.ReadFile(f.fs, f.path(), maxFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(f.fs, f.path(), damage(content)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "remove the directories raft and replicated") {
			t.Errorf("%v", err)
		}
	}
}

// A log whose member is not known may be that of one who has voted: the node may only
// join.
func TestMissingIdentityBesideALogIsAFormerMember(t *testing.T) {
	f := newFile(t)
	if err := vfs.OS.MkdirAll(filepath.Join(f.dir, walName)); err != nil {
		t.Fatal(err)
	}
	i, err := f.open()
	if err != nil || i.Former == nil {
		t.Fatalf("%+v, %v", i, err)
	}
}

func TestFilesOfAFormerMemberAreSetAsideAndTheIdentityStays(t *testing.T) {
	f := newFile(t)
	dir := filepath.Dir(f.dir)
	if kept, err := f.setAside(dir, &former{Member: 9}); kept != "" || err != nil {
		t.Errorf("of nothing: %q, %v", kept, err)
	}
	for _, name := range []string{reserveName, startName} {
		if err := errors.Join(vfs.OS.MkdirAll(f.dir), os.WriteFile(filepath.Join(f.dir, name), []byte("room"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := f.setAside(dir, &former{Member: 9}); kept != "" || err != nil {
		t.Errorf("of reserves: %q, %v", kept, err)
	}
	if _, err := vfs.OS.ReadDir(filepath.Join(dir, "replaced-0000000000000009")); err == nil {
		t.Error("there is a directory of nothing that is kept")
	}
	if _, err := f.open(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"raft/wal", "raft/0", "replicated/1"} {
		if err := vfs.OS.MkdirAll(filepath.Join(dir, d)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := f.setAside(dir, &former{Member: 9})
	if err != nil || kept != filepath.Join(dir, "replaced-0000000000000009") {
		t.Fatalf("%q, %v", kept, err)
	}
	for _, d := range []string{"raft/wal", "raft/0", "replicated/1"} {
		if _, err := vfs.OS.ReadDir(filepath.Join(dir, d)); err == nil {
			t.Errorf("%s is still there", d)
		}
		if _, err := vfs.OS.ReadDir(filepath.Join(kept, d)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{reserveName, startName} {
		if _, err := os.ReadFile(filepath.Join(f.dir, name)); err != nil {
			t.Error(err)
		}
	}
	if i, err := f.load(); i == nil || err != nil {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestGroup0ComesBackAsOfItsCheckpoint(t *testing.T) {
	dir := t.TempDir()
	var told *registry
	open := func() *group0 {
		g, err := openGroup0(vfs.OS, dir, newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil), func(now *registry) { told = now })
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	apply := func(g *group0, index uint64, e *entry) {
		b, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		if why, err := g.Apply(index, 2, b); err != nil || why != refused("") {
			t.Fatal(why, err)
		}
	}
	g := open()
	if err := g.SetMembers(1, 1, &pb.ConfState{Voters: []uint64{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	apply(g, 2, &entry{Expect: "d:1"})
	if index, err := g.Checkpoint(); index != 2 || err != nil {
		t.Fatal(index, err)
	}
	apply(g, 3, &entry{Expect: "e:1"})
	if len(told.Expected) != 2 {
		t.Error(told.Expected)
	}
	again := open()
	if index, term := again.Applied(); index != 2 || term != 2 || len(told.Expected) != 1 || len(again.Members().GetVoters()) != 3 {
		t.Errorf("%d %d, %v", index, term, told.Expected)
	}
	line, err := g.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := again.install(line); err != nil {
		t.Fatal(err)
	}
	if index, _ := again.Applied(); index != 3 || len(told.Expected) != 2 {
		t.Errorf("%d, %v", index, told.Expected)
	}
	if _, err := g.Apply(4, 2, []byte{9}); err == nil || !g.Fatal(err) {
		t.Errorf("an unknown entry: %v", err)
	}
	if index, _ := open().Applied(); index != 3 {
		t.Errorf("the snapshot is not on the disk: %d", index)
	}
}

var _ replica.Machine = (*group0)(nil)
