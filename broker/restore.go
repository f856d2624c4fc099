package broker

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"qmq/diskqueue"
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
	known := make(map[string]bool, len(state.Topics))
	for _, ts := range state.Topics {
		o := b.topicOptions(ts.Name, ts.Incarnation, false)
		known[filepath.Base(b.logDir(ts.Name, ts.Incarnation))] = true
		var err error
		if o.Log, err = b.openLog(o, highest(ts)+1); err != nil {
			return err
		}
		s := &slot{topic: topic.Restore(o, ts), settled: make(chan struct{})}
		close(s.settled)
		b.topics[ts.Name] = s
	}
	return b.sweep(known)
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
func (b *Broker) sweep(known map[string]bool) error {
	entries, err := b.o.FS.ReadDir(b.topicsDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(b.topicsDir(), e.Name())
		switch {
		case known[e.Name()]:
		case strings.HasPrefix(e.Name(), deletedPrefix):
			if err := b.o.FS.RemoveAll(path); err != nil {
				return err
			}
		default:
			b.o.Logger.Warn("directory of an unknown topic is kept and not served", "path", path)
			// Its incarnation must not be given out again.
			if i := strings.LastIndexByte(e.Name(), '-'); i >= 0 {
				if n, err := strconv.ParseUint(e.Name()[i+1:], 16, 64); err == nil {
					b.last.Store(max(b.last.Load(), n))
				}
			}
		}
	}
	return nil
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

// openLog opens the log of a topic; next is a lower bound of its next number.
func (b *Broker) openLog(o topic.Options, next uint64) (*diskqueue.Log, error) {
	shared := b.disk
	if o.Ephemeral {
		shared = b.memory
	}
	log, rec, err := diskqueue.Open(shared, diskqueue.Options{
		Dir:          b.logDir(o.Name, o.Incarnation),
		Incarnation:  o.Incarnation,
		SegmentBytes: b.o.SegmentBytes,
		HotMessages:  b.o.MemQueueSize,
		Next:         next,
		Now:          b.clock.Wall,
		Logger:       b.o.Logger,
	})
	b.damaged.Add(rec.DamagedRecords)
	return log, err
}

func (b *Broker) topicOptions(name string, incarnation uint64, ephemeral bool) topic.Options {
	return topic.Options{
		Name:                name,
		Incarnation:         incarnation,
		Ephemeral:           ephemeral,
		Journal:             b.journal,
		Clock:               b.clock,
		Deadlines:           b.deadlines,
		NewIncarnation:      b.newIncarnation,
		NodeID:              b.o.NodeID,
		SyncEvery:           b.o.SyncEvery,
		SyncTimeout:         b.o.SyncTimeout,
		MemQueueSize:        b.o.MemQueueSize,
		MaxMsgTimeout:       b.o.MaxMsgTimeout,
		MaxReqTimeout:       b.o.MaxReqTimeout,
		MaxChannelConsumers: b.o.MaxChannelConsumers,
		Failed:              b.logFailed,
		Damaged:             func(n uint64) { b.damaged.Add(n) },
		Abandoned:           b.abandoned,
		Changed:             b.snapshot.changed,
		Logger:              b.o.Logger,
	}
}

// abandoned deletes an ephemeral topic whose last channel is gone.
func (b *Broker) abandoned(t *topic.Topic) {
	b.removals.Go(func() {
		if err := b.deleteTopic(t); err != nil && err != ErrNoTopic {
			b.o.Logger.Error("ephemeral topic not deleted", "topic", t.Name(), "error", err)
		}
	})
}
