package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"qmq/internal/vfs"
	"qmq/raftlog"
	"qmq/replica"
	"qmq/replica/machine"
)

// ForceOptions say what a set is to begin anew from, when more than half of its members
// are lost for good.
type ForceOptions struct {
	FS     vfs.FS
	Dir    string   // data directory of a member
	Others []string // data directories of other members, to compare
	// Address is the member's from now on; empty: what it was.
	Address      string
	SegmentBytes int64 // of files of topics
	Now          func() time.Time
	Logger       *slog.Logger
}

// Force is a set that can begin anew from a data directory, which is locked until Close.
// It is not for concurrent use.
type Force struct {
	o     ForceOptions
	locks []io.Closer
	file  identityFile
	i     *identity
	owner former // whose log it is
	r     *renewal
	own   Replica
	rest  []Replica
	lost  string // in shards, by Run
}

// Replica is what a data directory has of a set.
type Replica struct {
	Dir     string
	Set     string
	Member  string
	Address string // empty: not known
	// Bytes are in the log; Longest is in how many shards no other one of those that are
	// compared has a longer log, and Behind how many entries the others have above it.
	Bytes   int64
	Longest int
	Behind  uint64

	cluster, member id
	ends            [Shards + 1]logEnd
}

// logEnd is the last entry of a shard's log. The one of the higher term is longer.
type logEnd struct{ term, index uint64 }

func (e logEnd) longer(than logEnd) bool {
	return e.term > than.term || e.term == than.term && e.index > than.index
}

// ErrNoMember means that a directory has nothing of a replicated set.
var ErrNoMember = errors.New("it has nothing of a replicated set")

