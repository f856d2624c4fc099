package machine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/state"
)

// Rest is a shard at rest, as its newest good checkpoint has it, to be looked at: nothing
// on the disk is changed. Entries can be applied to it, which moves what is known of the
// topics and leaves their logs alone. It belongs to one goroutine.
type Rest struct {
	// Damaged are the checkpoints that cannot be used, newest first.
	Damaged []DamagedCheckpoint
	// None says that there are checkpoints, and that none can be used.
	None bool

	m     *Machine
	saved []savedTopic
	most  uint64 // highest incarnation in the checkpoint
}

// DamagedCheckpoint is a checkpoint that cannot be used.
type DamagedCheckpoint struct {
	Path string
	Err  error
}

// savedTopic is a topic as a checkpoint has it: up to next its log is synced. What is
// above is applied again by a start.
type savedTopic struct {
	name              string
	incarnation, next uint64
}

// OpenAtRest reads the newest good checkpoint of a shard below a data directory that no
// process uses. Without any the state is that of index 0. The error is one of the file
// system, or that a newer version wrote it.
func OpenAtRest(fsys vfs.FS, dir string, shard uint32) (*Rest, error) {
	m := &Machine{
		o: Options{Shard: shard, Dir: dir}, fs: vfs.ReadOnly(fsys), s: newShard(), atRest: true, logs: make(map[uint64]*topicLog),
	}
	r := &Rest{m: m}
	entries, err := m.fs.ReadDir(m.checkpointDir())
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	var indexes []uint64
	for _, e := range entries {
		if index, ok := parseCheckpoint(e.Name()); ok {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	for _, index := range slices.Backward(indexes) {
		s, err := m.readCheckpoint(index)
		if err == nil {
			m.s = s
			break
		}
		if !errors.Is(err, errFrame) {
			return nil, err
		}
		r.Damaged = append(r.Damaged, DamagedCheckpoint{m.checkpointPath(index), err})
	}
	r.None = len(indexes) > 0 && len(r.Damaged) == len(indexes)
	for id, t := range m.s.topics {
		r.saved = append(r.saved, savedTopic{t.st.Name, id, t.next})
		m.logs[id] = newTopicLog(t.st)
	}
	r.most = m.s.st.MaxIncarnation
	slices.SortFunc(r.saved, func(a, b savedTopic) int { return strings.Compare(a.name, b.name) })
	return r, nil
}

// Raft is what entries are applied to that the checkpoint does not have.
func (r *Rest) Raft() Raft { return Raft{r.m} }

// CheckedLog is a topic and its log.
type CheckedLog struct {
	Name        string
	Incarnation uint64
	Dir         string
	Channels    []string // by name
	diskqueue.Checked
	// Missing are messages that are wanted and that nothing was found of.
	Missing []seqset.Range
	wanted  []seqset.Range
}

// Wanted is how many messages of a range are owed by a channel, or retained.
func (c *CheckedLog) Wanted(r seqset.Range) (n uint64) {
	for _, w := range c.wanted {
		n += w.Overlap(r).Len()
	}
	return n
}

// Check reads the logs of the topics that there are in the checkpoint and still, by name,
// up to where that has them, and calls found with each. What is missing is told by what
// was applied meanwhile: without the entries behind the checkpoint too much would seem
// so. The error is one of the file system.
func (r *Rest) Check(found func(*CheckedLog)) error {
	for _, saved := range r.saved {
		t := r.m.s.topics[saved.incarnation]
		if t == nil {
			continue // its deletion is on its way
		}
		c := &CheckedLog{Name: saved.name, Incarnation: saved.incarnation, Channels: channelNames(t.st)}
		c.Dir = filepath.Join(r.m.topicsDir(), names.Dir(saved.name, saved.incarnation))
		var err error
		c.Checked, err = diskqueue.Check(r.m.fs, diskqueue.CheckOptions{Dir: c.Dir, Incarnation: saved.incarnation, End: saved.next})
		if err != nil {
			return fmt.Errorf("shard %d: %w", r.m.o.Shard, err)
		}
		c.wanted = wanted(t.st, seqset.Range{From: t.st.Kept(), To: saved.next})
		there := slices.Clone(c.Good)
		for _, f := range c.Findings {
			if f.Kind == diskqueue.Damaged || f.Kind == diskqueue.Missing || f.Kind == diskqueue.Unreadable {
				there = append(there, f.Range)
			}
		}
		c.Missing = seqset.Difference(c.wanted, seqset.Union(there))
		found(c)
	}
	return nil
}

func channelNames(t *state.Topic) []string {
	list := make([]string, 0, len(t.Channels))
	for _, c := range t.Channels {
		list = append(list, c.Name)
	}
	slices.Sort(list)
	return list
}

// wanted are the messages of a range that somebody may want: a channel is owed them, or
// they are retained.
func wanted(t *state.Topic, r seqset.Range) []seqset.Range {
	list := t.Owed(nil, r, maxOwed)
	if from := max(t.Retained, r.From); t.Retained != 0 && from < r.To {
		list = append(list, seqset.Range{From: from, To: r.To})
	}
	return seqset.Difference(seqset.Union(list), t.Voids)
}

// Unknown are the directories that are no topic's and that no deletion left. Those of
// incarnations that the checkpoint does not know yet may be of entries behind it.
func (r *Rest) Unknown() (paths []string, err error) {
	entries, err := r.m.fs.ReadDir(r.m.topicsDir())
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	known := make(map[string]bool)
	for _, saved := range r.saved {
		known[names.Dir(saved.name, saved.incarnation)] = true
	}
	for _, e := range entries {
		name := e.Name()
		_, incarnation, ok := names.ParseDir(name)
		if !strings.HasPrefix(name, names.DeletedPrefix) && !known[name] && (!ok || incarnation <= r.most) {
			paths = append(paths, filepath.Join(r.m.topicsDir(), name))
		}
	}
	return paths, nil
}

// Applied is the index of the last entry that is applied.
func (r *Rest) Applied() (index, term uint64) { return r.m.Applied() }
