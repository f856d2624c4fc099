package topic

import (
	"errors"
	"testing"

	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
)

// notes is a journal that keeps what is noted of a log's end, and cannot always be synced.
type notes struct {
	Journal
	failing         error
	synced, written uint64
}

func (n *notes) Durable() error { return n.failing }

func (n *notes) NoteEnd(_, synced, written uint64) { n.synced, n.written = synced, written }

// TestNoEndIsNotedAsSyncedWhileTheJournalIsNot: a later start would miss, below it, the numbers
// that only the journal knows to be none.
func TestNoEndIsNotedAsSyncedWhileTheJournalIsNot(t *testing.T) {
	fs := crashfs.New(1)
	disk := diskqueue.NewShared(diskqueue.SharedOptions{FS: fs, HotBytes: 1 << 20, Logger: quiet})
	log, _, err := diskqueue.Open(disk, diskqueue.Options{
		Dir: "/t", Incarnation: 1, SegmentBytes: 1 << 20, Now: func() int64 { return 1 << 60 }, Logger: quiet,
	})
	must(t, err)
	j := &notes{failing: errors.New("disk gone")}
	s := &logSync{log: log, journal: j, topic: "t", incarnation: 1, opened: log.End(), logger: quiet}
	added, err := log.Append([]*diskqueue.Batch{batchOf(3, 10)})
	must(t, err)
	must(t, s.sync())
	if j.synced != 0 || j.written != added.End {
		t.Errorf("noted as synced up to %d and written up to %d, want 0 and %d", j.synced, j.written, added.End)
	}
	j.failing = nil
	must(t, s.sync())
	if j.synced != added.End || j.written != added.End {
		t.Errorf("noted as synced up to %d and written up to %d, want %d", j.synced, j.written, added.End)
	}
	must(t, log.Close())
}
