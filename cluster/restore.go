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

// Restore has a set of one member begin from a backup. What it leaves when it fails is
// of no use: the directories raft and replicated have to be removed. The error wraps
// vfs.ErrLocked where a process uses the directory.
func Restore(o RestoreOptions, backup io.Reader) (_ *Renewed, err error) {
	lock, err := o.FS.Lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	for _, name := range []string{"raft", "replicated"} {
		entries, err := o.FS.ReadDir(filepath.Join(o.Dir, name))
		if ignoreMissing(err) != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, ErrNotEmpty
		}
	}
	b, err := newBackupReader(backup)
	if err != nil {
		return nil, err
	}
	return (&restoring{o: o, b: b}).run()
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
	if err := (identityFile{fs: s.o.FS, dir: filepath.Join(s.o.Dir, "raft")}).store(i); err != nil {
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
			staged.Discard()
			return 0, fmt.Errorf("shard %d: %w", n, err)
		}
	}
	if err != nil || shard != endOfBackup || len(content) != 8 {
		return 0, errors.Join(errBackup, err)
	}
	s.o.Logger.Info("the backup is read", slog.Time("of", time.Unix(int64(binary.LittleEndian.Uint64(content)), 0)))
	return s.r.group0.state().Registry.Cluster, nil
}
