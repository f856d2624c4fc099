package journal

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

const (
	// checkpointPiece is how much of a checkpoint is gathered and written
	// between two looks at the commits that wait.
	checkpointPiece = 256 << 10
	// checkpointSync is how much of it may wait for the disk, so that no sync
	// takes long.
	checkpointSync = 8 << 20

	checkpointRetryFirst = time.Second
	checkpointRetryMost  = time.Minute
)

// checkpoint is one being written, piece by piece, while the log it begins
// with already grows. It consists of the topology as it was when that log was
// started and of the channels' states as they are when they are asked. A state
// may thus be newer than the log's beginning: its version makes the replay skip
// the changes that are in it. A channel created meanwhile is in the log, whole;
// the state of one deleted meanwhile is dropped by the entry in the log.
type checkpoint struct {
	number  uint64
	f       *file
	buf     []byte
	members []*member // still to be asked
	synced  int64     // bytes of the file that were
	commits uint64    // those that it has in it

	records, topics, channels uint64
}

// nextCheckpoint is when the next one may be begun, if there is a reason to.
func (w *writer) nextCheckpoint() (at time.Time, ok bool) {
	switch {
	case w.checkpointWanted || w.since >= w.j.o.CheckpointBytes:
		return w.checkpointNotAgain, true
	case w.since > 0 && w.checkpointAt.After(w.checkpointNotAgain):
		return w.checkpointAt, true
	default:
		return w.checkpointNotAgain, w.since > 0
	}
}

// beginCheckpoint starts the log that goes on from the checkpoint and takes
// down the topology of this moment.
func (w *writer) beginCheckpoint() {
	number := w.takeNumber()
	f, err := createFile(w.j.o.FS, w.j.o.Dir, number, temporarySuffix, w.enc.first(w.j.o.BootID, 0, 0))
	if err != nil {
		w.checkpointFailed(err)
		return
	}
	log, err := w.startLog(number)
	if err != nil {
		w.checkpointFailed(errors.Join(err, f.discard()))
		return
	}
	w.useLog(log)
	w.since, w.clean, w.checkpointWanted = 0, false, false
	w.checkpoint = &checkpoint{
		number: number, f: f, members: w.allMembers(), commits: w.j.syncer.written.Load(), records: 1,
	}
	if names := slices.Sorted(maps.Keys(w.topology.Acknowledged)); len(names) > 0 {
		w.checkpoint.add(w.enc.acknowledged(names))
	}
	for _, t := range w.topology.Topics {
		t.pruneVoids()
		w.checkpoint.add(w.enc.topicState(t))
		w.checkpoint.topics++
		w.checkpoint.channels += uint64(len(t.Channels))
	}
}

func (w *writer) allMembers() []*member {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	members := make([]*member, 0, len(w.j.members))
	for _, m := range w.j.members {
		members = append(members, m)
	}
	return members
}

func (c *checkpoint) add(payload []byte) {
	c.buf = appendFrame(c.buf, c.f.salt, payload)
	c.records++
}

// stepCheckpoint writes the next piece, and ends the checkpoint with the last.
func (w *writer) stepCheckpoint() {
	c := w.checkpoint
	for len(c.members) > 0 && len(c.buf) < checkpointPiece {
		w.addMember(c, c.members[0])
		c.members = c.members[1:]
	}
	if len(c.members) > 0 {
		if err := c.writePiece(); err != nil {
			w.checkpointFailed(err)
		}
		return
	}
	w.addKept(c)
	c.add(w.enc.endOf(c.records, c.topics, c.channels, w.topology.MaxIncarnation))
	if err := w.endCheckpoint(c); err != nil {
		w.checkpointFailed(err)
		return
	}
	w.checkpoint = nil
	w.clean = w.since == 0
	w.checkpointBackoff = 0
	w.topology.Deleted, w.topology.DeletedChannels = nil, nil
	w.j.syncer.checkpointed(c.commits)
	w.removeOlder(w.base, c.number)
	w.base = c.number
}

// addMember takes down the state of a source. Of a detached one it is kept,
// for this checkpoint and later ones, and the source is let go.
func (w *writer) addMember(c *checkpoint, m *member) {
	ch := m.source.Snapshot()
	w.j.mu.Lock()
	attached := m.attached
	if !attached && !m.marked {
		delete(w.j.members, m.source)
	}
	w.j.mu.Unlock()
	state := w.topology.channel(ch.Topic, ch.Channel)
	if state == nil {
		return
	}
	payload := w.enc.changes(ch)
	if !attached {
		state.kept = append([]byte(nil), payload...)
		return
	}
	state.kept = nil
	c.add(payload)
}

// addKept adds the channels that no source speaks for.
func (w *writer) addKept(c *checkpoint) {
	for _, t := range w.topology.Topics {
		for _, channel := range t.Channels {
			if channel.kept != nil {
				c.add(channel.kept)
			}
		}
	}
}

func (c *checkpoint) writePiece() error {
	err := c.f.append(c.buf)
	c.buf = c.buf[:0]
	if err != nil || c.f.end-c.synced < checkpointSync {
		return err
	}
	c.synced = c.f.end
	return c.f.f.Sync()
}

// endCheckpoint gives the checkpoint its name once every byte of it is on the
// disk. When it returns nil older files are not needed any more.
func (w *writer) endCheckpoint(c *checkpoint) error {
	if err := c.writePiece(); err != nil {
		return err
	}
	if err := c.f.f.Sync(); err != nil {
		return err
	}
	name := filepath.Join(w.j.o.Dir, fileName(c.number, checkpointSuffix))
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
func (w *writer) checkpointFailed(err error) {
	w.dropCheckpoint()
	w.checkpointBackoff = min(max(2*w.checkpointBackoff, checkpointRetryFirst), checkpointRetryMost)
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
	_ = w.checkpoint.f.discard() // a file that stays is removed by a later checkpoint or start
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
	name := fileName(n, suffix)
	path := filepath.Join(w.j.o.Dir, name)
	var err error
	if w.damaged[name] {
		err = w.j.o.FS.Rename(path, path+damagedSuffix)
	} else {
		err = w.j.o.FS.Remove(path)
	}
	if err != nil {
		w.j.o.Logger.Warn("journal: cannot remove an old file", "file", name, "error", err)
	}
}
