package topic

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/vfs"
	"qmq/journal"
	"qmq/message"
)

var quiet = slog.New(slog.DiscardHandler)

// bench is a topic with all that it needs.
type bench struct {
	*Topic
	journal   *journal.Journal
	deadlines *deadline.Queue
	failures  atomic.Int64 // calls of Failed with an error
}

func newBench(t testing.TB, fs vfs.FS, dir string, syncEvery int64) *bench {
	t.Helper()
	b := &bench{}
	c := clock.New()
	b.deadlines = deadline.New(c)
	shared := diskqueue.NewShared(diskqueue.SharedOptions{FS: fs, Logger: quiet})
	log, _, err := diskqueue.Open(shared, diskqueue.Options{
		Dir: dir + "/t", Incarnation: 1, SegmentBytes: 64 << 20, HotMessages: 10000, Now: c.Wall, Logger: quiet,
	})
	must(t, err)
	b.journal, _, err = journal.Open(journal.Options{FS: fs, Dir: dir + "/j", Logger: quiet})
	must(t, err)
	var last uint64 = 1
	b.Topic = New(Options{
		Name: "t", Incarnation: 1, Log: log, Common: &Common{
			Common:         &channel.Common{Clock: c, Deadlines: b.deadlines, MaxMsgTimeout: time.Hour, MaxReqTimeout: time.Hour},
			Journal:        b.journal,
			Cleaner:        NewCleaner(b.journal, quiet),
			MakeRoom:       func() bool { return false },
			NewIncarnation: func() uint64 { last++; return last },
			SyncEvery:      syncEvery, SyncTimeout: 2 * time.Second, MemQueueSize: 10000,
			Failed: func(_ *Topic, err error) {
				if err != nil {
					b.failures.Add(1)
				}
			},
			Damaged: func(*Topic, uint64, uint64, uint64) {}, ReadFailed: func(*Topic, string, error) {}, Abandoned: func(*Topic) {}, Changed: func() {}, Came: func(*Topic, string) {}, Went: func(*Topic, string) {}, Logger: quiet,
		}})
	return b
}

// pass lets time go by in a bubble; the deadlines' goroutine sees it in steps.
func (b *bench) pass(d time.Duration) {
	for end := b.o.Clock.Now() + int64(d); b.o.Clock.Now() < end; {
		done := make(chan struct{})
		tick := b.deadlines.NewTimer(func(int64) { close(done) })
		tick.Arm(b.o.Clock.Now() + 10e6)
		<-done
	}
	synctest.Wait()
}

func (b *bench) close(t testing.TB) {
	t.Helper()
	b.Stop()
	b.o.Cleaner.Close()
	must(t, b.journal.Close())
	must(t, b.Close())
	b.deadlines.Close()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func batchOf(n, size int) *diskqueue.Batch {
	var b diskqueue.Batch
	b.Reset()
	for range n {
		b.Add(message.Meta{Timestamp: 1}, make([]byte, size))
	}
	return &b
}
