package cluster

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/raftlog"
	shardentry "qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
)

// theShard is where the tests' topic is, of theTopic's incarnation.
const (
	theShard = uint32(3)
	theTopic = uint64(7)
)

// formerMember makes a directory of a member of a set of three, whose log has a topic
// and a message in it that no checkpoint has.
func formerMember(t *testing.T, disk vfs.FS) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(disk.MkdirAll("/data"))
	check(disk.SyncDir("/"))
	r := newRecord([]place{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}, 7, nil)
	file := identityFile{fs: disk, dir: "/data/raft"}
	check(file.store(&identity{Member: 2, Cluster: r.Cluster, Epoch: 3, Record: r, Number: 7, Ran: true}))
	members := &pb.ConfState{Voters: r.ids(), AutoLeave: new(false)}
	re := &renewal{fs: disk, dir: "/data"}
	var err error
	re.group0, err = openGroup0(disk, "/data/raft/0", r, func(*registry) {})
	check(err)
	check(re.openMachines(machine.Options{SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}))
	for n := range uint32(Shards + 1) {
		check(re.machine(n).SetMembers(1, 1, members))
		_, err := re.machine(n).Checkpoint()
		check(err)
	}
	check(re.closeMachines())

	log, _, err := raftlog.Open(raftlog.Options{FS: disk, Dir: "/data/raft/wal", Cluster: uint64(r.Cluster), Node: 2, SegmentBytes: 1 << 20, Manual: true})
	check(err)
	batch := new(diskqueue.Batch)
	batch.Add(&message.Meta{}, []byte("a message"))
	create := shardentry.Entry{Topology: []state.Entry{{Op: state.CreateTopic, Topic: theTopic, Name: "orders"}}}
	publish := shardentry.Entry{Parts: []shardentry.Part{{Topic: theTopic, Origin: shardentry.Origin{Member: 3, Epoch: 1, Number: 1}, Count: 1, Batch: batch}}}
	log.Save(&raftlog.Update{Shard: theShard, Snapshot: &pb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: members}, Entries: []*pb.Entry{
		{Index: new(uint64(2)), Term: new(uint64(2)), Type: pb.EntryNormal.Enum(), Data: create.AppendTo(nil)},
		{Index: new(uint64(3)), Term: new(uint64(2)), Type: pb.EntryNormal.Enum(), Data: publish.AppendTo(nil)},
	}})
	log.Flush()
	check(log.Close())
}

