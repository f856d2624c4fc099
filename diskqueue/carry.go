package diskqueue

import (
	"errors"
	"path/filepath"
	"slices"

	"qmq/internal/seqset"
)

// A carry segment takes the place of segments of which little is still owed: it
// holds those records alone, with their numbers, so its numbers have gaps. It is
// written beside them, synced, and renamed over the first of them; from then on
// it stands for the numbers of all of them, which its header says, and what is
// left of the others is removed, by this start or by a later one.
const carrySuffix = ".carry.tmp"

// errNotNow refuses a Carry that may work later.
var errNotNow = errors.New("segments are in use")

// Carry puts a carry segment in the place of the full, adjacent segments that
// hold exactly these numbers. It keeps the records of keep, ascending and
// disjoint; with all else it is done for good, which giveUp journals: it is
// called when the new segment is synced, with what is in no record of it. The
// error of giveUp, or of anything before, leaves everything as it was. Readers
// go on meanwhile. One goroutine at a time may call Carry, Detach or DetachBelow.
func (l *Log) Carry(numbers, keep []seqset.Range, giveUp func(gaps []seqset.Range) error) error {
	old, err := l.carriable(numbers)
	if err != nil {
		return err
	}
	first, last := old[0], old[len(old)-1]
	header := segmentHeader{base: first.base, prevEnd: first.prevEnd, prevKnown: first.prevKnown, end: last.end}
	c, err := l.carryOver(old, nil, header, keep, giveUp)
	if err == nil {
		l.removeCarried(old, c)
	}
	return err
}

// carryOver writes a carry segment and puts it, behind what is left of the first
// of the old ones if anything is, into their place.
func (l *Log) carryOver(old segmentList, left *segment, header segmentHeader, keep []seqset.Range, giveUp func([]seqset.Range) error) (*segment, error) {
	w, err := l.writeCarry(header, keep)
	if err != nil {
		return nil, err
	}
	h := l.shared.files.adopt(w.s, w.f) // and held: it must not be opened before it has its name
	defer l.shared.files.release(h)
	fresh := segmentList{w.s}
	if left != nil {
		fresh = segmentList{left, w.s}
	}
	if err = giveUp(w.s.gapsOf()); err == nil {
		err = l.putInPlace(w, old, fresh)
	} else {
		l.undoCarry(w)
	}
	return w.s, err
}

// putInPlace puts fresh ones, the last of which was written beside the log, into the
// place of old ones. After an error all is as it was.
func (l *Log) putInPlace(w *carrier, old, fresh segmentList) error {
	if err := l.replace(old, fresh); err != nil {
		l.undoCarry(w)
		return err
	}
	for _, s := range old {
		l.shared.files.forget(s)
	}
	if err := l.shared.fs.Rename(w.path, w.s.path); err != nil {
		l.bringBack(old, fresh)
		l.undoCarry(w)
		return err
	}
	return nil
}

// carriable finds the segments that are to be carried, and says whether they can be.
func (l *Log) carriable(numbers []seqset.Range) (segmentList, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()
	first := list.at(numbers[0].From)
	if first < 0 || first+len(numbers) > len(list) {
		return nil, errNotNow
	}
	old := list[first : first+len(numbers)]
	for i, s := range old {
		if s.numbers() != numbers[i] || !l.full(s) || s.syncing {
			return nil, errNotNow
		}
	}
	return old, nil
}

// undoCarry gives up a carry segment that is not part of the log.
func (l *Log) undoCarry(w *carrier) {
	l.shared.files.forget(w.s)
	if err := l.shared.fs.Remove(w.path); err != nil && !isNotExist(err) {
		l.o.Logger.Warn("carry segment not removed", "path", w.path, "error", err)
	}
	l.Release(w.held)
}

// replace puts segments into the log in the place of others, or where there are none.
func (l *Log) replace(old, fresh segmentList) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()
	first := list.at(fresh[0].base)
	if len(old) == 0 {
		first++ // behind those before it
	}
	if first < 0 || l.abandoned.Load() || first+len(old) > len(list) || !slices.Equal(list[first:first+len(old)], old) {
		return errNotNow
	}
	for _, s := range old {
		if s.syncing {
			return errNotNow
		}
	}
	l.setList(list.replace(first, len(old), fresh))
	l.sumUp()
	return nil
}

// bringBack undoes replace.
func (l *Log) bringBack(old, fresh segmentList) {
	for _, s := range old {
		l.shared.files.remember(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()
	if !list.has(fresh[0]) {
		return
	}
	l.setList(list.replace(list.at(fresh[0].base), len(fresh), old))
	l.clean = min(l.clean, fresh[0].base)
	l.sumUp()
}

// removeCarried removes what a carry segment stands for, once its name is durable.
func (l *Log) removeCarried(old segmentList, c *segment) {
	fs := l.shared.fs
	for _, s := range old {
		l.shared.chunks.forget(l, s.numbers())
		l.Release(s.records())
	}
	// The directory itself may be as new as the segments that were carried.
	if err := errors.Join(fs.SyncDir(l.o.Dir), fs.SyncDir(filepath.Dir(l.o.Dir))); err != nil {
		// The old files may be what a loss of power leaves: a later start sees to it.
		l.o.Logger.Warn("segments stay beside the one that stands for them", "path", c.path, "error", err)
		return
	}
	if err := fs.Remove(c.indexPath()); err != nil && !isNotExist(err) { // of the first old one
		l.o.Logger.Warn("segment index not removed", "path", c.indexPath(), "error", err)
	}
	l.writeIndexOf(c)
	for _, s := range old {
		if s.base == c.base {
			continue // it has its name
		}
		l.removeFiles(s, false) // the disk may be full, and who was reading it has it open
	}
}

// InUse says that a Carry was refused because of what goes on now, and may be
// tried again.
func InUse(err error) bool { return errors.Is(err, errNotNow) }
