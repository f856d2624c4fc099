package fromnsq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"qmq/diskqueue"
	"qmq/internal/names"
	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
	"qmq/journal"
	"qmq/state"
)

// build makes a data directory of Q of the messages in an index.
type build struct {
	*Options
	dir     string
	index   *index
	shared  *diskqueue.Shared
	journal *journal.Journal
	bodies  *bodies
	closing closing
	last    uint64            // incarnation given out last
	built   map[string]*built // by name
	written func(bytes int) error
}

// built is what a topic has come to.
type built struct {
	messages uint64            // in its log
	repeated uint64            // that a queue of nsqd's had more than once
	channels map[string]uint64 // messages that each has to get
	standing uint64            // messages that no channel has got yet
}

// make makes the directory, which is synced when it returns.
func (b *build) make(ctx context.Context, p *progress) (err error) {
	fsys := vfs.ReadOnly(b.FS)
	b.bodies = &bodies{fs: fsys, stretches: b.index.stretches}
	b.written = func(bytes int) error { return p.advance(ctx, int64(bytes)) }
	b.shared = diskqueue.NewShared(diskqueue.SharedOptions{FS: b.FS, HotBytes: 1, Logger: b.Logger})
	b.last, b.built = uint64(b.Now()), make(map[string]*built)
	topics := filepath.Join(b.dir, "topics")
	if err := b.FS.MkdirAll(topics); err != nil {
		return err
	}
	b.journal, _, err = journal.Open(journal.Options{
		FS: b.FS, Dir: filepath.Join(b.dir, "journal"), BootID: b.BootID, Logger: b.Logger,
	})
	if err != nil {
		return err
	}
	err = errors.Join(b.topics(topics), b.closing.wait(), b.journal.Settle(), b.journal.Close(), b.bodies.close())
	if err == nil {
		err = b.FS.SyncDir(topics)
	}
	return err
}

// topics makes all topics, those without messages too.
func (b *build) topics(dir string) error {
	next := 0
	var t *topic
	end := func() error {
		if t == nil {
			return nil
		}
		return b.end(t)
	}
	until := func(place int) (err error) { // begins topics up to the one at that place
		for ; next <= place; next++ {
			if err = end(); err != nil {
				return err
			}
			if t, err = b.begin(b.index.nsqd.Topics[next], dir); err != nil {
				return err
			}
		}
		return nil
	}
	for same, err := range b.index.messages() {
		if err == nil {
			err = until(int(same[0].group / 2))
		}
		if err == nil {
			err = t.put(same, b.index.stretches)
		}
		if err != nil {
			abandon(t)
			return err
		}
	}
	if err := until(len(b.index.nsqd.Topics) - 1); err != nil {
		return err
	}
	return end()
}

// abandon closes the files of a topic that is not ended.
func abandon(t *topic) {
	if t != nil {
		t.log.Discard()
	}
}

func (b *build) incarnation() uint64 {
	b.last++
	return b.last
}

// begin opens the log of a topic.
func (b *build) begin(of *nsqdata.Topic, dir string) (*topic, error) {
	t := &topic{Topic: of, incarnation: b.incarnation(), bodies: b.bodies, most: int(min(batchBytes, b.SegmentBytes)), written: b.written}
	log, _, err := diskqueue.Open(b.shared, diskqueue.Options{
		Dir: filepath.Join(dir, names.Dir(of.Name, t.incarnation)), Incarnation: t.incarnation, SegmentBytes: b.SegmentBytes,
		Next: func(seen uint64) uint64 { return max(seen, uint64(b.Now())>>8) },
		Now:  b.Now, Logger: b.Logger,
	})
	if err != nil {
		return nil, err
	}
	t.log, t.start = log, log.End()
	t.next, t.fanOut = t.start, t.start
	for _, c := range of.Channels {
		t.channels = append(t.channels, newChannel(c, b.incarnation(), t.start))
	}
	return t, nil
}

// end has a topic's log synced, and the journal know the topic. What the journal says
// of the log counts only when all is synced.
func (b *build) end(t *topic) error {
	if err := t.end(); err != nil {
		abandon(t)
		return err
	}
	b.closing.add(t.log)
	if err := b.note(t); err != nil {
		return err
	}
	done := &built{messages: t.messages, repeated: t.repeated, channels: make(map[string]uint64), standing: t.next - t.fanOut}
	for _, c := range t.channels {
		done.channels[c.Name] = c.messages
	}
	b.built[t.Name] = done
	b.Logger.Info("imported from nsqd", slog.String("topic", t.Name), slog.Uint64("messages", t.messages), slog.Int64("bytes", t.bytes),
		slog.Int("channels", len(t.channels)))
	return nil
}

// note has the journal know a topic: its channels, what is paused, what each of them
// has to get, and up to where there is a log.
func (b *build) note(t *topic) error {
	entries := []state.Entry{{Op: state.CreateTopic, Topic: t.incarnation, Name: t.Name, FanOut: t.start}}
	for _, c := range t.channels {
		entries = append(entries, state.Entry{Op: state.CreateChannel, Topic: t.incarnation, Channel: c.incarnation, Name: c.Name, Start: t.start})
		if c.Paused {
			entries = append(entries, state.Entry{Op: state.PauseChannel, Topic: t.incarnation, Channel: c.incarnation})
		}
	}
	if t.Paused {
		entries = append(entries, state.Entry{Op: state.PauseTopic, Topic: t.incarnation, FanOut: t.fanOut})
	}
	if err := b.journal.Commit(entries...); err != nil {
		return err
	}
	for _, c := range t.channels {
		s := source{t.incarnation, c}
		b.journal.Attach(s)
		b.journal.Mark(s)
	}
	if t.messages > 0 {
		b.journal.NoteEnd(t.incarnation, t.next, t.next)
	}
	return b.journal.Flush()
}

// errNotWhole means that what was built is not what was read.
var errNotWhole = errors.New("what was written does not have what was read")

func notWhole(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errNotWhole}, args...)...)
}
