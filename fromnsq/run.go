package fromnsq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"qmq/internal/nsqdata"
	"qmq/internal/vfs"
)

// run imports what there is. After an error nothing of it is left.
func (m *move) run(ctx context.Context) error {
	d, err := nsqdata.Read(vfs.ReadOnly(m.FS), m.DataPath)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	for _, f := range d.Flaws {
		m.Logger.Warn("a file of nsqd's is not as it leaves one: "+f.Text, slog.String("path", f.Path))
	}
	m.Logger.Info("import of nsqd's data begins", slog.String("path", m.DataPath), slog.Int("topics", len(d.Topics)), slog.Int64("messages", d.Depth()), slog.Int64("bytes", d.Bytes()))
	begun := time.Now()
	b, err := m.build(ctx, d)
	if err != nil {
		if left := errors.Join(m.discard(buildingName), m.discard(readyName)); left != nil {
			return fmt.Errorf("%w (and what was built is left for the next start: %w)", full(err), left)
		}
		return fmt.Errorf("nothing was changed: %w", full(err))
	}
	if err := m.finish(); err != nil {
		return fmt.Errorf("all messages are imported, and the next start goes on with moving nsqd's files: %w", err)
	}
	var messages, repeated uint64
	for _, t := range b.built {
		messages, repeated = messages+t.messages, repeated+t.repeated
	}
	m.Logger.Info("import of nsqd's data is done", slog.Int("topics", len(b.built)), slog.Uint64("messages", messages), slog.Uint64("repeated_in_nsqd", repeated),
		slog.Duration("took", time.Since(begun).Round(time.Millisecond)), slog.String("nsqd_files", m.path(AsideName)))
	return nil
}

// full says what to do about a full disk.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("make room on the disk, which needs it only while nsqd's files and Q's are both there: %w", err)
	}
	return err
}

// build makes the new directory, verifies it and has it count.
func (m *move) build(ctx context.Context, d *nsqdata.Directory) (*build, error) {
	x := newIndex(d)
	if err := m.checkFreeSpace(leastRoom(x)); err != nil {
		return nil, err
	}
	dir := m.path(buildingName)
	if err := m.FS.MkdirAll(m.path(buildingName, "index")); err != nil {
		return nil, err
	}
	p := newProgress(m.Logger, "reading nsqd's messages", d.Bytes())
	if err := x.read(ctx, &m.Options, m.path(buildingName, "index"), p); err != nil {
		return nil, err
	}
	need, err := x.bytesNeeded(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.checkFreeSpace(need); err != nil {
		return nil, err
	}
	b := &build{Options: &m.Options, dir: dir, index: x}
	if err := b.make(ctx, newProgress(m.Logger, "writing them", need)); err != nil {
		return nil, err
	}
	if err := x.sorter.remove(); err != nil {
		return nil, err
	}
	if err := m.FS.Remove(m.path(buildingName, "index")); err != nil {
		return nil, err
	}
	if err := b.verify(); err != nil {
		return nil, err
	}
	return b, m.commit(d)
}

const (
	// recordMore is what a message takes beside its body.
	recordMore = 28 + 12
	// roomMore is what is wanted on the disk beside the messages.
	roomMore = 16 << 20
	// roomPerTopic is what a topic with messages takes beside them.
	roomPerTopic = 16 << 10
)

// leastRoom is what an import takes on the disk at least: of each topic what its longest
// queue holds, and the index.
func leastRoom(x *index) (bytes int64) {
	for _, t := range x.nsqd.Topics {
		longest := t.Queue.Bytes()
		for _, c := range t.Channels {
			longest = max(longest, c.Queue.Bytes())
		}
		bytes += longest
	}
	if n := x.nsqd.Depth(); n > entriesInMemory {
		bytes += n * entrySize
	}
	return bytes
}

// bytesNeeded is what the messages of the index take in Q's logs.
func (x *index) bytesNeeded(ctx context.Context) (bytes int64, err error) {
	last, topics, n := uint32(0), int64(0), 0
	for same, err := range x.messages() {
		if err != nil {
			return 0, err
		}
		if topic := same[0].group / 2; topics == 0 || topic != last {
			last = topic
			topics++
		}
		if n++; n%contextEvery == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		bytes += recordMore + int64(same[0].size)
	}
	return bytes + topics*roomPerTopic, nil
}

// checkFreeSpace is an error where the disk has less than so many bytes and some more.
func (m *move) checkFreeSpace(bytes int64) error {
	if m.Free == nil {
		return nil
	}
	free, err := m.Free(m.DataPath)
	if err != nil {
		return err
	}
	if need := bytes + roomMore; free < need {
		return fmt.Errorf("it takes %d MB on the disk beside nsqd's files, and %d MB are free", need>>20+1, free>>20)
	}
	return nil
}
