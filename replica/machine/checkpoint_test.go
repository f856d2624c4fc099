package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"qmq/internal/crc32c"
	"qmq/internal/vfs/crashfs"
	"qmq/replica/entry"
	"qmq/state"

	pb "go.etcd.io/raft/v3/raftpb"
)

const raftDir = dataDir + "/raft/3/"

// checkpoints lists the files beside the logs.
func checkpoints(disk *crashfs.FS) (list []string) {
	for _, f := range disk.Files() {
		if name, ok := strings.CutPrefix(f.Name, raftDir); ok {
			list = append(list, name)
		}
	}
	return list
}

func TestTwoCheckpointsAreKept(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	for n := range uint64(4) {
		feed(t, m, topology(createTopic(fmt.Sprint("t", n))))
		index, err := m.Checkpoint()
		must(t, err)
		if want := max(1, n); index != want {
			t.Errorf("after entry %d: not needed up to %d, want %d", n+1, index, want)
		}
	}
	if got := fmt.Sprint(checkpoints(disk)); got != "[0000000000000003.ckpt 0000000000000004.ckpt]" {
		t.Error(got)
	}
	if index, err := m.Checkpoint(); err != nil || index != 3 {
		t.Errorf("with nothing new: %d, %v", index, err)
	}
}

// TestShardInWhichNothingHappensKeepsNoEntries beyond its newest checkpoint, once that is
// asked for again; one that is damaged is made again.
func TestShardInWhichNothingHappensKeepsNoEntries(t *testing.T) {
	for name, damaged := range map[string]bool{"good": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(1)
			m := open(t, disk)
			for n := range 2 {
				feed(t, m, topology(createTopic(fmt.Sprint("t", n))))
				_, err := m.Checkpoint()
				must(t, err)
			}
			newest := raftDir + "0000000000000002.ckpt"
			good, err := disk.ReadFile(newest)
			must(t, err)
			if damaged {
				bad := bytes.Clone(good)
				bad[len(bad)/2] ^= 1
				must(t, disk.WriteFile(newest, bad))
			}
			index := uint64(0)
			for range 4 {
				index, err = m.Checkpoint()
				must(t, err)
			}
			if index != 2 {
				t.Errorf("not needed up to %d", index)
			}
			must(t, m.verifyCheckpoint(2))
		})
	}
}

func TestDamagedCheckpointCostsTheEntriesSinceTheOlderOne(t *testing.T) {
	h := newHistory(t, 4, 90)
	for name, damage := range map[string]func(file []byte) []byte{
		"a flipped bit":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"header":         func(b []byte) []byte { b[0] ^= 1; return b },
		"header's sum":   func(b []byte) []byte { b[13] ^= 1; return b },
		"length":         func(b []byte) []byte { b[checkpointHeader+3] ^= 0x70; return b },
		"empty":          func([]byte) []byte { return nil },
		"cut":            func(b []byte) []byte { return b[:len(b)-1] },
		"cut at a frame": func(b []byte) []byte { return b[:len(b)-frameHeader-2] },
		"zeros":          func(b []byte) []byte { return make([]byte, len(b)) },
		"another's": func(b []byte) []byte { // all sums are right
			i := checkpointHeader
			salt := binary.LittleEndian.Uint32(b[8:])
			n := binary.LittleEndian.Uint32(b[i:])
			b[i+frameHeader+1] = 4 // the shard
			binary.LittleEndian.PutUint32(b[i+4:], crc32c.Update(salt, b[i+frameHeader:][:n]))
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk(1)
			must(t, h.applyAll(open(t, disk), 30))
			wreck := func(file string) {
				b, err := disk.ReadFile(raftDir + file)
				must(t, err)
				must(t, disk.WriteFile(raftDir+file, damage(b)))
			}
			wreck("000000000000005a.ckpt")
			disk.Kill()
			m := open(t, disk)
			if index, _ := m.Applied(); index != 60 {
				t.Fatalf("opened at %d", index)
			}
			must(t, h.applyAll(m, 1000))
			same(t, m, h.m)
			if got := fmt.Sprint(checkpoints(disk)); got != "[000000000000003c.ckpt 000000000000005a.ckpt.damaged]" {
				t.Error(got)
			}
			wreck("000000000000003c.ckpt")
			disk.Kill()
			for range 2 {
				if _, err := tryOpen(disk); !errors.Is(err, ErrNoCheckpoint) {
					t.Fatal(err)
				}
			}
			m = open(t, disk, func(o *Options) { o.StartOver = true })
			must(t, install(m, framesFor(t, h.m, m.Ends())))
			same(t, m, h.m)
		})
	}
}

func TestCheckpointOfANewerVersionIsNotTakenForDamage(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	for range 2 {
		feed(t, m, topology(createTopic("t")))
		_, err := m.Checkpoint()
		must(t, err)
	}
	name := raftDir + "0000000000000002.ckpt"
	b, err := disk.ReadFile(name)
	must(t, err)
	b[4]++
	binary.LittleEndian.PutUint32(b[12:], crc32c.Sum(b[:12]))
	must(t, disk.WriteFile(name, b))
	disk.Kill()
	if _, err := tryOpen(disk); !errors.Is(err, errNewerCheckpoint) {
		t.Error(err)
	}
}

