package replica

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/replica/entry"
	"qmq/replica/machine"
	"qmq/state"
)

// simTopics is the node's machine itself, with one topic. A batch is one record
// that tells whose it is.
type simTopics struct {
	Machine
	fs   *crashfs.FS
	m    *machine.Machine
	last simState // of the entry that was applied last
	full bool
	// breaks says behind how many frames a snapshot breaks off; negative: it does not.
	breaks func() int
}

var errBrokeOff = errors.New("a snapshot breaks off")

const simTopic = 7 // its incarnation

func (t *simTopics) restart() {
	fs := t.fs.Mount()
	if err := errors.Join(fs.MkdirAll("/node"), fs.SyncDir("/")); err != nil {
		panic(err)
	}
	m, err := machine.Open(machine.Options{
		Shard: 3, Dir: "/node", SegmentBytes: 4 << 10, Logger: quiet,
		Shared: diskqueue.NewShared(diskqueue.SharedOptions{FS: fs, Logger: quiet}),
		Now:    func() int64 { return time.Now().UnixNano() },
		Go:     func(f func()) { f() },
	})
	if err != nil {
		panic(err)
	}
	t.m, t.Machine = m, MachineOf(m)
	t.last.index, t.last.term = t.Applied()
}

// now has no floor: nothing is served.
func (t *simTopics) now() *simState {
	t.last.index, t.last.term = t.Applied()
	t.last.members = t.Members()
	return &t.last
}

func (t *simTopics) row(member uint64) origin {
	epoch, number := t.m.Row(simTopic, member)
	return origin{member, epoch, number}
}

func (t *simTopics) fill(full bool) { t.full = full }
func (t *simTopics) isFull() bool   { return t.full }

func (t *simTopics) SetMembers(index, term uint64, members *pb.ConfState) error {
	t.last.hash = 0
	return t.Machine.SetMembers(index, term, members)
}

func (t *simTopics) Apply(index, term uint64, data []byte) (any, error) {
	if t.full {
		return nil, errDiskFull
	}
	t.last.hash = 0
	if len(data) == 0 {
		_, err := t.Machine.Apply(index, term, nil)
		return nil, err
	}
	e := entry.Entry{Topology: []state.Entry{{Op: state.CreateTopic, Name: "t", Topic: simTopic}}}
	for _, p := range decodeSimEntry(data).parts {
		b := new(diskqueue.Batch)
		b.Add(&message.Meta{Timestamp: 7}, simEntry{parts: []origin{p}}.encode())
		e.Parts = append(e.Parts, entry.Part{Topic: simTopic, Origin: entry.Origin{Member: p.member, Epoch: p.epoch, Number: p.number}, Batch: b})
	}
	done, err := t.Machine.Apply(index, term, e.AppendTo(nil))
	if err != nil {
		return nil, err
	}
	var out simOutcome
	for _, p := range done.(machine.Outcome).Parts {
		t.last.note(uint64(p.Status), uint64(p.Added.First))
		out.parts = append(out.parts, statusOf(p.Status))
	}
	return out, nil
}

func statusOf(s machine.Status) partStatus {
	switch s {
	case machine.Applied:
		return partApplied
	case machine.Duplicate:
		return partDuplicate
	case machine.Gap, machine.NoTopic: // the first entry creates the topic, behind its parts
		return partGap
	}
	return partOld
}

func (t *simTopics) shard() *machine.Machine { return t.m }

func (t *simTopics) take(from simApplier) (*pb.SnapshotMetadata, error) {
	if t.full {
		return nil, errDiskFull
	}
	return simTransfer{from.(interface{ shard() *machine.Machine }).shard(), t, t.breaks()}.Take(context.Background())
}

// breaks says behind how many frames a snapshot breaks off: half of them do, while there are
// faults.
func (w *world) breaks() int {
	if w.ending || w.chance(0.5) {
		return -1
	}
	return w.rng.IntN(20)
}

// simTransfer is a snapshot as the bulk lane would bring it, in an instant, which breaks
// off behind so many frames; negative: it does not.
type simTransfer struct {
	from   *machine.Machine
	to     *simTopics
	frames int
}

func (s simTransfer) Take(context.Context) (*pb.SnapshotMetadata, error) {
	staged, err := s.to.m.Stage()
	if err != nil {
		return nil, err
	}
	defer staged.Close()
	snapshot := s.from.Snapshot(staged.Ends())
	defer snapshot.Close()
	snapshot.Sealed() // a frame is one segment at most
	for ; ; s.frames-- {
		if s.frames == 0 {
			return nil, errBrokeOff // the next one goes on there
		}
		frame, err := snapshot.Next(nil)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = staged.Put(frame)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := staged.Install(); err != nil {
		return nil, err
	}
	index, term := s.to.Applied()
	return &pb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: s.to.Members()}, nil
}

// contents is what the topic's log has, to be compared at the end.
func (t *simTopics) contents() (list []origin, err error) {
	v, err := t.m.Topic(simTopic)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	r := v.Log.NewReader()
	defer r.Release()
	for seq := v.State.Start; seq < v.Next; seq++ {
		record, err := r.Read(seq)
		if err != nil {
			return nil, err
		}
		list = append(list, decodeSimEntry(record.Body).parts...)
	}
	return list, nil
}
