package journal

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

const (
	// commitShare is which part of a file in the reserve the changes of channels
	// leave, so that topics and channels can still be deleted when it comes to
	// its end.
	commitShare = 16

	minFillPause = 500 * time.Millisecond
	maxFillPause = 10 * time.Second
)

// write appends the buffer, with so many commits in it, to the log. When the
// disk is full it goes on in a new log, out of the reserve.
func (w *writer) write(commits int, sync bool) error {
	b := w.buf
	if w.buf = b[:0]; cap(b) > maxKeptBuffer {
		w.buf = nil
	}
	if w.log.starting && (w.settled || w.settling) { // behind what was to be noted
		b = w.appendSettled(b)
	}
	if len(b) == 0 {
		return nil
	}
	if end := w.j.syncer.onDisk(w.log.number); end > w.toldSynced {
		b = appendFrame(b, w.log.salt, encodeSynced(w.enc, end))
		w.toldSynced = end // should it not be written, it is told after the next sync
	}
	err := w.put(b)
	if noRoom(err) && w.roll(err, int64(len(b))) {
		reframe(b, w.log.salt)
		err = w.put(b)
	}
	if err != nil {
		return err
	}
	w.log.starting = w.log.starting && !w.settled && !w.settling
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
		_ = w.log.cut(w.log.end - int64(len(b))) // what is refused, as well as can be
		w.giveUpLog()
		return err
	}
	w.j.syncer.wrote(w.log.end, 0) // nobody has to ask for their sync
	w.j.syncer.reached(w.log.end)
	return nil
}

// tellSettled has a log that was made before the start was complete, and is taken into
// use afterwards, say that it is: nothing else may be written to it for long.
func (w *writer) tellSettled() {
	if !w.log.starting || !w.settled {
		return
	}
	if err := w.put(w.appendSettled(nil)); err != nil {
		w.failed(err)
		return
	}
	w.log.starting = false
}

// appendSettled appends the record that says that the start is complete.
func (w *writer) appendSettled(b []byte) []byte {
	return appendFrame(b, w.log.salt, encodeFirst(w.enc, firstRecord{Boot: w.j.o.BootID}))
}

// tellSynced has the log itself say how far it was synced, when no write is
// about to. It needs no sync: it only tells damage from power that was lost.
func (w *writer) tellSynced() {
	w.toldSynced = w.log.end
	if err := w.put(appendFrame(nil, w.log.salt, encodeSynced(w.enc, w.log.end))); err != nil {
		w.failed(err)
	}
}

// put appends to the log, which is at its old end, or given up, when that
// fails.
func (w *writer) put(b []byte) error {
	err := w.log.append(b)
	if err == nil {
		return nil
	}
	if cutErr := w.log.cut(w.log.end); cutErr != nil {
		w.giveUpLog()
		return errors.Join(err, cutErr)
	}
	return err
}

// roll goes on in a new log, out of the reserve, that has room for so many
// bytes. What was written to the old one stays good.
func (w *writer) roll(reason error, size int64) bool {
	if w.log == nil || w.reserve.count() == 0 || size > w.reserve.bytes()-w.commitRoom() {
		return false
	}
	l, err := w.startLog(w.takeNumber())
	if err != nil {
		w.j.o.Logger.Error("journal: cannot go on in the reserve", "error", err)
		return false
	}
	w.useLog(l)
	w.tight = true
	if w.full == nil {
		w.j.o.Logger.Error("journal: the disk is full; going on in the reserve", "error", reason)
		w.fillAt, w.fillBackoff = time.Now().Add(minFillPause), minFillPause
		w.full = fmt.Errorf("going on in the reserve of %s: %w", w.j.o.Dir, reason)
		w.j.o.OnHealth(w.full)
	}
	return true
}

// roomForChanges is how many bytes of channels' changes may be written now.
func (w *writer) roomForChanges() int64 {
	if w.full == nil || w.reserve.count() > 0 {
		return math.MaxInt64
	}
	return w.log.room - w.log.end - w.commitRoom()
}

func (w *writer) commitRoom() int64 { return w.reserve.bytes() / commitShare }

// mustFill says that it is time to make the reserve what it should be.
func (w *writer) mustFill(now time.Time) bool {
	return w.reserve.short() && !now.Before(w.fillAt)
}

