package topic

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/journal"
	"qmq/message"
	"qmq/state"
)

var quiet = slog.New(slog.DiscardHandler)

// bench is a topic with all that it needs, in a directory of its own.
type bench struct {
	*Topic
	t   testing.TB
	fs  vfs.FS
	dir string

	// What a topic is made of; to be changed by settings.
	options   Options
	committer func(*diskqueue.Log) Committer
	segment   int64 // bytes
	hot       int   // messages

	shared    *diskqueue.Shared
	journal   *journal.Journal
	deadlines *deadline.Queue

	failures atomic.Int64 // calls of FailureChanged with a failure

	mu     sync.Mutex // guards what follows: what the topic told
	events []string
	lost   uint64
}

type setting func(*bench)

func strict(b *bench)        { b.options.Sync.Every = 1 }
func ephemeral(b *bench)     { b.options.Ephemeral = true }
func held(b *bench)          { b.options.Held = true }
func smallSegments(b *bench) { b.segment = 64 << 10 }
func nothingHot(b *bench)    { b.hot = 0 }

// syncEvery is the sync policy.
func syncEvery(n int64) setting { return func(b *bench) { b.options.Sync.Every = n } }

func newBench(t testing.TB, fs vfs.FS, dir string, settings ...setting) *bench {
	t.Helper()
	b := &bench{t: t, fs: fs, dir: dir, segment: 64 << 20, hot: 10000}
	b.options = Options{
		Name: "t", Incarnation: 1,
		Sync: SyncPolicy{Every: 2500, Timeout: 2 * time.Second},
		Common: &Common{
			Channels:          &channel.Common{MaxMsgTimeout: time.Hour, MaxReqTimeout: time.Hour},
			FreeSpace:         b.freeSpace,
			MemQueueSize:      10000,
			FailureChanged:    b.failureChanged,
			ReadFailed:        func(_ *Topic, channel string, err error) { b.tell("read %s: %v", channel, err) },
			Damaged:           b.damaged,
			Abandoned:         func(*Topic) { b.tell("abandoned") },
			Changed:           func() {},
			RegisterChannel:   func(_ *Topic, channel string) { b.tell("register %s", channel) },
			UnregisterChannel: func(_ *Topic, channel string) { b.tell("unregister %s", channel) },
			Logger:            quiet,
		},
	}
	for _, set := range settings {
		set(b)
	}
	b.open(t)
	return b
}

// open brings the topic back as a new process does, or makes it.
func (b *bench) open(t testing.TB) {
	t.Helper()
	o := b.options
	common, channels := *o.Common, *o.Common.Channels
	o.Common, common.Channels = &common, &channels
	channels.Clock = clock.New()
	b.deadlines = deadline.New(channels.Clock)
	channels.Deadlines = b.deadlines

	disk := diskqueue.NewShared(diskqueue.SharedOptions{
		FS: b.fs, RecycleDir: b.dir + "/recycled", RecycleFiles: 4, HotBytes: 64 << 20, Logger: quiet,
	})
	b.shared = disk
	if o.Ephemeral {
		b.shared = disk.InMemory(vfs.NewMem())
	}
	var known *journal.Found
	var err error
	b.journal, known, err = journal.Open(journal.Options{FS: disk.FS(), Dir: b.dir + "/j", Logger: quiet})
	must(t, err)
	o.State, o.Sync.Journal, common.Cleaner = b.journal, b.journal, NewCleaner(b.journal, common.Logger)
	last := max(known.State.MaxIncarnation, 1)
	common.NewIncarnation = func() uint64 { return atomic.AddUint64(&last, 1) }
	disk.FillReserve()
	st := known.State.Topics[o.Incarnation]
	log := diskqueue.Options{
		Dir: b.dir + "/t", Incarnation: o.Incarnation, SegmentBytes: b.segment, HotMessages: b.hot,
		Next: func(seen uint64) uint64 { return max(seen, uint64(channels.Clock.Wall())>>8) },
		Now:  channels.Clock.Wall, Logger: quiet,
	}
	if st != nil {
		log.Known, log.Start, log.KnownEnd, log.GivenUp = true, st.Start, st.WrittenEnd, st.GivenUp
	}
	o.Log, _, err = diskqueue.Open(b.shared, log)
	must(t, err)
	if st != nil {
		b.Topic = Restore(o, st)
		b.replaceCommitter()
		return
	}
	b.Topic = New(o)
	b.replaceCommitter()
	if !o.Ephemeral {
		must(t, b.journal.Commit(state.Entry{Op: state.CreateTopic, Topic: o.Incarnation, Name: o.Name, FanOut: o.Log.End()}))
	}
}

