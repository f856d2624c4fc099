package broker

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"qmq/internal/names"
	"qmq/state"
)

// knownDirs are the names of the directories of the topics that the journal
// knows.
func knownDirs(st *state.State) map[string]bool {
	known := make(map[string]bool, len(st.Topics))
	for _, ts := range st.Topics {
		known[names.Dir(ts.Name, ts.Incarnation)] = true
	}
	return known
}

// unknownText is what is told of UnknownDirectory.
const unknownText = "The directory of a topic that the journal does not know is kept and not served."

// sweep removes what deletions left and reports what is not known.
func (b *Broker) sweep(st *state.State, dirs []topicDir) error {
	known := knownDirs(st)
	var left, doomed []string
	for _, d := range dirs {
		path := filepath.Join(b.topicsDir(), d.base)
		switch {
		case known[d.base]:
		case d.deleted:
			doomed = append(doomed, path)
		case st.Deleted[d.incarnation]:
			left = append(left, d.base)
		default:
			// Its incarnation must not be given out again.
			b.last.Store(max(b.last.Load(), d.incarnation))
			was := b.report(Finding{
				ID: unknownID(d.base), Kind: UnknownDirectory, Topic: d.name, Path: path,
				Text: unknownText,
			})
			b.o.Logger.Log(b.ctx, levelOf(was, slog.LevelWarn), "directory of an unknown topic is kept and not served", "path", path)
		}
	}
	for _, base := range left { // before a checkpoint forgets that they were deleted
		path, to := filepath.Join(b.topicsDir(), base), filepath.Join(b.topicsDir(), names.DeletedPrefix+base)
		if err := b.disk.FS().Rename(path, to); err != nil {
			to = path
		}
		doomed = append(doomed, to)
	}
	if len(left) > 0 {
		if err := b.disk.FS().SyncDir(b.topicsDir()); err != nil {
			return err
		}
	}
	b.removeDeleted(doomed)
	return nil
}

// removeDeleted removes in the background what deletions left, once their entries
// are on the disk: a topic may not come back without its messages. What it does
// not come to is left to the next start.
func (b *Broker) removeDeleted(paths []string) {
	if len(paths) == 0 {
		return
	}
	b.background.Go(func() {
		if err := b.journal.Durable(); err != nil {
			b.o.Logger.Error("logs of deleted topics are kept for now", "error", err)
			return
		}
		for _, path := range paths {
			if b.ctx.Err() != nil {
				return
			}
			if err := b.disk.FS().RemoveAll(path); err != nil {
				b.o.Logger.Error("log of deleted topic not removed", "path", path, "error", err)
			}
		}
	})
}

func unknownID(base string) string { return fmt.Sprintf("%s/%s", UnknownDirectory, base) }

// serves says whether there is a topic of an incarnation.
func (b *Broker) serves(incarnation uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.topics {
		if s.incarnation == incarnation {
			return true
		}
	}
	return false
}

// finishDeletions ends the topics whose directory says that they were deleted:
// it is renamed only when the journal has their end, which may have been lost
// with the power.
func (b *Broker) finishDeletions(st *state.State, dirs []topicDir) error {
	var ends []state.Entry
	for _, ts := range deletedByDirectory(st, dirs) {
		b.o.Logger.Warn("topic was deleted just before the last stop", "topic", ts.Name)
		e := state.Entry{Op: state.DeleteTopic, Topic: ts.Incarnation}
		st.Apply(e)
		ends = append(ends, e)
	}
	return b.journal.Commit(ends...)
}

// deletedByDirectory are the topics of which only the directory says that they
// were deleted.
func deletedByDirectory(st *state.State, dirs []topicDir) (list []*state.Topic) {
	there := make(map[uint64]bool)
	for _, d := range dirs {
		there[d.incarnation] = there[d.incarnation] || !d.deleted
	}
	for n, ts := range st.Topics {
		if is, ok := there[n]; ok && !is {
			list = append(list, ts)
		}
	}
	return list
}

// forgetAcknowledgements tells the journal which ones are not needed any more:
// damage.json does not have their findings, and nothing finds them again.
func (b *Broker) forgetAcknowledgements(st *state.State) {
	if !b.damages.flush() {
		return
	}
	known := make(map[string]bool, len(st.Topics))
	for n := range st.Topics {
		known[fmt.Sprintf("%016x", n)] = true
	}
	var entries []state.Entry
	for _, id := range b.damage.forgetUnneeded(func(n string) bool { return known[n] }) {
		entries = append(entries, state.Entry{Op: state.ForgetDamage, Name: id})
	}
	if err := b.journal.Commit(entries...); err != nil {
		b.o.Logger.Warn("acknowledgements of damage that is gone are kept", "error", err)
	}
}
