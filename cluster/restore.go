package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"qmq/internal/vfs"
	"qmq/replica/machine"
)

// RestoreOptions say where a set is to begin from a backup.
type RestoreOptions struct {
	FS           vfs.FS
	Dir          string // data directory that has nothing of a set
	Address      string // of its first member
	SegmentBytes int64  // of files of topics
	Now          func() time.Time
	Logger       *slog.Logger
}

// ErrNotEmpty means that a directory has something of a set already.
var ErrNotEmpty = errors.New("it has something of a replicated set already: a backup is restored into an empty data directory")

// Restore has a set of one member begin from a backup. When it fails nothing of it is
// left; where it was ended before, the next one begins from nothing. The error wraps
// vfs.ErrLocked where a process uses the directory.
func Restore(o RestoreOptions, backup io.Reader) (_ *Renewed, err error) {
	lock, err := o.FS.Lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := o.vacate(); err != nil {
		return nil, err
	}
	b, err := newBackupReader(backup)
	if err != nil {
		return nil, err
	}
	made, err := (&restoring{o: o, b: b}).run()
	if err != nil {
		return nil, errors.Join(err, o.clear())
	}
	return made, nil
}

func (o *RestoreOptions) identity() identityFile {
	return identityFile{fs: o.FS, dir: filepath.Join(o.Dir, "raft")}
}

// vacate sees to it that the directory has nothing of a set. What a restore has left that
// did not come to its end goes.
func (o *RestoreOptions) vacate() error {
	if i, err := o.identity().load(); err == nil && i != nil && i.Renewing != nil && i.Joined && i.Cluster == 0 && i.Former == nil {
		return o.clear()
	}
	for _, name := range []string{"raft", "replicated"} {
		entries, err := o.FS.ReadDir(filepath.Join(o.Dir, name))
		if ignoreMissing(err) != nil {
			return err
		}
		if len(entries) > 0 {
			return ErrNotEmpty
		}
	}
	return nil
}

// clear removes what a restore has made, last the file that says what it was.
func (o *RestoreOptions) clear() error {
	file := o.identity()
	if err := o.FS.RemoveAll(filepath.Join(o.Dir, "replicated")); err != nil {
		return err
	}
	entries, err := o.FS.ReadDir(file.dir)
	if ignoreMissing(err) != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == identityName {
			continue
		}
		if err := o.FS.RemoveAll(filepath.Join(file.dir, e.Name())); err != nil {
			return err
		}
	}
	return errors.Join(o.FS.RemoveAll(file.path()), o.FS.RemoveAll(file.dir), o.FS.SyncDir(o.Dir))
}

// restoring is a restore at work.
type restoring struct {
	o RestoreOptions
	b *backupReader
	r *renewal
}

func (s *restoring) run() (*Renewed, error) {
	own := &renewing{Member: newID(), Cluster: newID(), Address: s.o.Address}
	i := &identity{Member: own.Member, Joined: true, Renewing: own}
	if err := s.o.identity().store(i); err != nil {
		return nil, err
	}
	s.r = &renewal{fs: s.o.FS, dir: s.o.Dir, identity: i}
	err := s.r.openMachines(machine.Options{SegmentBytes: s.o.SegmentBytes, Logger: s.o.Logger})
	var was id
	if err == nil {
		was, err = s.fill()
	}
	now := s.o.Now()
	if err == nil {
		err = s.r.renew(now, begun{How: BegunByRestore, Time: now.Unix(), From: was})
	}
	if err = errors.Join(err, s.r.closeMachines()); err != nil {
		return nil, err
	}
	if _, err := s.r.finish(filepath.Join(s.o.Dir, "raft", walName), 0); err != nil {
		return nil, err
	}
	return &Renewed{Set: show(own.Cluster), Member: show(own.Member), Address: own.Address, Expected: s.r.group0.state().Registry.Expected}, nil
}

// fill brings the state of all shards in, and says whose it was.
func (s *restoring) fill() (was id, err error) {
	shard, content, err := s.b.next()
	if err != nil || shard != 0 {
		return 0, errors.Join(errBackup, err)
	}
	if s.r.group0, err = openGroup0(s.o.FS, filepath.Join(s.o.Dir, "raft", "0"), nil, func(*registry) {}); err != nil {
		return 0, err
	}
	if err := s.r.group0.install(content); err != nil {
		return 0, err
	}
	shard, content, err = s.b.next()
	for n := uint32(1); n <= Shards; n++ {
		staged, stageErr := s.r.machines[n].Stage()
		if stageErr != nil {
			return 0, stageErr
		}
		for err == nil && shard == n {
			if err = staged.Put(content); err == nil {
				shard, content, err = s.b.next()
			}
		}
		if err == nil {
			err = staged.Install()
		}
		if err != nil {
			staged.Close()
			return 0, fmt.Errorf("shard %d: %w", n, err)
		}
	}
	if err != nil || shard != endOfBackup || len(content) != 8 {
		return 0, errors.Join(errBackup, err)
	}
	s.o.Logger.Info("the backup is read", slog.Time("of", time.Unix(int64(binary.LittleEndian.Uint64(content)), 0)))
	return s.r.group0.state().Registry.Cluster, nil
}
