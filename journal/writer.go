package journal

import (
	"errors"
	"fmt"
	"math"
	"time"

	"qmq/state"
)

const (
	minRetry = 50 * time.Millisecond
	maxRetry = time.Second
	// maxKeptBuffer is how large a buffer may stay between writes.
	maxKeptBuffer = 1 << 20
)

// writer is the state of the one goroutine that writes; nothing else touches
// it. The order in which it writes is the order in which things happened. It
// waits for no sync but those that Options.SyncTopology asks for, or after a
// failure.
type writer struct {
	j   *Journal
	enc *state.Encoder
	buf []byte // frames on their way into the log

	topology   *state.Topology // as committed
	damaged    map[string]bool // files to keep when a checkpoint replaces them; never changes
	reserve    *reserve
	next       uint64 // number of the next file
	base       uint64 // the newest checkpoint that is whole; 0: none
	log        *file  // nil after a failure until the next write
	lastLog    uint64 // number of the log written last; 0: none ever was
	toldSynced int64  // what the log says of how far it was synced
	since      int64  // bytes of logs since the last checkpoint
	clean      bool   // the last checkpoint says all there is
	settled    bool   // what the end of the machine took is noted, see Settle
	settling   bool   // and is so once what is being written is

	told    []state.Source // whose changes are in buf
	dueAt   time.Time      // when something will be due that is marked; zero: nothing is
	bad     error          // of the last write
	retryAt time.Time      // when to try again, while bad
	backoff time.Duration

	full        error     // the log goes on in the reserve, since the disk was found full
	tight       bool      // the reserve could not be filled when it was tried last
	fillAt      time.Time // when to try again to fill the reserve
	fillBackoff time.Duration

	jobDone chan error  // capacity 1: the result of the job that is under way
	then    func(error) // what to do with it; nil: no job is under way
	ending  bool        // jobs are done at once

	checkpoint         *checkpoint // being written
	checkpointAt       time.Time   // the next, if since > 0
	checkpointWanted   bool        // the next, as soon as may be
	checkpointNotAgain time.Time   // before this time, after a failure
	checkpointBackoff  time.Duration
	checkpointError    error // of the last, if it failed
	checkpointSize     int64 // of the last, or what another one is known to need
	unsure             bool  // changes in a log that was given up may be lost until the next
}

func newWriter(j *Journal, r *replay, files listing) *writer {
	enc := state.NewEncoder()
	w := &writer{
		j: j, enc: enc, topology: state.NewTopology(r.found.State, enc), damaged: r.damaged, reserve: newReserve(&j.o, files.spares),
		next: files.last() + 1, base: r.base, checkpointSize: r.baseSize,
		settled: r.found.SameBoot || j.o.BootID == "", // where nobody can tell boots apart no start takes one for the same
		since:   r.read, checkpointAt: time.Now().Add(j.o.CheckpointEvery), jobDone: make(chan error, 1),
	}
	w.reserve.timings = &j.timings
	w.reserve.suit(r.baseSize)
	if len(files.logs) > 0 {
		w.lastLog = files.logs[len(files.logs)-1]
	}
	return w
}

func (w *writer) run() {
	defer close(w.j.stopped)
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		queue, closing := w.takeQueue()
		w.noticeUnsynced()
		w.serve(queue)
		if closing {
			w.j.failure = w.finish()
			return
		}
		w.noticeJob()
		if w.work(time.Now()) {
			continue
		}
		timer.Reset(w.sleep(time.Now()))
		select {
		case <-w.j.wake:
		case <-timer.C:
		}
	}
}

func (w *writer) takeQueue() (queue []*request, closing bool) {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	queue, w.j.queue = w.j.queue, nil
	return queue, w.j.closing
}

// serve writes the commits in one go and answers, then the flushes.
func (w *writer) serve(queue []*request) {
	var commits, flushes []*request
	for _, r := range queue {
		switch {
		case r.settles && len(r.entries) == 0 && w.settled:
			r.done <- nil
		case r.entries == nil && !r.settles:
			flushes = append(flushes, r)
		default:
			commits = append(commits, r)
		}
	}
	if len(commits) > 0 {
		answer(commits, w.commit(commits))
	}
	if len(flushes) > 0 {
		answer(flushes, w.flush())
	}
}

