package broker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/journal"
	"qmq/state"
)

// Where the journal was found damaged, topics and channels may be missing from
// what it says although they were there. They are made again from metadata.json
// and from the directories of the logs. A deletion that can be read wins, be it
// in the journal or in a directory's name, and so does the younger one of two
// topics or channels of a name: the older one must have been deleted before.
// With a journal that is whole nothing of this happens, but that topics come back
// whose creation was lost with the power although their directory was not: no
// damage, but what a publisher was OK'd is served where it is there.

// errNotJournalled means that the journal does not take what must be known
// before a topic is served.
var errNotJournalled = errors.New("what was reconstructed cannot be journalled")

// evidence is what a data directory tells beside its journal.
type evidence struct {
	dirs     []topicDir
	metadata metadataFile
	missing  error                // why there is no metadata
	knows    func(id string) bool // whether a finding is an old one
	boot     string               // of the machine now; empty: unknown
}

// reconstruct adds to the state what the journal has lost. It returns nil where
// there is no reason to look for anything.
func (e *evidence) reconstruct(found *journal.Found) *reconstruction {
	lost := found.Empty && slices.ContainsFunc(e.dirs, func(d topicDir) bool { return d.incarnation != 0 })
	damaged := found.Incomplete || lost
	rebooted := !found.SameBoot && e.boot != ""
	if !damaged && !rebooted {
		return nil
	}
	r := newReconstruction(found, e.dirs)
	r.damaged = damaged
	dirs := slices.Clone(e.dirs)
	switch {
	case !damaged:
		dirs = slices.DeleteFunc(dirs, func(d topicDir) bool { return e.knows(unknownID(d.base)) })
	case e.missing == nil && e.metadata.Journal >= found.Checkpoint:
		r.younger = e.metadata.outlives(found)
		r.dropDeleted(e.metadata, dirs)
		r.fromMetadata(e.metadata)
	}
	r.fromDirectories(dirs)
	return r
}

// reconstruct adds to the state what the journal has lost, tells of it, and has
// the journal know.
func (b *Broker) reconstruct(found *journal.Found, e *evidence) error {
	r := e.reconstruct(found)
	if r == nil {
		return nil
	}
	b.reconstructed = r.made
	for _, n := range r.seen {
		b.last.Store(max(b.last.Load(), n))
	}
	if r.damaged && e.missing != nil {
		b.o.Logger.Warn("nothing can be reconstructed from metadata.json", "path", filepath.Join(b.o.DataPath, metadataName), "error", e.missing)
	}
	if r.damaged {
		b.reportReconstructed(found.State)
		b.reportDoubted(found.State, r.doubted)
	} else {
		b.logRevived(found.State)
	}
	if err := b.journal.Commit(r.ends...); err != nil {
		return fmt.Errorf("%w: %w", errNotJournalled, err)
	}
	return nil
}

// logRevived logs which topics come back whose creation was lost with the power.
func (b *Broker) logRevived(st *state.State) {
	for n := range b.reconstructed {
		b.o.Logger.Warn("topic was made just before the machine ended, and begins with the oldest message that is there",
			"topic", st.Topics[n].Name)
	}
}

