// Package machine is what the committed entries of a shard's raft log are applied
// to: the logs of its topics, and the passive state of their channels, which is
// what a node knows that has replayed its journal but not started. The same
// entries lead to the same state on every replica: applying reads no clock, no
// option and nothing of the disk. It knows nothing of raft but indexes and terms.
//
// One goroutine applies. Checkpoints, snapshots, views and reclamation go on
// beside it. It starts goroutines only to remove files and to sync what a snapshot brings,
// and waits for them in Close.
package machine

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/vfs"
	"qmq/replica/entry"
	"qmq/state"
)

// Options configure a Machine.
type Options struct {
	Shard uint32
	// Dir is the node's data directory: raft/<shard> and replicated/<shard> below it
	// are the machine's.
	Dir    string
	Shared *diskqueue.Shared
	// SegmentBytes and HotMessages are those of diskqueue.Options, the latter of
	// topics that are served.
	SegmentBytes int64
	HotMessages  int
	// StartOver has a machine whose checkpoints are all damaged begin with nothing:
	// it has to be installed from another replica.
	StartOver bool
	Now       func() int64 // wall clock, ns since 1970: what segments say of their age
	// Go runs what waits for the disk and nobody waits for; nil: in a goroutine.
	Go func(func())
	// Found is called with what opening or reading a log finds amiss; it must not
	// call the machine. Nil: nobody wants to know.
	Found  func(Finding)
	Logger *slog.Logger
}

// Finding is what is amiss with the log of a topic.
type Finding struct {
	Topic       string
	Incarnation uint64
	diskqueue.Finding
}

// ErrNoTopic means that there is no topic of that incarnation.
var ErrNoTopic = errors.New("no such topic")

// Machine is the state of one shard on one node. Methods say who may call them;
// where they do not, any goroutine may.
type Machine struct {
	o  Options
	fs vfs.FS
	// atRest says that logs are not touched, see Rest. It never changes.
	atRest bool

	// applying is held while an entry is applied, and while the state gives way to
	// another. It guards raw, and is taken before the others.
	applying sync.Mutex
	raw      rawEntry

	// mu guards what follows. s and logs change with applying held too, so whoever
	// holds that reads them without mu. It is held across no I/O, and before a
	// topicLog's.
	mu         sync.Mutex
	s          *shard
	logs       map[uint64]*topicLog // by incarnation, of all topics of s
	doomed     []*topicLog          // of topics that are deleted, to be renamed
	installing bool                 // a snapshot: nothing is applied, and s stays as it is
	left       *leftover            // of snapshots that broke off, for the next one; changes with checkpointing or applying held too
	unsure     bool                 // nothing is applied any more

	// checkpointing is held by whoever writes a checkpoint, or cuts logs: one at a
	// time.
	checkpointing sync.Mutex
	kept          []uint64        // indexes of the checkpoints that are there, ascending
	asked         uint64          // the newest of them when one was asked for with nothing new
	readBack      uint64          // the newest of them when that was found good
	saved         int             // checkpoints since Open
	missed        map[string]bool // what was told to be missing

	// sweeping is held while directories of deleted topics get their other name, and
	// guards told.
	sweeping sync.Mutex
	told     map[string]bool // directories that are unknown and were told

	// reclaiming is held while segments are taken out of logs: one at a time.
	reclaiming sync.Mutex
	// mending says that a segment is being mended, which takes as long as writing it does:
	// who applies entries does not wait for that, and leaves segments for later.
	mending atomic.Bool

	background sync.WaitGroup
}

// Open opens a shard as its newest good checkpoint has it: the logs are cut to
// where they ended then, and what was applied later has to be again. Without any
// checkpoint it begins at index 0, with nothing. ErrNoCheckpoint says that there
// are some, and that none can be used.
func Open(o Options) (*Machine, error) {
	m := &Machine{o: o, fs: o.Shared.FS(), logs: make(map[uint64]*topicLog), told: make(map[string]bool), missed: make(map[string]bool)}
	if err := m.makeDirs(); err != nil {
		return nil, err
	}
	var err error
	if m.s, err = m.loadCheckpoint(); err != nil {
		return nil, err
	}
	for id, t := range m.s.topics {
		m.logs[id] = newTopicLog(t.st)
	}
	for id, t := range m.s.topics {
		if _, err := m.logs[id].open(m, t.next); err != nil {
			m.discardLogs()
			return nil, err
		}
	}
	if err := m.removeLeft(); err != nil {
		m.discardLogs()
		return nil, err
	}
	return m, nil
}

