package journal

import (
	"errors"
	"path/filepath"
	"slices"
	"time"

	"qmq/state"
)

const (
	// checkpointPiece is how much of a checkpoint is gathered and written
	// between two looks at the commits that wait.
	checkpointPiece = 256 << 10
	// checkpointSync is how much of it may wait for the disk, so that no sync
	// takes long.
	checkpointSync = 8 << 20

	minCheckpointRetry = time.Second
	maxCheckpointRetry = time.Minute
)

// checkpoint is one being written, piece by piece, while the log it begins
// with already grows. It consists of the topology as it was when that log was
// taken into use and of the channels' states as they are when they are asked. A
// state may thus be newer than the log's beginning: its version makes the replay
// skip the changes that are in it. A channel created meanwhile is in the log,
// whole; the state of one deleted meanwhile is dropped by the entry in the log.
//
// The writer gathers the pieces; jobs make its files, write the pieces and put
// the whole in place.
type checkpoint struct {
	number  uint64
	f       *file
	buf     []byte
	sources []state.Source // still to be asked
	synced  int64          // bytes of the file that were
	commits uint64         // those that it has in it

	records, topics, channels uint64
	// maxIncarnation is that of its topology: what came meanwhile is in the log.
	maxIncarnation uint64
}

// nextCheckpoint is when the next one may be begun, if there is a reason to.
func (w *writer) nextCheckpoint() (at time.Time, ok bool) {
	switch {
	case w.tight && (w.reserve.count() < 2 || w.checkpointSize+w.checkpointSize/4 > w.reserve.bytes()):
		return w.checkpointNotAgain, false // it would have no room
	case w.checkpointWanted || w.since >= w.j.o.CheckpointBytes || w.reserveWanes():
		return w.checkpointNotAgain, true
	case w.since > 0 && w.checkpointAt.After(w.checkpointNotAgain):
		return w.checkpointAt, true
	default:
		return w.checkpointNotAgain, w.since > 0
	}
}

// reserveWanes says that the disk is full and a checkpoint would gain room.
func (w *writer) reserveWanes() bool {
	return w.tight && w.log != nil && w.log.end > w.log.room/2
}

// beginCheckpoint has the checkpoint's file made, and the log that goes on from
// it.
func (w *writer) beginCheckpoint() {
	number, before := w.takeNumber(), w.lastLog
	first := slices.Clone(w.first(0, 0))
	firstOfLog := slices.Clone(w.first(before, w.j.syncer.onDisk(before)))
	starting := !w.settled
	var f, log *file
	w.do(func() (err error) {
		if f, err = createFile(w.reserve, number, temporarySuffix, first); err != nil {
			return err
		}
		if log, err = w.makeLog(number, firstOfLog); err != nil {
			return errors.Join(err, f.discard(w.reserve))
		}
		log.starting = starting
		return nil
	}, func(err error) {
		switch {
		case err != nil:
			w.checkpointFailed(err, 0)
		case w.lastLog != before: // a later one is in use
			w.checkpointFailed(errors.Join(errOvertaken, f.discard(w.reserve), log.discard(w.reserve)), 0)
		default:
			w.startCheckpoint(f, log)
		}
	})
}

var errOvertaken = errors.New("a new log was needed meanwhile")

// startCheckpoint takes the log into use and takes down the topology of this
// moment.
func (w *writer) startCheckpoint(f, log *file) {
	w.useLog(log)
	w.tellSettled()
	w.since, w.clean, w.checkpointWanted = 0, false, false
	c := &checkpoint{
		number: log.number, f: f, sources: w.sources(), commits: w.j.syncer.written.Load(), records: 1,
		maxIncarnation: w.topology.MaxIncarnation(),
	}
	w.checkpoint = c
	c.topics, c.channels = w.topology.Begin(c.add)
}

func (w *writer) sources() []state.Source {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	return w.j.collector.Sources()
}

func (c *checkpoint) add(payload []byte) {
	c.buf = appendFrame(c.buf, c.f.salt, payload)
	c.records++
}

// stepCheckpoint has the next piece written, and ends the checkpoint with the
// last.
func (w *writer) stepCheckpoint() {
	c := w.checkpoint
	for len(c.sources) > 0 && len(c.buf) < checkpointPiece {
		w.addSource(c, c.sources[0])
		c.sources = c.sources[1:]
	}
	if len(c.sources) > 0 {
		w.doCheckpoint(c.writePiece, func() {})
		return
	}
	w.topology.Kept(c.add)
	c.add(encodeEnd(w.enc, c.records, c.topics, c.channels, c.maxIncarnation))
	w.doCheckpoint(func() error { return w.putInPlace(c) }, func() { w.endCheckpoint(c) })
}

// doCheckpoint does a job for the checkpoint, which ends when that fails.
func (w *writer) doCheckpoint(job func() error, then func()) {
	c := w.checkpoint
	w.do(func() error {
		err := job()
		if err != nil {
			err = errors.Join(err, c.f.discard(w.reserve)) // a file that stays is removed by a later checkpoint or start
		}
		return err
	}, func(err error) {
		if err != nil {
			w.checkpoint = nil
			w.checkpointFailed(err, c.f.end+int64(len(c.buf)))
			return
		}
		then()
	})
}