// readMetadata reads what an earlier process wrote to metadata.json.
func (d dataDir) readMetadata() (m metadataFile, err error) {
	text, err := vfs.ReadFile(d.fs, filepath.Join(d.path, metadataName), maxFile)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// tellsMore says that the journal was told of more than it says, although it
// seems whole: its end is missing. A log is on the disk before the file names it;
// a topic or channel is in the log before the file names it, and on the disk if
// the file says so: only with the power can be lost what was not.
func (m *metadataFile) tellsMore(found *journal.Found) bool {
	switch {
	case m.Journal < found.Checkpoint:
		return false // the file is old, and what it names may be deleted and forgotten
	case m.Journal > found.LastLog:
		return true
	case m.Synced:
	case !found.SameBoot || found.BootLog == 0 || m.Journal < found.BootLog:
		return false
	}
	if log, there := found.Logs[m.Journal]; there && log.End < m.JournalEnd {
		return true
	}
	lost := func(n hexNumber, deleted map[uint64]bool) bool {
		return uint64(n) > found.CheckpointIncarnation && !deleted[uint64(n)]
	}
	for _, mt := range m.Topics {
		ts := found.State.Topics[uint64(mt.Incarnation)]
		if ts == nil {
			if lost(mt.Incarnation, found.State.Deleted) {
				return true
			}
			continue
		}
		for _, c := range mt.Channels {
			if ts.Channels[uint64(c.Incarnation)] == nil && lost(c.Incarnation, found.State.DeletedChannels) {
				return true
			}
		}
	}
	return false
}

// reconstruction is what is known while topics and channels are made again.
type reconstruction struct {
	st    *state.State
	since uint64            // the highest incarnation that the checkpoint knew
	names map[string]uint64 // of the topics
	ended map[uint64]bool   // incarnations whose deletion can be read
	made  map[uint64]bool   // those of what is made again
	seen  []uint64          // those that must not be given out again
	// damaged says that the journal is; else the power was lost with what it had
	// not on the disk.
	damaged bool
	younger bool // metadata.json is than what is left of the journal
	// doubted are the incarnations of topics and channels that are served although
	// a younger metadata.json has them not.
	doubted map[uint64]bool
	ends    []state.Entry // deletions and pauses that the journal lost
}

func newReconstruction(found *journal.Found, dirs []topicDir) *reconstruction {
	st := found.State
	r := &reconstruction{st: st, since: found.CheckpointIncarnation, names: make(map[string]uint64), ended: make(map[uint64]bool), made: make(map[uint64]bool), doubted: make(map[uint64]bool)}
	for n, ts := range st.Topics {
		r.names[ts.Name] = n
	}
	maps.Copy(r.ended, st.Deleted)
	maps.Copy(r.ended, st.DeletedChannels)
	for _, d := range dirs {
		if d.deleted {
			r.ended[d.incarnation] = true
		}
	}
	return r
}

// dropDeleted forgets the topics that the journal had before metadata.json was
// written, which has them not, and of which there is no file: the journal lost
// their end. Those of which there are files may have been deleted too; nobody
// knows.
func (r *reconstruction) dropDeleted(m metadataFile, dirs []topicDir) {
	there := make(map[uint64]bool)
	for _, mt := range m.Topics {
		there[uint64(mt.Incarnation)] = true
	}
	for n := range r.st.Topics {
		if r.younger && !there[n] {
			r.doubted[n] = true
		}
	}
	for _, d := range dirs {
		there[d.incarnation] = true
	}
	for n, ts := range r.st.Topics {
		if (n <= r.since || r.younger) && !there[n] {
			delete(r.st.Topics, n)
			delete(r.names, ts.Name)
			r.ended[n] = true
			r.ends = append(r.ends, state.Entry{Op: state.DeleteTopic, Topic: n})
		}
	}
}

func (r *reconstruction) fromMetadata(m metadataFile) {
	for _, mt := range m.Topics {
		ts := r.topic(mt.Name, uint64(mt.Incarnation))
		if ts == nil {
			continue
		}
		if r.made[ts.Incarnation] {
			ts.Paused, ts.Settings = mt.Paused, mt.Settings
		}
		if r.younger {
			r.correct(ts, mt)
		}
		for _, c := range mt.Channels {
			r.channel(ts, c)
		}
	}
}

// fromDirectories makes those topics again of which nothing but the directory
// tells: the youngest of each name. Which channels they had nobody knows.
func (r *reconstruction) fromDirectories(dirs []topicDir) {
	dirs = slices.Clone(dirs)
	slices.SortFunc(dirs, func(a, b topicDir) int { return cmp.Compare(b.incarnation, a.incarnation) })
	for _, d := range dirs {
		if _, taken := r.names[d.name]; taken || d.incarnation <= r.since {
			continue // the checkpoint would have told of it, had it not been deleted
		}
		if ts := r.topic(d.name, d.incarnation); ts != nil && r.made[d.incarnation] {
			ts.Unlearnt = true
		}
	}
}

// topic is that of an incarnation, made again if need be; nil when it was
// deleted.
func (r *reconstruction) topic(name string, incarnation uint64) *state.Topic {
	if incarnation == 0 || name == "" || r.ended[incarnation] {
		return nil
	}
	r.seen = append(r.seen, incarnation)
	if ts := r.st.Topics[incarnation]; ts != nil {
		return ts
	}
	if other, taken := r.names[name]; taken {
		if other > incarnation {
			return nil
		}
		delete(r.st.Topics, other)
	}
	ts := &state.Topic{Incarnation: incarnation, Name: name, Channels: make(map[uint64]*state.Channel)}
	r.made[incarnation] = true
	r.st.Topics[incarnation] = ts
	r.names[name] = incarnation
	return ts
}

// channel makes a channel again unless it is there or was deleted.
func (r *reconstruction) channel(ts *state.Topic, c metadataChannel) {
	n := uint64(c.Incarnation)
	r.seen = append(r.seen, n)
	if n == 0 || c.Name == "" || r.ended[n] || ts.Channels[n] != nil {
		return
	}
	for other, there := range ts.Channels {
		switch {
		case there.Name != c.Name:
		case other > n:
			return
		default:
			delete(ts.Channels, other)
		}
	}
	r.made[n] = true
	ts.Channels[n] = &state.Channel{
		Incarnation: n, Name: c.Name, Paused: c.Paused, Settings: c.Settings, Acked: seqset.New(0),
	}
}

// journalReconstructed lets what was reconstructed of a topic begin at the
// oldest message that is there, and makes the journal know it.
func (b *Broker) journalReconstructed(ts *state.Topic, start uint64) error {
	var entries []state.Entry
	if b.reconstructed[ts.Incarnation] {
		ts.FanOut = start
		entries = append(entries, state.Entry{
			Op: state.CreateTopic, Topic: ts.Incarnation, Name: ts.Name, FanOut: start, Unlearnt: ts.Unlearnt,
		})
		if ts.Paused {
			entries = append(entries, state.Entry{Op: state.PauseTopic, Topic: ts.Incarnation, FanOut: start})
		}
		if ts.Settings != "" {
			entries = append(entries, state.Entry{Op: state.ConfigureTopic, Topic: ts.Incarnation, Name: ts.Settings})
		}
	}
	for _, c := range ts.Channels {
		if !b.reconstructed[c.Incarnation] {
			continue
		}
		c.Start, c.Cursor, c.Acked = start, start, seqset.New(start)
		entries = append(entries, state.Entry{
			Op: state.CreateChannel, Topic: ts.Incarnation, Channel: c.Incarnation, Name: c.Name, Start: start,
		})
		if c.Settings != "" {
			entries = append(entries, state.Entry{Op: state.ConfigureChannel, Topic: ts.Incarnation, Channel: c.Incarnation, Name: c.Settings})
		}
		if c.Paused {
			entries = append(entries, state.Entry{Op: state.PauseChannel, Topic: ts.Incarnation, Channel: c.Incarnation})
		}
	}
	if err := b.journal.Commit(entries...); err != nil {
		return fmt.Errorf("topic %s: %w: %w", ts.Name, errNotJournalled, err)
	}
	return nil
}

// reportReconstructed reports what was made again, for good before the journal
// is told of it: no later start would notice.
func (b *Broker) reportReconstructed(st *state.State) {
	for _, ts := range st.Topics {
		dir := b.logDir(ts.Name, ts.Incarnation)
		if b.reconstructed[ts.Incarnation] {
			b.o.Logger.Error("topic was lost by the journal and is reconstructed", "topic", ts.Name, "path", dir)
			b.report(Finding{ID: findingID(Reconstructed, ts.Incarnation), Kind: Reconstructed, Topic: ts.Name, Path: dir, Text: reconstructedText(ts)})
		}
		for _, c := range ts.Channels {
			if !b.reconstructed[c.Incarnation] {
				continue
			}
			b.o.Logger.Error("channel was lost by the journal and is reconstructed", "topic", ts.Name, "channel", c.Name)
			b.report(Finding{
				ID:   findingID(Reconstructed, ts.Incarnation, fmt.Sprintf("%016x", c.Incarnation)),
				Kind: Reconstructed, Topic: ts.Name, Channel: c.Name, Path: dir,
				Text: reconstructedChannel,
			})
		}
	}
	b.damages.flush()
}

// reconstructedChannel is what is told of a channel that is made again.
const reconstructedChannel = "The journal had lost the channel; it begins with the oldest message that is there."

// reconstructedText is what is told of a topic that is made again.
func reconstructedText(ts *state.Topic) string {
	text := "The journal had lost the topic; it begins with the oldest message that is there."
	if len(ts.Channels) == 0 {
		text += " No channel of it is known: the next one gets everything."
	}
	return text
}
