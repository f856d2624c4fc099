package topic

import (
	"time"

	"qmq/diskqueue"
	"qmq/internal/seqset"
)

// noteUnsynced counts records that were written but not synced and starts a
// sync when enough of them, or enough time, has passed. Those that nobody needs
// any more need no sync: a topic whose consumers keep up leaves the disk alone
// but for one every SyncTimeout. The caller holds t.mu.
func (t *Topic) noteUnsynced(n int64) {
	if t.o.Ephemeral {
		return
	}
	first := t.unsyncedLen == 0
	t.unsyncedLen += n
	if first {
		t.noteEnd(0, t.end)
	} else {
		t.noteLater()
	}
	switch {
	case t.syncing:
	case t.muchUnsynced():
		t.startSync()
	case first:
		t.armSync()
	}
}

// muchUnsynced says that it is time for a sync. The caller holds t.mu.
func (t *Topic) muchUnsynced() bool {
	if t.unsyncedLen < t.o.SyncEvery {
		return false
	}
	t.forgetFinished()
	return t.unsyncedLen >= t.o.SyncEvery
}

// forgetFinished counts no more what every channel has finished. The caller
// holds t.mu.
func (t *Topic) forgetFinished() {
	t.unsyncedLen = min(t.unsyncedLen, int64(t.end-t.lowest()))
}

// armSync has syncDue called when SyncTimeout has passed. The caller holds t.mu.
func (t *Topic) armSync() {
	if t.syncTimer == nil {
		t.syncTimer = t.o.Deadlines.NewTimer(func(int64) { t.syncDue() })
	}
	t.syncTimer.Arm(t.o.Clock.Now() + int64(t.o.SyncTimeout))
}

// syncDue is called when SyncTimeout has passed.
func (t *Topic) syncDue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgetFinished(); t.unsyncedLen > 0 && !t.closed {
		t.startSync()
	}
}

// startSync starts the syncing goroutine unless it runs. The caller holds t.mu.
func (t *Topic) startSync() {
	if t.syncing {
		return
	}
	t.syncing = true
	go t.syncAll()
}

// syncAll syncs the log until there is nothing that must be synced now.
func (t *Topic) syncAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		records := t.unsyncedLen
		t.inSync, t.unsynced, t.unsyncedLen = t.unsynced, nil, 0
		t.mu.Unlock()
		err := t.syncLog()
		t.mu.Lock()
		if t.dropped {
			break // and all who waited were told
		}
		if err != nil {
			t.unsyncedLen += records // what can be synced yet is tried again
			t.syncFailed(err)
			break
		}
		for _, w := range t.inSync {
			t.commit(w.added, w.bytes)
			settle(w.requests, nil, nil)
		}
		t.inSync = nil
		if len(t.unsynced) == 0 && (t.strict() || !t.muchUnsynced()) {
			break
		}
	}
	if t.unsyncedLen > 0 && !t.closed {
		t.armSync()
	}
	t.syncing = false
	t.idle.Broadcast()
}

// syncLog syncs the log, after the journal: a record that survives the end of
// the machine is of no use where its topic and channels do not. When that cannot
// be had the records are synced all the same: the journal says what is wrong.
func (t *Topic) syncLog() error {
	if err := t.o.Journal.Durable(); err != nil {
		t.o.Logger.Error("messages are synced before their topic is", "topic", t.o.Name, "error", err)
	}
	synced, err := t.o.Log.Sync()
	t.noteEnd(synced, synced)
	return err
}

// noteEvery is how often the journal is told how far the log grew that is not
// synced.
const noteEvery = 50 * time.Millisecond

// noteLater has the journal note in a while up to where the log is written. The
// caller holds t.mu.
func (t *Topic) noteLater() {
	if t.noting {
		return
	}
	t.noting = true
	if t.noteTimer == nil {
		t.noteTimer = t.o.Deadlines.NewTimer(func(int64) { t.noteDue() })
	}
	t.noteTimer.Arm(t.o.Clock.Now() + int64(noteEvery))
}

// noteDue is called when noteEvery has passed.
func (t *Topic) noteDue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noting = false; !t.closed {
		t.noteEnd(0, t.end)
	}
}

// noteEnd has the journal note up to where the log reaches, so that a later
// start notices what is missing. The number at which the log goes on after a
// start is no end: there is no record before it.
func (t *Topic) noteEnd(synced, written uint64) {
	if written <= t.opened {
		return
	}
	if synced <= t.opened {
		synced = 0
	}
	t.o.Journal.NoteEnd(t.o.Incarnation, synced, written)
}

// syncFailed refuses publishes. In strict mode it also takes back what was
// written since the last good sync. A background sync for which there was no
// descriptor is only late: it is tried again. It is called with t.mu held and
// may give it up for a while.
func (t *Topic) syncFailed(err error) {
	if !t.strict() && diskqueue.OutOfDescriptors(err) {
		t.o.Logger.Warn("messages are synced later", "topic", t.o.Name, "error", err)
		return
	}
	t.fail(err)
	if !t.strict() {
		return
	}
	// Whoever comes now is refused at once; the writes that were accepted
	// before end first and add themselves to unsynced.
	for t.writing {
		t.idle.Wait()
	}
	t.refuseUnsynced(err)
	t.mu.Unlock() // nothing is appended before a Probe, which waits for this sync
	t.o.Log.Rewind()
	t.mu.Lock()
	if end := t.o.Log.End(); end > t.end {
		// A segment that was synced before another one failed keeps what was
		// refused now.
		t.addVoid(seqset.Range{From: t.end, To: end})
	}
	t.reclaim.lookForWake()
}

// refuseUnsynced refuses the publishes that wait for a sync. The caller holds
// t.mu.
func (t *Topic) refuseUnsynced(err error) {
	for _, list := range [][]written{t.inSync, t.unsynced} {
		for _, w := range list {
			settle(w.requests, nil, err)
		}
	}
	t.inSync, t.unsynced = nil, nil
}