func (w *writer) fillReserve() {
	w.do(w.reserve.fill, func(err error) {
		w.tight = noRoom(err)
		if err == nil {
			w.fillBackoff = 0
			w.notFull()
			return
		}
		if w.fillBackoff == 0 {
			w.j.o.Logger.Warn("journal: the reserve for a full disk is not complete", "error", err)
		}
		w.fillBackoff = min(max(2*w.fillBackoff, minFillPause), maxFillPause)
		w.fillAt = time.Now().Add(w.fillBackoff)
	})
}

// notFull notes that there is room on the disk again.
func (w *writer) notFull() {
	if w.full == nil {
		return
	}
	w.full = nil
	w.j.o.Logger.Info("journal: there is room on the disk again")
	if w.bad == nil {
		w.j.o.OnHealth(nil)
	}
}

// probe finds out whether writing works again when nothing else would.
func (w *writer) probe() {
	err := w.ensureLog()
	if err == nil {
		w.buf = appendFrame(w.buf, w.log.salt, w.enc.Entries(nil))
		err = w.write(0, w.j.o.SyncTopology)
	}
	if err != nil {
		w.failed(err)
		return
	}
	w.wrote()
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
	w.checkpointWanted, w.unsure = true, true
	w.failed(err)
}

// giveUpLog never writes to the log again. Since changes in it may be lost,
// a checkpoint is to say everything anew.
func (w *writer) giveUpLog() {
	w.j.o.Logger.Warn("journal: going on in a new log", "given_up", w.log.name)
	w.log = nil
	w.j.syncer.turn(nil)
	w.checkpointWanted, w.unsure = true, true
}

// firstLog is the log that a start goes on with: a new one. Where the reserve is
// not complete the disk may be full: then it is the last one if it has room, so
// that no number of starts uses the reserve up. A damaged one is kept as it is.
func (w *writer) firstLog(r *replay) error {
	last, ok := r.logs[w.lastLog]
	if ok && last.told && !r.damaged[fileName(w.lastLog, logSuffix)] && w.reserve.short() {
		l, err := w.reopenLog(w.lastLog, last)
		if err != nil {
			return err
		}
		if l != nil {
			w.useLog(l)
			return nil
		}
	}
	if w.reserve.size > 0 && w.reserve.count() == 0 {
		_ = w.reserve.makeSpare(w.reserve.bytes()) // or the log has no room of its own
	}
	return w.ensureLog()
}

// reopenLog takes a former process's log into use; it is nil if that has no room.
func (w *writer) reopenLog(number uint64, was readLog) (*file, error) {
	path := w.path(number, logSuffix)
	f, err := w.j.o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	l := &file{fs: w.j.o.FS, name: path, number: number, f: f, salt: was.salt, end: int64(was.end), starting: !w.settled, timings: &w.j.timings}
	if l.room, err = f.Size(); err != nil || l.room-l.end < 2*w.commitRoom() {
		return nil, errors.Join(err, f.Close())
	}
	if err = l.cut(l.end); err == nil { // a torn tail, should there be one
		err = l.append(appendFrame(nil, l.salt, w.first(0, 0)))
	}
	if err == nil {
		err = l.sync()
	}
	if err == nil { // the process that made it may have ended before it could
		err = w.j.o.FS.SyncDir(w.j.o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
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
	w.log, w.lastLog, w.toldSynced = l, l.number, l.end
	w.j.log.Store(l.number)
	w.j.syncer.turn(l)
}

// takeNumber gives each number out once, also when the file then fails.
func (w *writer) takeNumber() uint64 {
	w.next++
	return w.next - 1
}

// startLog makes a log whose name and header survive a crash of the machine.
func (w *writer) startLog(number uint64) (*file, error) {
	l, err := w.makeLog(number, w.first(w.lastLog, w.j.syncer.onDisk(w.lastLog)))
	if err == nil {
		l.starting = !w.settled
	}
	return l, err
}

// first is the first record of a file, as it is now.
func (w *writer) first(before uint64, beforeEnd int64) []byte {
	return encodeFirst(w.enc, firstRecord{Boot: w.j.o.BootID, Before: before, BeforeEnd: beforeEnd, Starting: !w.settled})
}

// makeLog is called by jobs, too.
func (w *writer) makeLog(number uint64, first []byte) (*file, error) {
	l, err := createFile(w.reserve, number, logSuffix, first)
	if err != nil {
		return nil, err
	}
	if err = l.sync(); err == nil {
		err = w.j.o.FS.SyncDir(w.j.o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, l.discard(w.reserve))
	}
	return l, nil
}

func (w *writer) path(number uint64, suffix string) string {
	return filepath.Join(w.j.o.Dir, fileName(number, suffix))
}
