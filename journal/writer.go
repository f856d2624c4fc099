package journal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
	// keepBuffer is how large a buffer may stay between writes.
	keepBuffer = 1 << 20
)

// writer is the state of the one goroutine that writes; nothing else touches
// it. The order in which it writes is the order in which things happened.
type writer struct {
	j   *Journal
	enc *encoder
	buf []byte // frames on their way into the log

	topology *State          // as committed
	damaged  map[string]bool // files to keep when a checkpoint replaces them
	next     uint64          // number of the next file
	base     uint64          // the newest checkpoint that is whole; 0: none
	log      *file           // nil after a failure until the next write
	lastLog  uint64          // number of the log written last; 0: none ever was
	since    int64           // bytes of logs since the last checkpoint
	clean    bool            // the last checkpoint says all there is

	due     []*member  // marked ones whose turn has come
	told    []*member  // those whose changes are in buf
	ends    []topicEnd // due to be written
	dueAt   time.Time  // when those in Journal.marked have theirs; zero: none seen
	bad     error      // of the last write
	retryAt time.Time  // when to try again, while bad
	backoff time.Duration

	checkpoint         *checkpoint // being written
	checkpointAt       time.Time   // the next, if since > 0
	checkpointWanted   bool        // the next, as soon as may be
	checkpointNotAgain time.Time   // before this time, after a failure
	checkpointBackoff  time.Duration
	checkpointError    error // of the last that failed
}