// replaceCommitter puts the test's committer into the place of the topic's own.
func (b *bench) replaceCommitter() {
	if b.committer == nil {
		return
	}
	b.background.Load().close()
	b.background.Store(nil)
	b.pipeline.committer = b.committer(b.o.Log)
}

// close ends the process in order.
func (b *bench) close(t testing.TB) {
	t.Helper()
	must(t, b.Stop())
	if e, needed := b.FanOutEntry(); needed {
		must(t, b.journal.Commit(e))
	}
	b.cleaner().Close()
	must(t, b.journal.Close())
	must(t, b.Close())
	b.deadlines.Close()
}

// restart is a clean stop and a start.
func (b *bench) restart(t testing.TB) {
	t.Helper()
	b.close(t)
	b.open(t)
}

// abandon ends the process when the disk is not what it was.
func (b *bench) abandon() {
	_ = b.Stop()
	b.cleaner().Close()
	_ = b.journal.Close()
	_ = b.Close()
	b.deadlines.Close()
}

func (b *bench) clock() *clock.Clock { return b.o.Common.Channels.Clock }
func (b *bench) cleaner() *Cleaner   { return b.o.Common.Cleaner }

// freeSpace does what the node does where the disk is full.
func (b *bench) freeSpace() bool {
	b.shared.FreeReserve()
	defer b.shared.FillReserve()
	topics, spare := []*Topic{b.Topic}, b.shared.DropSpare()
	any := b.cleaner().FreeFinished(topics) || spare || b.cleaner().CarryNow(topics)
	b.shared.DropSpare()
	return any
}

func (b *bench) failureChanged(t *Topic) {
	if t.Failure() != nil {
		b.failures.Add(1)
	}
}

func (b *bench) damaged(_ *Topic, _, _, messages uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost += messages
}

func (b *bench) tell(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, fmt.Sprintf(format, args...))
}

// told returns what the topic told since the last call.
func (b *bench) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.events
	b.events = nil
	return list
}

// pass lets time go by in a bubble; the deadlines' goroutine sees it in steps.
func (b *bench) pass(d time.Duration) {
	for end := b.clock().Now() + int64(d); b.clock().Now() < end; {
		done := make(chan struct{})
		tick := b.deadlines.NewTimer(func(int64) { close(done) })
		tick.Arm(b.clock().Now() + 10e6)
		<-done
	}
	synctest.Wait()
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
		b.Add(&message.Meta{Timestamp: 1}, make([]byte, size))
	}
	return &b
}

// send publishes each body by itself.
func (b *bench) send(bodies ...string) error {
	for _, body := range bodies {
		var batch diskqueue.Batch
		batch.Reset()
		batch.Add(&message.Meta{Timestamp: b.clock().Wall()}, []byte(body))
		if err := b.Publish(&batch); err != nil {
			return err
		}
	}
	return nil
}

// sendLater publishes a message that is due after delay.
func (b *bench) sendLater(body string, delay time.Duration) error {
	var batch diskqueue.Batch
	batch.Reset()
	now := b.clock().Wall()
	batch.Add(&message.Meta{Timestamp: now, DeliverAt: now/1e6 + delay.Milliseconds()}, []byte(body))
	return b.Publish(&batch)
}

// retry calls f until the committer takes it: one of them refuses now and then.
func (b *bench) retry(t testing.TB, f func() error) {
	t.Helper()
	for range 10 {
		err := f()
		if err == nil {
			return
		}
		if err != errRefused {
			t.Fatal(err)
		}
		must(t, b.Probe())
	}
	t.Fatal("refused again and again")
}

