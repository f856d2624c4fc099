package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/journal"
	"qmq/topic"
)

const (
	ephemeralSuffix = "#ephemeral"
	deletedPrefix   = ".deleted-"
)

// restore brings back the topics that the journal knows.
func (b *Broker) restore(state *journal.State) error {
	b.last.Store(state.MaxIncarnation)
	b.journalLost = state.LostBytes
	dirs := make(map[string]bool, len(state.Topics))
	for _, ts := range state.Topics {
		o := b.topicOptions(ts.Name, ts.Incarnation, false)
		dirs[filepath.Base(b.logDir(ts.Name, ts.Incarnation))] = true
		var err error
		if o.Log, err = b.openLog(o, knownOf(ts, state.SameBoot)); err != nil {
			return err
		}
		s := &slot{topic: topic.Restore(o, ts)}
		b.topics[ts.Name] = s
		b.came(s.topic, "")
		for _, c := range s.topic.Channels() {
			b.came(s.topic, c.Name())
		}
		if ts.Unlearnt && b.o.Directory != nil {
			b.learnLater(s.topic, errNotLearnt)
		}
	}
	b.journalSkipped()
	return b.sweep(dirs, state.Deleted)
}

// highest is the highest sequence number that the journal mentions of a topic.
func highest(ts *journal.TopicState) uint64 {
	top := ts.FanOut
	for _, v := range ts.Voids {
		top = max(top, v.To)
	}
	for _, c := range ts.Channels {
		top = max(top, c.Start, c.Cursor, c.Acked.Max())
		for seq := range c.Open {
			top = max(top, seq)
		}
	}
	return top
}

// sweep removes what deletions left and reports what is not known.
func (b *Broker) sweep(known map[string]bool, deleted []uint64) error {
	entries, err := b.o.FS.ReadDir(b.topicsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // on a full disk
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(b.topicsDir(), e.Name())
		switch {
		case known[e.Name()]:
		case strings.HasPrefix(e.Name(), deletedPrefix) || slices.Contains(deleted, incarnationOf(e.Name())):
			if err := b.o.FS.RemoveAll(path); err != nil {
				return err
			}
		default:
			b.o.Logger.Warn("directory of an unknown topic is kept and not served", "path", path)
			// Its incarnation must not be given out again.
			b.last.Store(max(b.last.Load(), incarnationOf(e.Name())))
		}
	}
	return nil
}

// incarnationOf reads the incarnation from the name of a log's directory; it
// is 0 for another name.
func incarnationOf(name string) uint64 {
	n, err := strconv.ParseUint(name[strings.LastIndexByte(name, '-')+1:], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// logDir is the directory of a topic's log. Names may hold dots and differ by
// case only: all but lowercase letters, digits, '_' and '-' are escaped, so
// that neither can hurt on any file system.
func (b *Broker) logDir(name string, incarnation uint64) string {
	var sb strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			sb.WriteByte(c)
		} else {
			fmt.Fprintf(&sb, "%%%02x", c)
		}
	}
	fmt.Fprintf(&sb, "-%016x", incarnation)
	return filepath.Join(b.topicsDir(), sb.String())
}

// known is what the journal knows of a topic's log.
type known struct {
	next     uint64 // a lower bound of the next number
	ends     bool   // see diskqueue.Options, as what follows
	start    uint64
	end      uint64
	givenUp  []seqset.Range
	sameBoot bool
}

func knownOf(ts *journal.TopicState, sameBoot bool) known {
	// What was only written is forgotten by the journal when the machine was down.
	end := max(ts.SyncedEnd, ts.WrittenEnd)
	return known{
		next: highest(ts) + 1,
		ends: ts.Start > 0 || end > 0, start: ts.Start, end: end, givenUp: ts.GivenUp, sameBoot: sameBoot,
	}
}

// memorySegmentBytes is the size of a full segment in memory: what everybody has
// finished is given back by the segment.
const memorySegmentBytes = 256 << 10

// openLog opens the log of a topic.
func (b *Broker) openLog(o topic.Options, k known) (*diskqueue.Log, error) {
	shared, segmentBytes := b.disk, b.o.SegmentBytes
	if o.Ephemeral {
		shared, segmentBytes = b.memory, min(segmentBytes, memorySegmentBytes)
	}
	log, rec, err := diskqueue.Open(shared, diskqueue.Options{
		Dir:          b.logDir(o.Name, o.Incarnation),
		Incarnation:  o.Incarnation,
		SegmentBytes: segmentBytes,
		HotMessages:  b.o.MemQueueSize,
		Next:         k.next,
		Known:        k.ends,
		Start:        k.start,
		KnownEnd:     k.end,
		GivenUp:      k.givenUp,
		SameBoot:     k.sameBoot,
		Now:          b.clock.Wall,
		Logger:       b.o.Logger,
	})
	b.damaged.Add(rec.Lost())
	for _, r := range rec.Skipped {
		b.skipped = append(b.skipped, journal.Entry{Op: journal.GiveUp, Topic: o.Incarnation, Void: r})
	}
	return log, err
}

// journalSkipped has the journal know which numbers the logs just opened hold no
// record of, and never will: later starts are not to miss them.
func (b *Broker) journalSkipped() {
	if len(b.skipped) == 0 {
		return
	}
	if err := b.journal.Commit(b.skipped...); err != nil {
		b.o.Logger.Warn("numbers that this start skips may be called damage by a later one", "error", err)
	}
	b.skipped = nil
}

func (b *Broker) topicOptions(name string, incarnation uint64, ephemeral bool) topic.Options {
	return topic.Options{Name: name, Incarnation: incarnation, Ephemeral: ephemeral, Common: b.common}
}

// commonOptions are what all topics have in common.
func (b *Broker) commonOptions() *topic.Common {
	return &topic.Common{
		Common: &channel.Common{
			NodeID:        b.o.NodeID,
			Clock:         b.clock,
			Deadlines:     b.deadlines,
			MaxMsgTimeout: b.o.MaxMsgTimeout,
			MaxReqTimeout: b.o.MaxReqTimeout,
			MaxConsumers:  b.o.MaxChannelConsumers,
			LatencyWindow: b.o.LatencyWindow,
		},
		Journal:        b.journal,
		NewIncarnation: b.newIncarnation,
		SyncEvery:      b.o.SyncEvery,
		SyncTimeout:    b.o.SyncTimeout,
		MemQueueSize:   b.o.MemQueueSize,
		Cleaner:        b.cleaner,
		MakeRoom:       b.makeRoom,
		Failed:         b.logFailed,
		ReadFailed:     b.readFailed,
		Damaged:        func(n uint64) { b.damaged.Add(n) },
		Abandoned:      b.abandoned,
		Changed:        b.snapshot.changed,
		Came:           b.came,
		Went:           b.went,
		Logger:         b.o.Logger,
	}
}