func answer(requests []*request, err error) {
	if err != nil {
		err = fmt.Errorf("journal: %w", err)
	}
	for _, r := range requests {
		r.done <- err
	}
}

// commit writes a group of commits, a frame each, and makes them part of the
// topology.
func (w *writer) commit(requests []*request) error {
	err := w.ensureLog()
	if err == nil {
		for _, r := range requests {
			if w.settling = w.settling || r.settles; len(r.entries) > 0 {
				w.buf = appendFrame(w.buf, w.log.salt, w.enc.Entries(r.entries))
			}
		}
		err = w.write(len(requests), w.j.o.SyncTopology)
	}
	w.settled, w.settling = w.settled || w.settling && err == nil, false
	if err != nil {
		w.failed(err)
		return err
	}
	for _, r := range requests {
		for _, e := range r.entries {
			w.topology.Apply(e)
		}
	}
	w.wrote()
	return nil
}

// work does one bounded piece of what is due, so that commits never wait for
// more than that; it returns false when nothing is due.
func (w *writer) work(now time.Time) bool {
	changes := w.changesDue(now)
	tryNow := w.bad == nil || !now.Before(w.retryAt)
	switch {
	case tryNow && changes:
		w.changes() // its failure is kept in w.bad, and it is tried again
	case tryNow && w.bad != nil:
		w.probe()
	case w.bad == nil && w.log != nil && w.toldSynced < w.log.end && w.j.syncer.onDisk(w.log.number) == w.log.end:
		w.tellSynced()
	case w.then != nil:
		return false // it wakes the writer
	case w.checkpoint != nil:
		w.stepCheckpoint()
	case w.mustFill(now):
		w.fillReserve()
	default:
		at, ok := w.nextCheckpoint()
		if !ok || now.Before(at) || w.bad != nil {
			return false
		}
		w.beginCheckpoint()
	}
	return true
}

// sleep is how long nothing will be due, unless a job ends.
func (w *writer) sleep(now time.Time) time.Duration {
	d := time.Duration(math.MaxInt64)
	until := func(t time.Time) { d = min(d, t.Sub(now)) }
	if w.bad != nil {
		until(w.retryAt)
	} else if !w.dueAt.IsZero() {
		until(w.dueAt)
	}
	if w.then != nil {
		return d
	}
	if w.reserve.short() {
		until(w.fillAt)
	}
	if at, ok := w.nextCheckpoint(); ok && w.bad == nil {
		until(at)
	}
	return d
}

// do has a job done that waits for the disk, beside the writer, which learns of
// its end by then. One job is done at a time.
func (w *writer) do(job func() error, then func(error)) {
	if w.ending {
		then(job())
		return
	}
	w.then = then
	go func() {
		w.jobDone <- job()
		w.j.wakeWriter()
	}()
}

func (w *writer) noticeJob() {
	if w.then == nil {
		return
	}
	select {
	case err := <-w.jobDone:
		w.endJob(err)
	default:
	}
}

func (w *writer) endJob(err error) {
	then := w.then
	w.then = nil
	then(err)
}

// failed notes a failed write and when to try again.
func (w *writer) failed(err error) {
	if w.bad == nil {
		w.backoff = minRetry
		w.j.o.Logger.Error("journal: cannot write", "error", err)
	} else {
		w.backoff = min(2*w.backoff, maxRetry)
	}
	w.bad = err
	w.retryAt = time.Now().Add(w.backoff)
	w.j.o.OnHealth(err)
}

// wrote notes a good write.
func (w *writer) wrote() {
	if w.bad == nil {
		return
	}
	w.bad = nil
	w.j.o.Logger.Info("journal: writing again")
	w.j.o.OnHealth(w.full)
}

// finish writes everything, ends the log and stops. When the last checkpoint
// is written, it does not matter whether the logs below it are; when it is not,
// the logs say the same, unless one was given up.
func (w *writer) finish() error {
	flushErr := w.flush()
	w.ending = true
	if w.then != nil {
		w.endJob(<-w.jobDone)
	}
	w.dropCheckpoint()
	err := w.finalCheckpoint()
	syncErr := w.j.syncer.stop()
	if err == nil {
		return nil
	}
	if !w.unsure {
		err = nil
	}
	if err = errors.Join(flushErr, err, syncErr); err != nil {
		return fmt.Errorf("journal: closing: %w", err)
	}
	return nil
}
