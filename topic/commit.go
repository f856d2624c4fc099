package topic

import (
	"errors"
	"sync/atomic"
	"syscall"

	"qmq/diskqueue"
)

// Committer puts groups into the log in the order of Propose, which one goroutine
// at a time calls with no lock held. It decides when a publish is as safe as the
// topic promises.
type Committer interface {
	// Propose takes a group, whose batches it reads until it returns and not
	// later. done is called once per group, in the order of Propose and one call
	// at a time, with no lock held: by Propose itself or afterwards. On nil the
	// records are readable; First is at least the End of the group before, and
	// numbers in between belong to no message. After an error the caller proposes
	// nothing before a good Probe; what it proposed before it knew is refused too.
	Propose(g *Group, done func(diskqueue.Appended, error))
	// Probe finds out whether groups can be committed again after an error, and
	// returns nil if so. One goroutine at a time calls it.
	Probe() error
	// Close returns when what was proposed is done. It may be called again; no
	// Propose is under way or comes later.
	Close() error
}

// appender appends groups to a log.
type appender struct {
	log         *diskqueue.Log
	freeSpace   func() bool  // see Common.FreeSpace
	failedBytes atomic.Int64 // size of the append that failed last
	// without is whose ids there was no room for last; nil: there was for all.
	without atomic.Pointer[doubles]
}

// append appends a group. Before a full disk refuses it, what is finished is
// given back, and it is tried once more.
func (a *appender) append(g *Group) (diskqueue.Appended, error) {
	added, err := a.try(g)
	if diskFull(err) && a.freeSpace() {
		added, err = a.try(g)
	}
	if err != nil {
		a.failedBytes.Store(int64(g.size))
	}
	return added, err
}

// try appends a group for whose ids there is room.
func (a *appender) try(g *Group) (added diskqueue.Appended, err error) {
	for _, c := range g.claims {
		if err := c.d.setAside(); err != nil {
			a.without.Store(c.d)
			return added, err
		}
	}
	return a.log.Append(g.Batches)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// minProbeBytes is how much a probe writes, more after a larger append failed:
// enough that a disk with a few blocks left does not pass for one with room.
const minProbeBytes = 256 << 10

// probe tries whether the log can be written, and ids.
func (a *appender) probe() error {
	if d := a.without.Load(); d != nil {
		if err := d.setAside(); err != nil {
			return err
		}
		a.without.Store(nil)
	}
	return a.log.Probe(int(max(minProbeBytes, a.failedBytes.Load())))
}
