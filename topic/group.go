package topic

import (
	"sync/atomic"

	"qmq/channel"
	"qmq/diskqueue"
)

// Group is the batches of several publishers that are committed together.
type Group struct {
	Batches []*diskqueue.Batch

	pipeline  *pipeline
	requests  []*request // whose batches they are
	size      int        // bytes of the records
	bodyBytes uint64
	promised  load                            // to the limiter
	claims    []*claim                        // of those requests that have one
	done      func(diskqueue.Appended, error) // g.finish, bound once
	stage     atomic.Int32
	err       error // how it ended, once stage is finished
}

// The stages of a group. Whoever comes second, the committer with its end or the
// publisher from Propose, answers.
const (
	proposing int32 = iota
	proposed        // Propose has returned first
	finished        // the group was done first
)

// finish is how the committer ends a group.
func (g *Group) finish(added diskqueue.Appended, err error) {
	if err == nil {
		err = g.pipeline.commit(added, g)
	} else {
		g.pipeline.fanout.unpromise(g.promised)
		g.pipeline.o.Log.Release(int64(g.size))
		g.pipeline.fail(err)
		g.pipeline.fanout.reclaimer.logChanged() // the segment may have ended
		if g.pipeline.fanout.isDropped() {
			err = channel.ErrExiting // whatever became of it
		}
	}
	g.err = err
	if !g.stage.CompareAndSwap(proposing, finished) {
		g.pipeline.endFlight(g)
	}
}

// answer tells the publishers of a group how it ended; own is told by return.
func (g *Group) answer(own *request, err error) {
	for _, r := range g.requests {
		r.err = err
		if r != own {
			r.signal <- answered
		}
	}
	clear(g.requests)
	g.requests = g.requests[:0]
}
