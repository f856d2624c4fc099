package raftlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"qmq/internal/vfs"
)

// Open reads the log in Options.Dir, or begins one, and makes sure that what it
// found is on the disk. Damage before the last write makes the log empty: its files
// are kept in another directory, beside it. An error is one of the file system, or
// wraps ErrForeign or ErrNewer; then nothing was changed.
func Open(o Options) (*Log, *Recovered, error) {
	o.setDefaults()
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, nil, err
	}
	r, err := readLog(&o)
	if err != nil {
		return nil, nil, err
	}
	found := &r.Recovered
	if len(r.Damaged) > 0 {
		if found.Kept, err = setAside(o.FS, o.Dir); err == nil {
			err = makeDir(o.FS, o.Dir)
		}
		if err == nil {
			r, err = readLog(&o)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	l := newLog(o, r)
	if err := l.resume(r, found); err != nil {
		l.stock.jobs.Wait()
		r.close(nil)
		return nil, nil, errors.Join(err, l.closeFiles())
	}
	if !o.Manual {
		go l.run()
		l.kick()
	}
	return l, found, nil
}

// readLog reads what is there, and closes the files of a log that is damaged.
func readLog(o *Options) (*replay, error) {
	r := &replay{fs: o.FS, dir: o.Dir, own: o}
	err := r.read()
	if err == nil && r.Doubt == "" {
		r.Doubt, err = r.reasonToDoubt()
	}
	if err != nil || len(r.Damaged) > 0 {
		r.close(nil)
	}
	for _, f := range slices.Concat(r.flaws, r.Damaged) {
		o.Logger.Error("raft log: damage", "path", f.Path, "offset", f.Offset, "error", f.Err)
	}
	r.Clean = r.Clean && r.Doubt == ""
	return r, err
}

const doubtBefore = "something that was acknowledged may have been missing at a former start"

// reasonToDoubt is why what the log acknowledged may be missing from it.
func (r *replay) reasonToDoubt() (string, error) {
	switch s := r.session; {
	case s.doubt:
		return doubtBefore, nil
	case s.noSync && !(r.closed && r.clean) && s.boot != r.own.Boot:
		return "it was written without syncs, and the machine or the mount has been started anew since", nil
	}
	kept, err := keptOf(r.own)
	if kept == "" {
		return "", err
	}
	return "a former log of this node is kept in " + kept, err
}

func newLog(o Options, r *replay) *Log {
	l := &Log{o: o, shards: make(map[uint32]*Shard), segments: r.chain, session: r.session}
	l.session.short = r.Short // should the first write be cut off behind its beginning
	l.queue.wake = make(chan struct{}, 1)
	l.writer.stopped = make(chan struct{})
	l.stock.settled.L = &l.stock.mu
	l.stock.number, l.stock.spares = r.number, r.spares
	for id, s := range r.shards {
		l.shards[id] = &Shard{log: l, id: id, shardLog: *s, allowed: s.base.index}
	}
	return l
}

// resume takes the files over and notes that the log is in use.
func (l *Log) resume(r *replay, found *Recovered) error {
	if err := l.sortFiles(r); err != nil {
		return err
	}
	if n := len(l.segments); n > 0 {
		if last := l.segments[n-1]; r.clean {
			l.writer.active = last
			l.writer.active.lasts = nil
		} else {
			last.lasts = lasts(r.shards)
		}
		if err := l.syncFound(r); err != nil {
			return err
		}
	}
	l.note(func(s *session) {
		*s = session{noSync: l.o.NoSync, doubt: found.Forgetful(), short: found.Short, boot: l.o.Boot}
	})
	for l.step() {
	}
	switch w := &l.writer; {
	case w.failed != nil:
		return fmt.Errorf("%s: %w", l.o.Dir, w.failed)
	case w.stalled:
		return fmt.Errorf("%s: no room for a file of %d bytes on the disk", l.o.Dir, l.o.SegmentBytes)
	}
	return nil
}

// sortFiles gives every file that is not part of the log its place: what may say
// something is kept, one that is prepared is used, the others are spare ones.
func (l *Log) sortFiles(r *replay) error {
	// The oldest first: should that end in the middle, the gap shows.
	slices.SortFunc(r.spoilt, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	for _, g := range r.spoilt {
		if err := l.keepAside(g); err != nil {
			return err
		}
	}
	for _, g := range r.unbegun {
		if l.stock.next == nil && !slices.Contains(r.spoilt, g) && g.room >= l.o.SegmentBytes {
			l.stock.next = g
		}
	}
	changed := len(r.spoilt) > 0
	for n, g := range r.files {
		if g == l.stock.next || slices.Contains(r.chain, g) || slices.Contains(r.spoilt, g) {
			continue
		}
		spare, err := l.retire(g.path, n, 0)
		if err != nil {
			return err
		}
		if changed = true; spare != "" {
			l.stock.spares = append(l.stock.spares, spare)
		}
	}
	r.close(append(slices.Clone(r.chain), l.stock.next))
	if changed {
		return l.o.FS.SyncDir(l.o.Dir)
	}
	return nil
}

// keepAside gives a file a name that nobody uses.
func (l *Log) keepAside(g *segment) error {
	for n := 1; ; n++ {
		path := fmt.Sprintf("%s%s-%d", g.path, keptSuffix, n)
		f, err := l.o.FS.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return l.o.FS.Rename(g.path, path)
		}
		if err != nil {
			return err
		}
		f.Close() // it was not touched
	}
}

// syncFound makes sure that what was found is on the disk. A process may have ended
// between a write and its sync, and a sync that failed leaves in memory what it did
// not save, as if it had: so what was not synced for certain is written once more.
func (l *Log) syncFound(r *replay) error {
	if l.o.NoSync {
		for _, g := range l.segments {
			g.dirty = !r.Clean
		}
		return nil
	}
	last := l.segments[len(l.segments)-1]
	if err := rewrite(last, r.sure, last.end); err != nil {
		return err
	}
	for _, g := range l.segments {
		if err := g.f.Sync(); err != nil {
			return err
		}
		g.synced = g.end
	}
	return nil
}

func rewrite(g *segment, from, to int64) error {
	b := make([]byte, min(to-from, 1<<20))
	for from < to {
		b = b[:min(int64(len(b)), to-from)]
		if _, err := g.f.ReadAt(b, from); err != nil {
			return err
		}
		if _, err := g.f.WriteAt(b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

// makeDir makes a directory that survives a crash of the machine.
func makeDir(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	return errors.Join(fsys.SyncDir(parent), fsys.SyncDir(filepath.Dir(parent)))
}

const keptDir = ".kept-"

// setAside moves a log that no process has open, with all its files, to a
// directory beside its own, whose name it returns. The node that it is of counts as
// forgetful from then on: to go on it needs another id.
func setAside(fsys vfs.FS, dir string) (kept string, err error) {
	for n := 1; ; n++ {
		kept = fmt.Sprintf("%s%s%d", dir, keptDir, n)
		if _, err = fsys.ReadDir(kept); errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if err = fsys.Rename(dir, kept); err != nil {
		return "", err
	}
	return kept, fsys.SyncDir(filepath.Dir(dir))
}

// keptOf is the directory of a log of this node that was set aside.
func keptOf(o *Options) (string, error) {
	parent := filepath.Dir(o.Dir)
	entries, err := o.FS.ReadDir(parent)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), filepath.Base(o.Dir)+keptDir) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		if own, err := isOf(o, dir); own || err != nil {
			return dir, err
		}
	}
	return "", nil
}

// isOf says whether a directory has a file of this node's log.
func isOf(o *Options, dir string) (bool, error) {
	entries, err := o.FS.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		f, err := o.FS.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return false, err
		}
		h, _, err := readHeader(f)
		f.Close() // it was only read
		if err == nil && h.cluster == o.Cluster && h.node == o.Node {
			return true, nil
		}
	}
	return false, nil
}
