package topic

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"qmq/diskqueue"
	"qmq/internal/deadline"
	"qmq/internal/seqset"
	"qmq/settings"
	"qmq/state"
)

const (
	// idleBytes is how much a segment that everybody has finished holds, at
	// least, to be ended when nothing is published any more.
	idleBytes = 1 << 20
	// idleBytesInMemory is the same for a log in memory, which costs nothing to
	// begin anew: there it is ended at once.
	idleBytesInMemory = 16 << 10
	// lookBytes is how much a log holds, at least, to be looked at.
	lookBytes = 128 << 10
	// lookEvery is how often a topic is looked at while something happens in it, ns.
	lookEvery = 1e9
	// lookShare is how many times as long as a look took there is no other: a topic
	// of which very many messages are open is looked at less often.
	lookShare = 50
)

// reclaimer has a topic's log give back what no channel needs any more: memory at
// once, files in the background, by the node's Cleaner. The files of a replicated
// topic's log are not its business.
type reclaimer struct {
	o      *Options
	fanout *fanout
	log    *diskqueue.Log

	// threshold is the floor at which a channel's progress lets something be given
	// back: the end of the first full segment or of the oldest chunk of the hot
	// tail; the largest number, which no floor reaches, when there is neither. It is
	// written with fanout.mu held and read without: who reads an old one comes while
	// the one that sets it looks again.
	threshold atomic.Uint64
	// watched says that the log is large enough to be looked at when something
	// happens; armed, that the timer runs; due, that it has.
	watched, armed, due atomic.Bool
	took                atomic.Int64 // by the last look at what is owed, ns

	// retention is what of finished messages is kept; nil: nothing. retireAt is when
	// something is not kept any more, steady ns, and retireLater tells of it.
	retention   atomic.Pointer[settings.EffectiveTopic]
	retireAt    atomic.Int64
	retireLater func(at int64)

	// keepIDs has the ids survive that are in what is about to be given back. The cleaner
	// calls it.
	keepIDs func() error

	// reclaiming is held by the one goroutine that gives back what lies below the
	// floors; others leave it to that one.
	reclaiming sync.Mutex

	// mu guards what follows: what is taken out of the log, and whether it may be.
	// It is taken before fanout.mu.
	mu       sync.Mutex
	stopped  bool
	detached []diskqueue.Detached // taken out of the log, not journalled yet
	timer    *deadline.Timer      // nil before the first look
	recalls  int                  // how often a channel came that starts at the log's start
	// givingUp is what a carry under way leaves out: it is journalled, and may be
	// in the log yet.
	givingUp []seqset.Range
	// The log ends at end since the time since, steady ns, as far as looks tell.
	end   uint64
	since int64

	queued bool // guarded by Cleaner.mu
	// seen is what the last look saw of each segment, by its first number; guarded
	// by Cleaner.work.
	seen map[uint64]sight
	// told is that segments stay though little of them is owed, and ids that finished
	// ones stay for theirs cannot be kept; guarded by Cleaner.work.
	told, ids remark
}

// remark is a line of the log about what is tried again and again: it is written when
// something is different, and else now and then.
type remark struct {
	why string // empty: all is well
	at  int64  // when it was written, steady ns
}

// remarkEvery is how often the same is written, ns.
const remarkEvery = 600e9

// news says whether the line is to be written about an error.
func (r *remark) news(err error, now int64) bool {
	why := err.Error()
	if number := syscall.Errno(0); errors.As(err, &number) { // the names of files may differ
		why = number.Error()
	}
	if why == r.why && now-r.at < remarkEvery {
		return false
	}
	*r = remark{why, now}
	return true
}

func (r *reclaimer) cleaner() *Cleaner { return r.o.Common.Cleaner }

// now is the steady time, ns.
func (r *reclaimer) now() int64 { return r.o.Common.Channels.Clock.Now() }

// progressed is called by a channel when its floor or its cursor has moved.
func (r *reclaimer) progressed(floor uint64) {
	if floor >= r.threshold.Load() {
		r.reclaim()
	}
	r.watch()
}

// watch has the log looked at in a while if it is large enough.
func (r *reclaimer) watch() {
	if r.watched.Load() && r.armed.CompareAndSwap(false, true) {
		r.lookLater()
	}
}

// noteThreshold notes at which floor the next thing can be given back. The caller
// holds fanout.mu.
func (r *reclaimer) noteThreshold() {
	if r.o.Replicated {
		r.threshold.Store(r.log.TrimAt())
		return
	}
	at, bytes := r.log.TrimAt(), r.log.Bytes()
	if r.retention.Load() == nil {
		at = min(at, r.log.ReclaimAt())
	}
	if watched := bytes >= lookBytes; watched != r.watched.Load() {
		r.watched.Store(watched)
	}
	if r.o.Ephemeral && bytes >= idleBytesInMemory {
		at = min(at, r.fanout.end)
	}
	r.threshold.Store(at)
}

// logChanged notes the threshold after a segment ended or went.
func (r *reclaimer) logChanged() {
	r.fanout.mu.Lock()
	defer r.fanout.mu.Unlock()
	r.noteThreshold()
}

