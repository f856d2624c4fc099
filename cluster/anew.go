package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/replica"
	shardentry "qmq/replica/entry"
	"qmq/replica/machine"
)

// A set begins anew with one member, from what a directory has of a former one, when
// that is lost. Others join it with nothing. It has another id, so that no member of the
// former one takes part in it; and since those may have given out numbers that are not
// known here, all topics go on far above.

// begun is how a set began that is not new, for as long as it lives.
type begun struct {
	How    string `json:"how"` // BegunByForce or BegunByRestore
	Time   int64  `json:"time"`
	From   id     `json:"from"`   // the former set
	Member id     `json:"member"` // of it, whose replica it was
	Lost   string `json:"lost,omitempty"`
}

// How sets begin anew.
const (
	BegunByForce   = "force-new"
	BegunByRestore = "restore"
)

// numberSpace is how many incarnations are left out, of topics and channels that others
// may have made.
const numberSpace = 1 << 20

// renewal is a set that begins anew in a directory that no process uses.
type renewal struct {
	fs       vfs.FS
	dir      string
	identity *identity // Renewing is the new member
	group0   *group0
	machines [Shards + 1]*machine.Machine // 0: nil
}

// openMachines opens what the directory has of all shards.
func (r *renewal) openMachines(o machine.Options) error {
	o.Dir, o.Now = r.dir, func() int64 { return time.Now().UnixNano() }
	if o.Shared == nil {
		o.Shared = diskqueue.NewShared(diskqueue.SharedOptions{FS: r.fs, Logger: o.Logger})
	}
	return eachShard(func(n uint32) (err error) {
		if n == 0 {
			return nil
		}
		own := o
		own.Shard = n
		r.machines[n], err = machine.Open(own)
		return err
	})
}

func (r *renewal) closeMachines() error {
	return eachShard(func(n uint32) error {
		if m := r.machines[n]; m != nil {
			r.machines[n] = nil
			return m.Close()
		}
		return nil
	})
}

// machine is what the entries of a shard are applied to.
func (r *renewal) machine(n uint32) replica.Machine {
	if n == 0 {
		return r.group0
	}
	return replica.MachineOf(r.machines[n])
}

// renewed tells whether a shard has the new member alone, from an earlier try.
func (r *renewal) renewed(n uint32) bool {
	return slices.Equal(r.machine(n).Members().GetVoters(), []uint64{uint64(r.identity.Renewing.Member)})
}

// renew makes all shards those of the new set, for good.
func (r *renewal) renew(now time.Time, how begun) error {
	err := eachShard(func(n uint32) error {
		switch {
		case n == 0 || r.renewed(n):
			return nil
		}
		return r.renewShard(n, shardentry.Jump{Number: uint64(now.UnixNano()) >> 8, Incarnation: r.machines[n].MaxIncarnation() + numberSpace})
	})
	if err != nil || r.renewed(0) {
		return err
	}
	g := r.group0.state()
	g.Index, g.Term, g.Registry = g.Index+1, g.Term+1, r.registry(g.Registry, how)
	if g.Members, err = replica.EncodeMembers(r.alone()); err != nil {
		return err
	}
	if err := r.group0.save(g); err != nil {
		return err
	}
	r.group0.set(g)
	return nil
}

func (r *renewal) alone() *pb.ConfState {
	return &pb.ConfState{Voters: []uint64{uint64(r.identity.Renewing.Member)}, AutoLeave: new(false)}
}

// renewShard has a shard go on in a higher term, at higher numbers, and with the new
// member alone. Its checkpoint has all of that or nothing.
func (r *renewal) renewShard(n uint32, jump shardentry.Jump) error {
	m := r.machine(n)
	index, term := m.Applied()
	e := shardentry.Entry{Jump: jump}
	if _, err := m.Apply(index+1, term+1, e.AppendTo(nil)); err != nil {
		return err
	}
	if err := m.SetMembers(index+2, term+1, r.alone()); err != nil {
		return err
	}
	_, err := m.Checkpoint()
	return err
}

// registry is what the new set knows: of the former one all but its members, whose
// addresses are for those who join.
func (r *renewal) registry(was *registry, how begun) *registry {
	own := *r.identity.Renewing
	g := &registry{Cluster: own.Cluster, Number: was.Number, Patterns: was.Patterns, Level: was.Level, Local: was.Local, Begun: &how}
	g.Members = []*member{{ID: own.Member, Address: own.Address, Level: max(was.Level, 1)}}
	for _, address := range was.addresses() {
		if address != own.Address && len(g.Expected) < maxMembers-1 {
			g.Expected = append(g.Expected, address)
		}
	}
	return g
}

// finish makes the directory one of a member of the new set. What the former one had as
// its log is kept.
func (r *renewal) finish(log string, was id) (kept string, err error) {
	if kept, err = r.keepLog(log, was); err != nil {
		return "", err
	}
	own := r.identity.Renewing
	file := identityFile{fs: r.fs, dir: filepath.Join(r.dir, "raft")}
	return kept, file.store(&identity{Member: own.Member, Cluster: own.Cluster, Epoch: r.identity.Epoch, Number: r.group0.state().Registry.Number, Joined: true})
}

// keepLog moves the log of the former set out of the way.
func (r *renewal) keepLog(log string, was id) (kept string, err error) {
	entries, err := r.fs.ReadDir(log)
	if err != nil || len(entries) == 0 {
		return "", ignoreMissing(err)
	}
	parent := filepath.Join(r.dir, "replaced-"+show(was), "raft")
	if err := r.fs.MkdirAll(parent); err != nil {
		return "", err
	}
	kept = filepath.Join(parent, walName)
	for n := 2; ; n++ {
		if _, err := r.fs.ReadDir(kept); err != nil {
			break
		}
		kept = filepath.Join(parent, fmt.Sprintf("%s-%d", walName, n))
	}
	if err := r.fs.Rename(log, kept); err != nil {
		return "", err
	}
	for _, dir := range []string{parent, filepath.Dir(parent), r.dir, filepath.Dir(log)} {
		if err := r.fs.SyncDir(dir); err != nil {
			return "", err
		}
	}
	return kept, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