// endCheckpoint notes that one is whole and has the files removed that nobody
// needs any more.
func (w *writer) endCheckpoint(c *checkpoint) {
	before := w.base
	w.checkpoint, w.checkpointError, w.base = nil, nil, c.number
	w.clean, w.unsure = w.since == 0, w.checkpointWanted
	w.checkpointBackoff, w.checkpointSize = 0, c.f.end
	w.topology.End()
	w.j.syncer.checkpointed(c.commits)
	w.reserve.suit(c.f.end)
	tight := w.tight
	w.do(func() error {
		w.removeOlder(before, c.number)
		if tight && w.reserve.count() < 2 {
			w.removeOlder(c.number, c.number) // room to go on is worth more than a second generation
		}
		return nil
	}, func(error) { w.fillAt = time.Now() })
}

// addSource takes down the state of a source. Of a detached one it is kept, for
// this checkpoint and later ones, and the source is let go.
func (w *writer) addSource(c *checkpoint, source state.Source) {
	ch := source.Snapshot()
	w.j.mu.Lock()
	attached := w.j.collector.Spoke(source)
	w.j.mu.Unlock()
	w.topology.Snapshot(ch, attached, c.add)
}

func (c *checkpoint) writePiece() error {
	if err := c.f.append(c.buf); err != nil {
		return err
	}
	c.buf = c.buf[:0]
	if c.f.end-c.synced < checkpointSync {
		return nil
	}
	c.synced = c.f.end
	return c.f.sync()
}

// putInPlace gives the checkpoint its name once every byte of it is on the
// disk. When it returns nil older files are not needed any more.
func (w *writer) putInPlace(c *checkpoint) error {
	if err := c.writePiece(); err != nil {
		return err
	}
	if err := c.f.sync(); err != nil {
		return err
	}
	name := w.path(c.number, checkpointSuffix)
	if err := w.j.o.FS.Rename(c.f.name, name); err != nil {
		return err
	}
	c.f.name = name
	if err := w.j.o.FS.SyncDir(w.j.o.Dir); err != nil {
		return err
	}
	_ = c.f.f.Close() // it is synced
	return nil
}

// checkpointFailed leaves all older files in place and tries again later.
// Reached is how long the file got, or would have.
func (w *writer) checkpointFailed(err error, reached int64) {
	if noRoom(err) {
		w.checkpointSize = max(w.checkpointSize, reached)
	}
	w.checkpointBackoff = min(max(2*w.checkpointBackoff, minCheckpointRetry), maxCheckpointRetry)
	w.checkpointNotAgain = time.Now().Add(w.checkpointBackoff)
	w.checkpointWanted = true
	w.j.o.Logger.Error("journal: cannot write a checkpoint", "error", err, "retry_in", w.checkpointBackoff)
	w.checkpointError = err
}

// dropCheckpoint gives up the one that is being written, if any.
func (w *writer) dropCheckpoint() {
	if w.checkpoint == nil {
		return
	}
	_ = w.checkpoint.f.discard(w.reserve) // a file that stays is removed by a later start
	w.checkpoint = nil
}

// finalCheckpoint writes one more, unless the last one says it all.
func (w *writer) finalCheckpoint() error {
	if w.clean && !w.checkpointWanted {
		return nil
	}
	w.checkpointError = nil
	w.beginCheckpoint()
	for w.checkpoint != nil {
		w.stepCheckpoint()
	}
	return w.checkpointError
}

// removeOlder removes the files that the checkpoint before the newest one stands
// for: two generations are kept, so that damage to the newest checkpoint costs
// nothing. Files that are left, by an error or a crash, do no harm, and the next
// checkpoint tries again.
func (w *writer) removeOlder(before, newest uint64) {
	files, err := list(w.j.o.FS, w.j.o.Dir)
	if err != nil {
		w.j.o.Logger.Warn("journal: cannot remove old files", "error", err)
		return
	}
	for _, n := range files.logs {
		w.removeIfOlder(before, n, logSuffix)
	}
	for _, n := range files.checkpoints {
		until := before
		if w.damaged[fileName(n, checkpointSuffix)] {
			until = newest // what it says is in the one that was just written
		}
		w.removeIfOlder(until, n, checkpointSuffix)
	}
	for _, n := range files.temporary {
		w.removeIfOlder(newest, n, temporarySuffix)
	}
}

func (w *writer) removeIfOlder(number, n uint64, suffix string) {
	if n >= number {
		return
	}
	path := w.path(n, suffix)
	var err error
	if w.damaged[filepath.Base(path)] {
		err = w.j.o.FS.Rename(path, path+damagedSuffix)
	} else {
		err = w.reserve.giveBack(path)
	}
	if err != nil {
		w.j.o.Logger.Warn("journal: cannot remove an old file", "file", path, "error", err)
	}
}