// makeDirs makes the machine's directories, for good.
func (m *Machine) makeDirs() error {
	for _, dir := range []string{m.checkpointDir(), m.topicsDir()} {
		if err := m.fs.MkdirAll(dir); err != nil {
			return err
		}
		for _, parent := range []string{filepath.Dir(dir), m.o.Dir} {
			if err := m.fs.SyncDir(parent); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Machine) checkpointDir() string {
	return filepath.Join(m.o.Dir, "raft", strconv.FormatUint(uint64(m.o.Shard), 10))
}

func (m *Machine) topicsDir() string {
	return filepath.Join(m.o.Dir, "replicated", strconv.FormatUint(uint64(m.o.Shard), 10))
}

// Applied is the index and the term of the last entry that was applied.
func (m *Machine) Applied() (index, term uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.index, m.s.term
}

// Members is what SetMembers had last; nil before.
func (m *Machine) Members() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.members
}

// Level is the shard's feature level: entries of later versions may be proposed
// up to it.
func (m *Machine) Level() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.level
}

// Time is how far the shard's clock has come, ns, as entry.Entry has it; 0: it has not begun.
func (m *Machine) Time() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.time
}

// MaxIncarnation is the highest incarnation that a topic or channel of the shard
// ever had.
func (m *Machine) MaxIncarnation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.st.MaxIncarnation
}

// Incarnation is that of the topic of a name.
func (m *Machine) Incarnation(name string) (incarnation uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	incarnation, ok = m.s.names[name]
	return incarnation, ok
}

// HasChannel tells whether the topic of a name has the channel of an incarnation.
func (m *Machine) HasChannel(name string, channel uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[m.s.names[name]]
	return t != nil && t.st.Channels[channel] != nil
}

// Topics are the incarnations of the topics that there are, by name.
func (m *Machine) Topics() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]uint64, len(m.s.names))
	for name, id := range m.s.names {
		all[name] = id
	}
	return all
}

// Settings is what was set of a topic, see state.Topic.Settings; "" also where there is
// none.
func (m *Machine) Settings(topic uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.s.topics[topic]; t != nil {
		return t.st.Settings
	}
	return ""
}

// Named is the name of a topic, and its Settings.
func (m *Machine) Named(topic uint64) (name, settings string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.s.topics[topic]
	if t == nil {
		return "", "", false
	}
	return t.st.Name, t.st.Settings, true
}

// Row is the epoch of a member and the number of its last batch in it that was
// applied to a topic; zeros without any.
func (m *Machine) Row(topic, member uint64) (epoch, last uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.s.topics[topic]; t != nil {
		r := t.row(member)
		return r.Epoch, r.Last
	}
	return 0, 0
}

// run does something in the background.
func (m *Machine) run(f func()) {
	if m.o.Go != nil {
		m.o.Go(f)
		return
	}
	m.background.Go(f)
}

// Close waits for what goes on in the background, syncs the logs and closes them.
// Nothing may be under way, and no view be held. A Checkpoint before saves the
// next start the reading of what was applied since the last one.
func (m *Machine) Close() error {
	m.dropLeft()
	m.background.Wait()
	var errs []error
	for _, tl := range m.logs {
		if tl.log != nil {
			errs = append(errs, tl.log.Close())
		}
	}
	return errors.Join(errs...)
}

// discardLogs closes the logs of a machine that could not be opened.
func (m *Machine) discardLogs() {
	for _, tl := range m.logs {
		tl.discard()
	}
}

// Status is what became of a part.
type Status uint8

// The ways of a part. All but Applied leave no trace.
const (
	Applied   Status = iota + 1
	Duplicate        // it, or a later one of its member, was applied before
	Gap              // one before it was not applied, or its member is none, or none yet
	OldEpoch         // its member has begun a newer epoch
	NoTopic          // there is no topic of that incarnation
)

// Outcome is what became of an entry.
type Outcome struct {
	Index, Term uint64
	Time        int64 // see Machine.Time; 0: the entry does not say it
	// Repeated says that the entry was applied before, and nothing was done.
	Repeated bool
	Parts    []PartOutcome     // of all parts, in their order
	Topology []TopologyOutcome // of all entries, in their order; none if StaleTerm
	// StaleTerm says that changes, topology and action did not count: they were made
	// in another term than the entry got its place in.
	StaleTerm bool
	// Jumped says that numbers were passed over in all topics.
	Jumped bool
}

// PartOutcome is what became of a part.
type PartOutcome struct {
	Topic  uint64 // incarnation
	Origin entry.Origin
	Status Status
	Added  diskqueue.Appended // of one that was applied
	Bytes  uint64             // the sizes of its bodies
	// Doubles are the indexes of its messages that were left out.
	Doubles []int
}

// Result is what became of an entry of the topology.
type Result uint8

// The ways of an entry of the topology. All but Done leave no trace.
const (
	Done    Result = iota + 1
	Exists         // the name is taken: Entry has the incarnation of who has it
	Gone           // there is no topic, or channel, of that incarnation
	Refused        // the name or the incarnation cannot be used, or the operation is not for shards
)

// TopologyOutcome is what became of an entry of the topology.
type TopologyOutcome struct {
	// Entry is the entry as it was applied: with what it left to be filled in.
	Entry  state.Entry
	Result Result
	// Gone is what a channel that was made or rewound does not get, as replicas may have
	// given it up.
	Gone []seqset.Range
}