// OpenForce looks at what there is, and changes nothing. The error wraps vfs.ErrLocked
// where a process uses one of the directories, and ErrNoMember.
func OpenForce(o ForceOptions) (f *Force, err error) {
	f = &Force{o: o, file: identityFile{fs: o.FS, dir: filepath.Join(o.Dir, "raft")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, dir := range append([]string{o.Dir}, o.Others...) {
		lock, err := o.FS.Lock(dir)
		if err != nil {
			return f, err
		}
		f.locks = append(f.locks, lock)
	}
	if f.i, err = f.file.load(); err != nil {
		return f, err
	}
	if f.own, err = f.look(o.Dir); err != nil {
		return f, err
	}
	f.owner = former{Member: f.own.member, Cluster: f.own.cluster}
	if err := f.usable(); err != nil {
		return f, err
	}
	for _, dir := range o.Others {
		other, err := f.look(dir)
		if err != nil {
			return f, err
		}
		if other.cluster != f.own.cluster {
			return f, fmt.Errorf("%s is of set %s, not of %s", dir, other.Set, f.own.Set)
		}
		f.rest = append(f.rest, other)
	}
	f.compare()
	return f, nil
}

// usable tells why no set can begin from the directory.
func (f *Force) usable() error {
	g, err := f.openGroup0(f.o.Dir, f.i)
	if err != nil {
		return err
	}
	if len(g.state().Registry.Members) == 0 {
		return fmt.Errorf("%s: its member had joined set %s and got nothing of it yet: use another's directory", f.o.Dir, f.own.Set)
	}
	if i := f.i; i != nil && i.Renewing != nil {
		f.own.Address = i.Renewing.Address // by now the registry may know the new member alone
	}
	if f.o.Address == "" {
		f.o.Address = f.own.Address
	}
	if f.o.Address == "" {
		return errors.New("the address of the member is not known: it has to be said")
	}
	return nil
}

// look finds out what a directory has.
func (f *Force) look(dir string) (r Replica, err error) {
	r.Dir = dir
	file := identityFile{fs: f.o.FS, dir: filepath.Join(dir, "raft")}
	i, err := file.load()
	if err != nil {
		return r, err
	}
	report, err := raftlog.Check(f.o.FS, filepath.Join(file.dir, walName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%s: %w", dir, err)
	}
	if report == nil {
		report = new(raftlog.Report)
	}
	switch {
	case i != nil && i.Cluster != 0:
		r.member, r.cluster = i.Member, i.Cluster
	case i != nil && i.Former != nil && i.Former.Cluster != 0:
		r.member, r.cluster = i.Former.Member, i.Former.Cluster
	default:
		r.member, r.cluster = id(report.Node), id(report.Cluster)
	}
	if r.cluster == 0 {
		return r, fmt.Errorf("%s: %w", dir, ErrNoMember)
	}
	r.Set, r.Member, r.Bytes = show(r.cluster), show(r.member), report.Bytes
	for _, s := range report.Shards {
		if s.ID <= Shards {
			r.ends[s.ID] = logEnd{s.LastTerm, s.Last}
		}
	}
	g, err := f.openGroup0(dir, i)
	if err != nil {
		return r, err
	}
	if m := g.state().Registry.member(r.member); m != nil {
		r.Address = m.Address
	}
	return r, nil
}

func (f *Force) openGroup0(dir string, i *identity) (*group0, error) {
	var begins *record
	if i != nil && !i.Joined {
		begins = i.Record
	}
	return openGroup0(f.o.FS, filepath.Join(dir, "raft", "0"), begins, func(*registry) {})
}

// compare finds out whose logs are longest.
func (f *Force) compare() {
	all := []*Replica{&f.own}
	for i := range f.rest {
		all = append(all, &f.rest[i])
	}
	for n := range f.own.ends {
		var longest logEnd
		for _, r := range all {
			if r.ends[n].longer(longest) {
				longest = r.ends[n]
			}
		}
		for _, r := range all {
			if r.ends[n] == longest {
				r.Longest++
			} else {
				r.Behind += max(longest.index, r.ends[n].index+1) - r.ends[n].index
			}
		}
	}
}

// Replicas are what the directories have, the one that the set is to begin from first.
func (f *Force) Replicas() []Replica { return append([]Replica{f.own}, f.rest...) }

// Missed is what of the set is not compared: the addresses of other members, whose logs
// may be longer.
func (f *Force) Missed() (addresses []string, err error) {
	g, err := f.openGroup0(f.o.Dir, f.i)
	if err != nil {
		return nil, err
	}
	for _, m := range g.state().Registry.Members {
		if f.i != nil && f.i.Renewing != nil && f.i.Renewing.Member == m.ID {
			return g.state().Registry.Expected, nil // the command is repeated
		}
		if !slices.ContainsFunc(f.Replicas(), func(r Replica) bool { return r.member == m.ID }) {
			addresses = append(addresses, m.Address)
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

// Renewed is a set that began anew.
type Renewed struct {
	Set, Member, Address string
	Expected             []string // addresses that others may join at, with nothing
	Kept                 string   // where the former log is
	Lost                 string   // what of the directory could not be read; empty: all could
}

// Run has a set of one member begin: it applies all that the directory has, and takes the
// members away. If it fails, or the machine does, it has to be repeated before the
// directory is used.
func (f *Force) Run() (*Renewed, error) {
	if err := f.note(); err != nil {
		return nil, err
	}
	f.r = &renewal{fs: f.o.FS, dir: f.o.Dir, identity: f.i}
	if err := f.r.openMachines(machine.Options{SegmentBytes: f.o.SegmentBytes, Logger: f.o.Logger}); err != nil {
		return nil, errors.Join(err, f.r.closeMachines())
	}
	var err error
	if f.r.group0, err = f.openGroup0(f.o.Dir, f.i); err == nil {
		err = f.replay()
	}
	now := f.o.Now()
	if err == nil {
		err = f.r.renew(now, begun{How: BegunByForce, Time: now.Unix(), From: f.owner.Cluster, Member: f.owner.Member, Lost: f.lost})
	}
	if err = errors.Join(err, f.r.closeMachines()); err != nil {
		return nil, err
	}
	kept, err := f.r.finish(f.wal(), f.owner.Member)
	if err != nil {
		return nil, err
	}
	g, own := f.r.group0.state().Registry, f.i.Renewing
	return &Renewed{Set: show(own.Cluster), Member: show(own.Member), Address: own.Address, Expected: g.Expected, Kept: kept, Lost: f.lost}, nil
}

func (f *Force) wal() string { return filepath.Join(f.file.dir, walName) }

// note has the directory tell from now on that it is on its way.
func (f *Force) note() error {
	if f.i == nil {
		f.i = &identity{Member: f.owner.Member, Cluster: f.owner.Cluster, Joined: true}
	}
	if f.i.Renewing == nil {
		f.i.Renewing = &renewing{Member: newID(), Cluster: newID(), Address: f.o.Address}
	}
	return f.file.store(f.i)
}

// replayBytes is how much room on the disk is wanted for the log that is replayed.
const replayBytes = 1 << 20

// replay applies what the log has.
func (f *Force) replay() error {
	log, recovered, err := raftlog.Open(raftlog.Options{
		FS: f.o.FS, Dir: f.wal(), Cluster: uint64(f.owner.Cluster), Node: uint64(f.owner.Member),
		SegmentBytes: replayBytes, Manual: true, Logger: f.o.Logger, // it is only read
	})
	if err != nil {
		return err
	}
	var lost []string
	if len(recovered.Damaged) > 0 {
		lost = append(lost, fmt.Sprintf("the log is damaged, and is kept in %s: what it had above the checkpoints is not taken over", recovered.Kept))
	}
	for n := uint32(0); n <= Shards; n++ {
		if f.r.renewed(n) {
			continue
		}
		if err := replica.Replay(replica.LogOf(log, n), f.r.machine(n)); err != nil {
			if !errors.Is(err, replica.ErrGap) && !errors.Is(err, raftlog.ErrDamaged) {
				return errors.Join(fmt.Errorf("shard %d: %w", n, err), log.Close())
			}
			lost = append(lost, fmt.Sprintf("shard %d: %v", n, err))
		}
	}
	f.lost = strings.Join(lost, "; ")
	return log.Close()
}

// Close lets the directories go.
func (f *Force) Close() error {
	var errs []error
	for _, lock := range f.locks {
		errs = append(errs, lock.Close())
	}
	f.locks = nil
	return errors.Join(errs...)
}