func newWriter(j *Journal, r *replay, files listing) *writer {
	enc := newEncoder()
	w := &writer{
		j: j, enc: enc, topology: r.state.topology(enc), damaged: r.damaged, next: files.last() + 1, base: r.base,
		since: r.read, checkpointAt: time.Now().Add(j.o.CheckpointEvery),
	}
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
		if r.entries == nil {
			flushes = append(flushes, r)
		} else {
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

// work does one bounded piece of what is due, so that commits never wait for
// more than that; it returns false when nothing is due.
func (w *writer) work(now time.Time) bool {
	w.noticeMarked(now)
	tryNow := w.bad == nil || !now.Before(w.retryAt)
	switch {
	case tryNow && (len(w.due) > 0 || len(w.ends) > 0):
		w.changes() // its failure is kept in w.bad, and it is tried again
	case tryNow && w.bad != nil:
		w.probe()
	case w.checkpoint != nil:
		w.stepCheckpoint()
	default:
		at, ok := w.nextCheckpoint()
		if !ok || now.Before(at) || w.bad != nil {
			return false
		}
		w.beginCheckpoint()
	}
	return true
}

// sleep is how long nothing will be due.
func (w *writer) sleep(now time.Time) time.Duration {
	d := time.Duration(math.MaxInt64)
	until := func(t time.Time) { d = min(d, t.Sub(now)) }
	if w.bad != nil {
		until(w.retryAt)
		return d
	}
	if !w.dueAt.IsZero() {
		until(w.dueAt)
	}
	if at, ok := w.nextCheckpoint(); ok {
		until(at)
	}
	return d
}

// noticeMarked makes marked sources due an Interval after the first was marked.
func (w *writer) noticeMarked(now time.Time) {
	w.j.mu.Lock()
	marked := len(w.j.marked) > 0 || len(w.j.ends) > 0
	w.j.mu.Unlock()
	switch {
	case !marked:
	case w.dueAt.IsZero():
		w.dueAt = now.Add(w.j.o.Interval)
	case !now.Before(w.dueAt):
		w.takeMarked()
	}
}

func (w *writer) takeMarked() {
	w.dueAt = time.Time{}
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	w.due = append(w.due, w.j.marked...)
	clear(w.j.marked)
	w.j.marked = w.j.marked[:0]
	for _, e := range w.j.ends {
		w.ends = append(w.ends, e)
	}
	clear(w.j.ends)
}

// noticeUnsynced gives a log up whose sync failed. Nobody knows what of it is
// on the disk: a checkpoint is to say everything anew.
func (w *writer) noticeUnsynced() {
	w.j.mu.Lock()
	err := w.j.unsynced
	w.j.unsynced = nil
	w.j.mu.Unlock()
	if err == nil {
		return
	}
	if w.log != nil && w.log.broken.Load() {
		w.giveUpLog()
	}
	w.checkpointWanted = true
	w.failed(err)
}

// commit writes a group of commits, a frame each, and makes them part of the
// topology.
func (w *writer) commit(requests []*request) error {
	err := w.ensureLog()
	if err == nil {
		for _, r := range requests {
			w.buf = appendFrame(w.buf, w.log.salt, w.enc.commit(r.entries))
		}
		err = w.write(len(requests), w.j.o.SyncTopology)
	}
	if err != nil {
		w.failed(err)
		return err
	}
	for _, r := range requests {
		for _, e := range r.entries {
			w.topology.apply(e)
		}
	}
	w.wrote()
	return nil
}

// flush writes all that is marked now.
func (w *writer) flush() error {
	w.takeMarked()
	for len(w.due) > 0 || len(w.ends) > 0 {
		if err := w.changes(); err != nil {
			return err
		}
	}
	return nil
}

// changes asks sources that are due, as many as fill one write, and writes
// what they say. When that fails they will be asked for everything.
func (w *writer) changes() error {
	if err := w.ensureLog(); err != nil {
		w.failed(err)
		return err
	}
	if len(w.ends) > 0 {
		w.buf = appendFrame(w.buf, w.log.salt, w.enc.ends(w.ends))
		w.topology.ends(w.ends)
		w.ends = w.ends[:0] // should they not be written, later ones will
	}
	asked := 0
	w.told = w.told[:0]
	for ; asked < len(w.due) && len(w.buf) < w.j.o.Bytes; asked++ {
		w.ask(w.due[asked])
	}
	w.due = slices.Delete(w.due, 0, asked)
	if err := w.write(0, false); err != nil {
		for _, m := range w.told {
			w.j.Mark(m.source)
		}
		w.failed(err)
		return err
	}
	for _, m := range w.told {
		m.full = false
	}
	w.wrote()
	return nil
}

// ask appends the changes of one source. The mark goes first: what changes
// during the call, or after it, marks again. A channel that is not there was
// deleted, or its creation is still to be committed: then all of its state
// follows with its next changes.
func (w *writer) ask(m *member) {
	w.j.mu.Lock()
	m.marked = false
	w.j.mu.Unlock()
	full := m.full
	m.full = true // until it is written
	ch := m.source.Changes(full)
	c := w.topology.channel(ch.Topic, ch.Channel)
	if c == nil {
		return
	}
	c.done = max(c.done, ch.Floor)
	w.buf = appendFrame(w.buf, w.log.salt, w.enc.changes(ch))
	w.told = append(w.told, m)
}

// probe finds out whether writing works again when nothing else would.
func (w *writer) probe() {
	err := w.ensureLog()
	if err == nil {
		w.buf = appendFrame(w.buf, w.log.salt, w.enc.commit(nil))
		err = w.write(0, w.j.o.SyncTopology)
	}
	if err != nil {
		w.failed(err)
		return
	}
	w.wrote()
}

// write appends the buffer, with so many commits in it, to the log, which is at
// its old end, or given up, when that fails.
func (w *writer) write(commits int, sync bool) error {
	b := w.buf
	w.buf = trim(b)
	if len(b) == 0 {
		return nil
	}
	old := w.log.end
	if err := w.log.append(b); err != nil {
		if cutErr := w.log.cut(old); cutErr != nil {
			w.giveUpLog()
			return errors.Join(err, cutErr)
		}
		return err
	}
	if w.since == 0 {
		w.checkpointAt = time.Now().Add(w.j.o.CheckpointEvery)
	}
	w.since += int64(len(b))
	w.clean = false
	if !sync {
		w.j.syncer.wrote(w.log.end, commits)
		return nil
	}
	if err := w.log.sync(); err != nil {
		_ = w.log.cut(old) // what is refused, as well as can be
		w.giveUpLog()
		return err
	}
	w.j.syncer.wrote(w.log.end, 0) // nobody has to ask for their sync
	return nil
}

// giveUpLog never writes to the log again. Since changes in it may be lost,
// a checkpoint is to say everything anew.
func (w *writer) giveUpLog() {
	w.j.o.Logger.Warn("journal: going on in a new log", "given_up", w.log.name)
	w.log = nil
	w.j.syncer.turn(nil)
	w.checkpointWanted = true
}

func (w *writer) ensureLog() error {
	if w.log != nil && w.log.broken.Load() {
		w.giveUpLog()
	}
	if w.log != nil {
		return nil
	}
	l, err := w.startLog(w.takeNumber())
	if err == nil {
		w.useLog(l)
	}
	return err
}

// useLog makes l the log that is written.
func (w *writer) useLog(l *file) {
	w.log, w.lastLog = l, l.number
	w.j.syncer.turn(l)
}

// takeNumber gives each number out once, also when the file then fails.
func (w *writer) takeNumber() uint64 {
	w.next++
	return w.next - 1
}

// startLog makes a log whose name and header survive a crash of the machine.
func (w *writer) startLog(number uint64) (*file, error) {
	first := w.enc.first(w.j.o.BootID, w.lastLog, w.j.syncer.onDisk(w.lastLog))
	l, err := createFile(w.j.o.FS, w.j.o.Dir, number, logSuffix, first)
	if err != nil {
		return nil, err
	}
	if err = l.sync(); err == nil {
		err = w.j.o.FS.SyncDir(w.j.o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, l.discard())
	}
	return l, nil
}

// failed notes a failed write and when to try again.
func (w *writer) failed(err error) {
	if w.bad == nil {
		w.backoff = retryFirst
		w.j.o.Logger.Error("journal: cannot write", "error", err)
	} else {
		w.backoff = min(2*w.backoff, retryMost)
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
	w.j.o.OnHealth(nil)
}

// finish writes everything, ends the log and stops. When the last checkpoint
// is written, it does not matter whether the logs below it are.
func (w *writer) finish() error {
	flushErr := w.flush()
	w.dropCheckpoint()
	err := w.finalCheckpoint()
	syncErr := w.j.syncer.stop()
	if err != nil {
		err = errors.Join(flushErr, err, syncErr)
		return fmt.Errorf("journal: closing: %w", err)
	}
	return nil
}
