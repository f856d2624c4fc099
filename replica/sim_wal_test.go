package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"qmq/internal/vfs/crashfs"
	"qmq/raftlog"
)

// simDisk is a member's log and what can happen to it.
type simDisk interface {
	Log
	// open begins a life. It tells whether a torn tail was cut off and whole was not
	// called since, or why the member is forgetful.
	open() (short bool, err error)
	tear()  // the tail is torn
	whole() // nothing is missing
	// saved does an update at once, before the member takes part.
	saved(Update)
	// flush writes what is queued as a group, and syncs it.
	flush(*simNode)
	kill() (torn bool)
	power(*rand.Rand) (torn bool)
	rot(*rand.Rand) // the process ends, and what was written last has gone bad
	syncAll()       // the kernel syncs by itself
	lostWrites()    // of syncs that failed
	state() logState
}

// simWAL is the node's log itself, on a file system that crashes.
type simWAL struct {
	Log
	log    *raftlog.Log
	fs     *crashfs.FS
	node   uint64
	boot   int
	noSync bool
	fails  func() bool
	queued int
	short  bool
}

func newSimWAL(w *world, node uint64, fails func() bool) *simWAL {
	d := &simWAL{fs: crashfs.New(w.rng.Uint64()), node: node, noSync: w.kernel, fails: fails}
	for _, dir := range []string{"/node/raft"} {
		if err := d.fs.MkdirAll(dir); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(d.fs.SyncDir("/"), d.fs.SyncDir("/node")); err != nil {
		panic(err)
	}
	d.fs.Fail(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpSync && d.fails() {
			return errors.New("input/output error")
		}
		return nil
	})
	return d
}

func (d *simWAL) open() (short bool, err error) {
	l, found, err := raftlog.Open(raftlog.Options{
		FS: d.fs.Mount(), Dir: "/node/raft/wal", Cluster: 1, Node: d.node, Boot: fmt.Sprint(d.boot),
		NoSync: d.noSync, SegmentBytes: 16 << 10, CacheBytes: 4 << 10, Retain: 1, Manual: true,
	})
	if err != nil {
		panic(err)
	}
	d.log, d.Log, d.queued, d.short = l, LogOf(l, 3), 0, found.Short
	if found.Forgetful() {
		return false, fmt.Errorf("%w: %v %v", ErrForgetful, found.Doubt, found.Damaged)
	}
	return found.Short, nil
}

func (d *simWAL) tear() { panic("it is seen from the files") }

func (d *simWAL) whole() {
	if d.short {
		d.short = false
		d.log.Whole() // goes along with the next write
	}
}

func (d *simWAL) Save(u Update) {
	done := u.Done
	u.Done = func(err error) {
		d.queued--
		if done != nil {
			done(err)
		}
	}
	d.queued++
	d.Log.Save(u)
}

func (d *simWAL) saved(u Update) {
	d.Save(u)
	d.log.Flush()
}

func (d *simWAL) flush(n *simNode) {
	if n.flushing || d.queued == 0 {
		return
	}
	n.flushing = true
	n.disk(func() {
		d.log.Flush()
		n.flushing = false
		if d.queued > 0 && !n.failing {
			d.flush(n)
		}
	})
}

func (d *simWAL) kill() (torn bool) {
	d.fs.Kill()
	return false
}

func (d *simWAL) power(*rand.Rand) (torn bool) {
	d.fs.Crash(crashfs.Random)
	d.boot++
	return false
}

func (d *simWAL) syncAll()    {}
func (d *simWAL) lostWrites() { d.fs.Kill() }

// rot flips a bit near the end of what was written last: of the last write,
// which looks as a torn one does, or of one before, which is damage.
func (d *simWAL) rot(rng *rand.Rand) {
	d.fs.Kill()
	files := d.fs.Files()
	back := rng.Int64N(200)
	for _, f := range slices.Backward(files) {
		if !strings.HasSuffix(f.Name, ".wal") {
			continue
		}
		b, err := d.fs.ReadFile(f.Name)
		if err != nil {
			panic(err)
		}
		at := int64(len(bytes.TrimRight(b, "\x00"))) - 1 - back
		if at >= 0 && d.spoils(f.Name, at) {
			return
		}
	}
}

// spoils flips a bit where that makes a difference: not in a file that is only
// prepared, with what it had in a former use.
func (d *simWAL) spoils(name string, at int64) bool {
	flip := func() {
		if err := d.fs.FlipBit(name, at); err != nil {
			panic(err)
		}
	}
	flip()
	found, err := raftlog.Check(d.fs.Mount(), "/node/raft/wal")
	if err != nil {
		panic(err)
	}
	if found.Torn != nil || len(found.Damaged) > 0 {
		return true
	}
	flip()
	return false
}

func (d *simWAL) state() (s logState) {
	first, err1 := d.FirstIndex()
	last, err2 := d.LastIndex()
	term, err3 := d.Term(first - 1)
	s.base = &pb.SnapshotMetadata{Index: new(first - 1), Term: new(term)}
	var err4 error
	if last >= first {
		s.entries, err4 = d.Entries(first, last+1, 1<<60)
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		panic(err)
	}
	return s
}

func (l *simLog) open() (short bool, err error) { return l.short, nil }
func (l *simLog) tear()                         { l.short = true }
func (l *simLog) whole()                        { l.short = false }
func (l *simLog) state() logState               { return l.view }
func (l *simLog) syncAll()                      { l.sync() }

func (l *simLog) saved(u Update) {
	l.Save(u)
	l.show(l.write())
	l.sync()
}

func (l *simLog) lostWrites() {
	l.written = nil
	l.restart()
}

func (l *simLog) flush(n *simNode) {
	if n.flushing || len(l.queued) == 0 {
		return
	}
	n.flushing = true
	n.disk(func() {
		group := l.write()
		if l.bugs.ackBeforeSync {
			l.finish(group, nil)
		}
		n.disk(func() {
			n.flushing = false
			err := error(nil)
			if n.failing {
				err = errors.New("input/output error")
			} else if !n.w.kernel {
				l.sync()
			}
			if !l.bugs.ackBeforeSync {
				l.finish(group, err)
			}
			if err == nil {
				l.flush(n)
			}
		})
	})
}

func (l *simLog) finish(group []Update, err error) {
	if err == nil {
		l.show(group)
	}
	for _, u := range group {
		u.Done(err)
	}
}