// numbered is n bodies with a prefix.
func numbered(prefix string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprint(prefix, i)
	}
	return bodies
}

func (b *bench) channel(t testing.TB, name string) *channel.Channel {
	t.Helper()
	c, err := b.Channel(name)
	must(t, err)
	return c
}

// delivery is a message as a consumer gets it.
type delivery struct {
	id   message.ID
	body string
}

func bodies(ds []delivery) []string {
	list := make([]string, len(ds))
	for i, d := range ds {
		list[i] = d.body
	}
	return list
}

// consumer is a subscription of a test.
type consumer struct {
	*channel.Consumer
	c      *channel.Channel
	closed atomic.Bool // by the channel's end
}

func subscribe(t testing.TB, c *channel.Channel) *consumer {
	t.Helper()
	k := &consumer{c: c}
	var err error
	k.Consumer, err = c.Subscribe(channel.ConsumerOptions{
		MsgTimeout: time.Hour, Wake: func() {}, Closed: func() { k.closed.Store(true) },
	})
	must(t, err)
	k.SetReady(1 << 20)
	return k
}

// deliveries is a channel.Sink.
type deliveries []delivery

func (ds *deliveries) Put(m *channel.Message) bool {
	*ds = append(*ds, delivery{m.ID, string(m.Body)})
	return true
}

// takeAll takes until nothing is there now.
func (k *consumer) takeAll() []delivery {
	var ds deliveries
	for k.Take(&ds, channel.MaxTake) > 0 {
	}
	return ds
}

func (k *consumer) finish(t testing.TB, ds ...delivery) {
	t.Helper()
	as := make([]channel.Answer, len(ds))
	for i, d := range ds {
		as[i] = channel.Answer{Op: channel.Finish, ID: d.id}
	}
	k.Answer(as)
	for _, a := range as {
		must(t, a.Err)
	}
}

// wantWaiting checks what a channel has to give now, and leaves it there.
func wantWaiting(t testing.TB, c *channel.Channel, want ...string) {
	t.Helper()
	k := subscribe(t, c)
	got := bodies(k.takeAll())
	k.Close()
	if !slices.Equal(got, want) {
		t.Errorf("channel %s has %d messages %.300q, not %d %.300q", c.Name(), len(got), got, len(want), want)
	}
}

// drain finishes all that a channel has to give now.
func drain(t testing.TB, c *channel.Channel) (got []string) {
	t.Helper()
	k := subscribe(t, c)
	defer k.Close()
	ds := k.takeAll()
	k.finish(t, ds...)
	return bodies(ds)
}

// onLog is a hook that asks f about operations on the log's segments.
func onLog(op crashfs.Op, f func() error) func(crashfs.Op, string) error {
	return onFiles(op, ".seg", f)
}

// onJournal is a hook that asks f about operations on the journal's logs.
func onJournal(op crashfs.Op, f func() error) func(crashfs.Op, string) error {
	return func(o crashfs.Op, name string) error {
		if o == op && strings.Contains(name, "/j/") {
			return f()
		}
		return nil
	}
}

func onFiles(op crashfs.Op, suffix string, f func() error) func(crashfs.Op, string) error {
	return func(o crashfs.Op, name string) error {
		if o == op && strings.HasSuffix(name, suffix) {
			return f()
		}
		return nil
	}
}

// segments is how many bytes the log's segments take.
func segments(disk *crashfs.FS) (bytes int64) {
	for _, f := range disk.Files() {
		if strings.HasSuffix(f.Name, ".seg") && strings.Contains(f.Name, "/t/") {
			bytes += f.Size
		}
	}
	return bytes
}

// requeue gives messages back until later.
func (k *consumer) requeue(t testing.TB, delay time.Duration, ds ...delivery) {
	t.Helper()
	as := make([]channel.Answer, len(ds))
	for i, d := range ds {
		as[i] = channel.Answer{Op: channel.Requeue, ID: d.id, Delay: delay}
	}
	k.Answer(as)
	for _, a := range as {
		must(t, a.Err)
	}
}