func forceIn(disk vfs.FS) (*Renewed, error) {
	f, err := OpenForce(ForceOptions{FS: disk, Dir: "/data", SegmentBytes: 1 << 20, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	renewed, err := f.Run()
	return renewed, errors.Join(err, f.Close())
}

// wantRenewed checks what a set that began anew has.
func wantRenewed(t *testing.T, disk vfs.FS, renewed *Renewed) {
	t.Helper()
	i, err := identityFile{fs: disk, dir: "/data/raft"}.open()
	if err != nil || show(i.Member) != renewed.Member || show(i.Cluster) != renewed.Set || i.Epoch <= 3 || i.Number != 7 || !i.Joined {
		t.Fatalf("%+v, %v", i, err)
	}
	g, err := openGroup0(disk, "/data/raft/0", nil, func(*registry) {})
	if err != nil {
		t.Fatal(err)
	}
	alone := []uint64{uint64(i.Member)}
	known := g.state().Registry
	if m := known.member(i.Member); m == nil || len(known.Members) != 1 || m.Address != "b:1" || !slices.Equal(known.Expected, []string{"a:1", "c:1"}) ||
		known.Begun.How != BegunByForce || known.Cluster != i.Cluster || !slices.Equal(g.Members().GetVoters(), alone) {
		t.Fatalf("%+v", known)
	}
	r := &renewal{fs: disk, dir: "/data"}
	if err := r.openMachines(machine.Options{SegmentBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	defer r.closeMachines()
	for n := uint32(1); n <= Shards; n++ {
		if voters := r.machine(n).Members().GetVoters(); !slices.Equal(voters, alone) {
			t.Errorf("shard %d: %v", n, voters)
		}
	}
	v, err := r.machines[theShard].Topic(theTopic)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if least := uint64(time.Now().Add(-time.Hour).UnixNano()) >> 8; v.Next < least || len(v.State.Voids) != 1 || v.State.Voids[0].To != v.Next {
		t.Errorf("it goes on at %d, voids %v", v.Next, v.State.Voids)
	}
	b, first, _, err := v.Log.NewReader().ReadBatch(1, v.State.Voids[0].From, 1<<20)
	if err != nil || b.Len() != 1 || first != 1 {
		t.Errorf("%d messages from %d, %v", b.Len(), first, err)
	}
	if r.machines[theShard].MaxIncarnation() < theTopic+numberSpace {
		t.Error("incarnations may come again")
	}
}

// All that the log has is taken over, and numbers jump. Whenever the machine stops
// meanwhile, the node does not start as it is, and repeating the command ends well.
func TestForceNewMayBeInterruptedAnywhere(t *testing.T) {
	interrupted := 0
	for stop := 1; ; stop = stop + 1 + stop/12 {
		disk := crashfs.New(uint64(stop))
		formerMember(t, disk.Mount())
		var left atomic.Int64 // shards are worked on side by side
		left.Store(int64(stop))
		disk.Fail(func(op crashfs.Op, _ string) error {
			if op != crashfs.OpRead {
				if left.Add(-1) == 0 {
					disk.Crash(crashfs.Random)
				}
			}
			return nil
		})
		renewed, err := forceIn(disk.Mount())
		disk.Fail(nil)
		if err != nil {
			interrupted++
			file := identityFile{fs: disk.Mount(), dir: "/data/raft"}
			if i, err := file.load(); err != nil {
				t.Fatal(err)
			} else if _, err := file.open(); i.Renewing != nil && err == nil {
				t.Fatal("it starts in the middle")
			} else if i.Joined { // it was through
				continue
			}
			if renewed, err = forceIn(disk.Mount()); err != nil {
				t.Fatalf("stopped at operation %d, and then: %v", stop, err)
			}
		}
		wantRenewed(t, disk.Mount(), renewed)
		if err == nil && left.Load() > 0 {
			break
		}
	}
	if interrupted < 20 {
		t.Errorf("it was interrupted at %d places", interrupted)
	}
}

// Of a log that is damaged before its end what the checkpoints have is taken over, and it
// is said that more was there; the files are kept.
func TestForceNewOfADamagedLogSaysWhatIsMissing(t *testing.T) {
	disk := crashfs.New(1)
	formerMember(t, disk.Mount())
	names, err := disk.ReadDir("/data/raft/wal")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	damaged := false
	for at := int64(4096); at < 3*4096 && !damaged; at += 16 {
		if err := disk.FlipBit(filepath.Join("/data/raft/wal", names[0].Name()), at); err != nil {
			t.Fatal(err)
		}
		report, err := raftlog.Check(disk.Mount(), "/data/raft/wal")
		if err != nil {
			t.Fatal(err)
		}
		damaged = len(report.Damaged) > 0
	}
	renewed, err := forceIn(disk.Mount())
	if err != nil || !damaged || !strings.Contains(renewed.Lost, "the log is damaged, and is kept in /data/raft/wal") {
		t.Fatalf("%v: %+v, %v", damaged, renewed, err)
	}
	g, err := openGroup0(disk.Mount(), "/data/raft/0", nil, func(*registry) {})
	if err != nil || g.state().Registry.Begun.Lost != renewed.Lost {
		t.Errorf("%v", err)
	}
}

// What is in use, of nobody, or has nothing yet is refused.
func TestForceNewRefusesWhatItCannotBeginFrom(t *testing.T) {
	disk := crashfs.New(1)
	fs := disk.Mount()
	if err := fs.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	if _, err := forceIn(fs); !errors.Is(err, ErrNoMember) {
		t.Error(err)
	}
	file := identityFile{fs: fs, dir: "/data/raft"}
	if err := file.store(&identity{Member: 5, Cluster: 6, Joined: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := forceIn(fs); err == nil {
		t.Error("a set begins from nothing")
	}
	lock, err := fs.Lock("/data")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := forceIn(fs); !errors.Is(err, vfs.ErrLocked) {
		t.Error(err)
	}
}