func TestFullDiskFailsACheckpointAndNothingElse(t *testing.T) {
	h := newHistory(t, 4, 60)
	disk := newDisk(1)
	m := open(t, disk)
	must(t, h.applyAll(m, 30))
	feed(t, m, topology(createTopic("more")))
	disk.Limit(disk.Used() + 10)
	if _, err := m.Checkpoint(); err == nil {
		t.Fatal("it has no room")
	}
	if got := fmt.Sprint(checkpoints(disk)); got != "[000000000000001e.ckpt 000000000000003c.ckpt]" {
		t.Error(got)
	}
	disk.Limit(1 << 40)
	if index, err := m.Checkpoint(); err != nil || index != 60 {
		t.Errorf("%d, %v", index, err)
	}
}

// A channel of which very much is open is in many frames.
func TestStateOfAnySizeComesBackInPieces(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	feed(t, m, topology(createTopic("t"), createChannel(1, "c"), createChannel(1, "d")), publish(1, 7, 1, "a"))
	ch := state.ChannelChanges{Topic: 1, Channel: 2, Version: 9, Full: true, Floor: 1, Cursor: 400_000}
	for i := range uint64(3*pieceLen + 5) {
		ch.Open = append(ch.Open, state.OpenMessage{Seq: 3 * i, Attempts: uint16(i), Due: int64(i % 7)})
		ch.Acked = append(ch.Acked, rangeOf(3*i+1, 3*i+2+i%2))
	}
	feed(t, m, changes(ch), &entry.Entry{Level: 7})
	_, err := m.Checkpoint()
	must(t, err)
	before := encoded(m)
	must(t, m.Close())
	m = open(t, disk)
	if string(encoded(m)) != string(before) || m.Level() != 7 {
		t.Error("the state is another")
	}
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	c := v.State.Channels[2]
	if c.Version != 9 || c.Open.Len() != 3*pieceLen+4 { // number 0 is done
		t.Errorf("version %d, %d open", c.Version, c.Open.Len())
	}
	st := state.New()
	st.PutTopic(v.State)
	st.MaxIncarnation = 3
	if flaws := st.Check(); len(flaws) > 0 {
		t.Error(flaws)
	}
}

func TestMembersOfRaftAreKept(t *testing.T) {
	disk := newDisk(1)
	r := Raft{open(t, disk)}
	if r.Members() != nil {
		t.Error("members of nothing")
	}
	want := &pb.ConfState{Voters: []uint64{1, 9}, Learners: []uint64{4}, VotersOutgoing: []uint64{1, 2}, LearnersNext: []uint64{3}, AutoLeave: new(true)}
	must(t, r.SetMembers(1, 1, want))
	if out, err := r.Apply(2, 1, topology(createTopic("t")).AppendTo(nil)); err != nil || len(out.(Outcome).Topology) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err := r.Checkpoint()
	must(t, err)
	r = Raft{open(t, disk)}
	if got := r.Members(); got.String() != want.String() {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = r.Apply(3, 1, []byte{99})
	if !r.Fatal(err) || r.Fatal(errInstalling) {
		t.Errorf("%v is fatal: %v", err, r.Fatal(err))
	}
}

// TestCountsAndActionsAreKept, in checkpoints and in snapshots.
func TestCountsAndActionsAreKept(t *testing.T) {
	disk := newDisk(1)
	m := open(t, disk)
	asked := func(at int64, member uint64) *entry.Entry {
		return &entry.Entry{Action: &entry.Action{Op: state.EmptyChannel, At: at, Member: member, Request: member, Topic: 1, Name: "t", Channel: "c"}}
	}
	feed(t, m, topology(createTopic("t")), publish(1, 7, 1, "a", "bc"), topology(createChannel(1, "c")), publish(1, 7, 2, "d"), topology(createChannel(1, "late")))
	rewind := &entry.Action{Op: state.RewindChannel, At: 5, Member: 2, Request: 9, Topic: 1, Name: "t", Channel: "c", Place: "first"}
	first := m.s.topics[1].st.Channels[2].Start
	feed(t, m, asked(1, 1), asked(2, 2), &entry.Entry{Action: rewind, Topology: []state.Entry{state.RewindOf(1, 2, first, 1, nil)}})
	_, err := m.Checkpoint()
	must(t, err)
	disk.Crash(crashfs.DropAll)
	m = open(t, disk)
	v, err := m.Topic(1)
	must(t, err)
	defer v.Release()
	if v.State.Messages != 3 || v.State.Bytes != 4 {
		t.Errorf("%d messages, %d bytes", v.State.Messages, v.State.Bytes)
	}
	for _, c := range v.State.Channels {
		if want := map[string]uint64{"c": 0, "late": 3}[c.Name]; c.Missed != want {
			t.Errorf("%s missed %d, want %d", c.Name, c.Missed, want)
		}
	}
	a, ok := m.Asked(asked(3, 3).Action)
	if !ok || len(a.By) != 2 || a.Through(2) == nil || a.Through(3) != nil {
		t.Errorf("%+v, %v", a, ok)
	}
	if a, ok := m.Asked(rewind); !ok || a.By[0].From == 0 || a.By[0].From != first || a.By[0].Request != 9 {
		t.Errorf("of the rewind to %d: %+v, %v", first, a, ok)
	}
	if _, ok := m.Asked(asked(1+int64(SameAction), 3).Action); ok {
		t.Error("after a minute it is another action")
	}
	if out := feed(t, m, &entry.Entry{Term: 5, Action: asked(4, 4).Action}); !out.StaleTerm {
		t.Error("an action of another term counts")
	}
}
