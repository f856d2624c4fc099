package topic

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
)

// The ways in which groups are committed: the topic's own two, and two that stand
// for what other parts of a node may bring. What a topic promises it promises with
// each of them.
var committers = map[string]setting{
	"direct": func(*bench) {},
	"synced": strict,
	"delayed": func(b *bench) {
		b.committer = func(log *diskqueue.Log) Committer { return newDelayed(log, b.freeSpace) }
	},
	"refusing": func(b *bench) {
		b.committer = func(log *diskqueue.Log) Committer { return newRefusing(log, b.freeSpace) }
	},
}

// withEachCommitter runs a test in a bubble of its own for each way.
func withEachCommitter(t *testing.T, test func(t *testing.T, disk *crashfs.FS, b *bench), settings ...setting) {
	t.Helper()
	for name, way := range committers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := crashfs.New(1)
				test(t, disk, newBench(t, disk, "/d", append(settings, way)...))
			})
		})
	}
}

// delayed appends a group at once, and is done with it a while later, as where
// others have to agree: until then nobody may see it.
type delayed struct {
	appender
	after time.Duration

	mu      sync.Mutex // guards what follows: the groups that are not done
	idle    sync.Cond  // signalled when running ends
	waiting []func()
	running bool
	failed  error
}

func newDelayed(log *diskqueue.Log, freeSpace func() bool) *delayed {
	d := &delayed{appender: appender{log: log, freeSpace: freeSpace}, after: 3 * time.Millisecond}
	d.idle.L = &d.mu
	return d
}

func (d *delayed) Propose(g *Group, done func(diskqueue.Appended, error)) {
	d.mu.Lock()
	err := d.failed
	d.mu.Unlock()
	var added diskqueue.Appended
	if err == nil {
		added, err = d.append(g)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
	d.waiting = append(d.waiting, func() { done(added, err) })
	if !d.running {
		d.running = true
		go d.run()
	}
}

func (d *delayed) run() {
	for {
		d.mu.Lock()
		if len(d.waiting) == 0 {
			d.running = false
			d.idle.Broadcast()
			d.mu.Unlock()
			return
		}
		next := d.waiting[0]
		d.waiting = d.waiting[1:]
		d.mu.Unlock()
		<-time.After(d.after)
		next()
	}
}

func (d *delayed) Probe() error {
	if err := d.probe(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running {
		d.idle.Wait()
	}
	d.failed = nil
	return nil
}

func (d *delayed) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running {
		d.idle.Wait()
	}
	return nil
}

var errRefused = errors.New("no majority")

// refusing refuses every third group, and it depends on the group whether its
// records are in the log all the same.
type refusing struct {
	appender
	groups int // proposed so far
}

func newRefusing(log *diskqueue.Log, freeSpace func() bool) *refusing {
	return &refusing{appender: appender{log: log, freeSpace: freeSpace}}
}

func (r *refusing) Propose(g *Group, done func(diskqueue.Appended, error)) {
	r.groups++
	var added diskqueue.Appended
	var err error
	if r.groups%6 != 3 {
		added, err = r.append(g)
	}
	if err == nil && r.groups%3 == 0 {
		err = errRefused
	}
	done(added, err)
}

func (r *refusing) Probe() error { return r.probe() }
func (r *refusing) Close() error { return nil }