// reclaim gives back what lies below all floors: memory of the hot tail and full
// segments. While one goroutine is at it, others leave it to that one, which
// looks again when it is done.
func (r *reclaimer) reclaim() {
	for r.reclaiming.TryLock() {
		floor := r.reclaimBelowFloors()
		r.reclaiming.Unlock()
		if now := r.fanout.needed(); now == floor || now < r.threshold.Load() {
			return
		}
	}
}

// reclaimBelowFloors gives back what lies below all floors now.
func (r *reclaimer) reclaimBelowFloors() (floor uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	floor = r.fanout.needed() // under the lock: who takes it keeps what is there
	if r.stopped {
		return floor
	}
	r.log.TrimHot(floor)
	switch {
	case r.o.Replicated: // segments go by what a majority knows, and their owner sees to it
	case r.o.Ephemeral:
		r.reclaimMemory(floor)
	case r.retention.Load() != nil: // a look says what is not kept any more
	default:
		if gone := r.log.DetachBelow(floor); len(gone) > 0 {
			r.detached = append(r.detached, gone...)
			r.cleaner().add(r)
		}
	}
	r.logChanged()
	return floor
}

// reclaimMemory is for a log in memory: nobody has to be told. The caller holds
// r.mu.
func (r *reclaimer) reclaimMemory(floor uint64) {
	if r.log.Bytes() >= idleBytesInMemory && floor == r.log.End() {
		r.log.EndSegment()
	}
	r.log.RemoveFiles(r.log.DetachBelow(floor))
}

// lookLater has the log looked at in a while. The caller has set armed.
func (r *reclaimer) lookLater() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if r.timer == nil {
		r.timer = r.o.Common.Channels.Deadlines.NewTimer(func(int64) {
			r.armed.Store(false)
			r.due.Store(true)
			r.cleaner().add(r)
		})
	}
	r.timer.Arm(r.now() + lookPause(r.took.Load()))
}

// lookPause is how long after a look there is no other, ns.
func lookPause(took int64) int64 { return max(lookEvery, lookShare*took) }

// look ends the segment that is appended to when all of it is finished and
// nothing was published for a while, and takes out of the log what everybody has
// finished, wherever it lies. The cleaner calls it; it does nothing and returns
// false before it is due.
func (r *reclaimer) look() (looked bool) {
	if !r.due.Swap(false) {
		return false
	}
	quiet := r.quiet()
	if !quiet {
		r.watch()
	}
	if last, ok := r.last(); ok && quiet && last.Bytes >= idleBytes {
		r.endFinished()
	}
	r.detachFinished(false)
	return true
}

// quiet says that nothing was published for a while.
func (r *reclaimer) quiet() bool {
	end, now := r.log.End(), r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if end != r.end {
		r.end, r.since = end, now
	}
	return now-r.since >= lookEvery
}

// last is the segment that is appended to.
func (r *reclaimer) last() (e diskqueue.Extent, ok bool) {
	all := r.log.Extents()
	if n := len(all); n > 0 && !all[n-1].Full {
		return all[n-1], true
	}
	return e, false
}

// endFinished ends the segment that is appended to if all of it is finished.
func (r *reclaimer) endFinished() {
	if r.fanout.needed() == r.log.End() {
		r.log.EndSegment()
	}
}

// detachFinished takes the full segments out of the log of which nobody owes
// anything, and with all also those that are kept.
func (r *reclaimer) detachFinished(all bool) {
	r.mu.Lock()
	recalls := r.recalls
	r.mu.Unlock()
	finished := r.finished() // without the lock, for it may take a while
	if !all {
		finished = r.keepRetained(finished)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.recalls != recalls { // and a channel owes it again
		return
	}
	r.detached = append(r.detached, r.log.Detach(finished)...)
	r.logChanged()
}

// finished lists the full segments of which nobody owes anything.
func (r *reclaimer) finished() (list []seqset.Range) {
	d := r.fanout.debtors()
	for _, e := range r.log.Extents() {
		if e.Numbers.From >= d.fresh {
			break
		}
		if e.Full && !d.oweAny(e.Numbers) {
			list = append(list, e.Numbers)
		}
	}
	return list
}

// departure is what a topic's log gives up.
type departure struct {
	r    *reclaimer
	list []diskqueue.Detached
}

// takeDetached takes what was taken out of the log, to be journalled and removed.
func (r *reclaimer) takeDetached() departure {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := departure{r, r.detached}
	r.detached = nil
	return d
}

// entries appends what the journal has to be told. Logs in memory are in none.
func (d departure) entries(list []state.Entry) []state.Entry {
	if d.r.o.Ephemeral {
		return list
	}
	var numbers []seqset.Range
	for _, x := range d.list {
		numbers = append(numbers, x.GivenUp)
	}
	for _, n := range seqset.Union(numbers) {
		list = append(list, state.Entry{Op: state.GiveUp, Topic: d.r.o.Incarnation, Void: n})
	}
	return list
}

// later has a departure tried again in a while.
func (d departure) later() {
	d.r.mu.Lock()
	d.r.detached = append(d.list, d.r.detached...)
	d.r.mu.Unlock()
	d.r.armed.Store(true)
	d.r.lookLater()
}

// stop ends it: nothing is taken out of the log any more.
func (r *reclaimer) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
