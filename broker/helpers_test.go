package broker

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/topic"
)

const dataPath = "/data"

var quiet = slog.New(slog.DiscardHandler)

// newDisk is an empty disk with a data directory.
func newDisk(t testing.TB, seed uint64) *crashfs.FS {
	t.Helper()
	disk := crashfs.New(seed)
	must(t, disk.MkdirAll(dataPath))
	must(t, disk.SyncDir("/"))
	return disk
}

func testOptions(fs vfs.FS) Options {
	return Options{
		FS: fs, DataPath: dataPath, NodeID: 7,
		SegmentBytes: 1 << 20, HotBytes: 8 << 20, MemQueueSize: 1000,
		SyncEvery: 2500, SyncTimeout: 2 * time.Second,
		MaxMsgTimeout: 15 * time.Minute, MaxReqTimeout: time.Hour,
		Logger: quiet,
	}
}

// open opens a broker on a disk, as one process: after a kill or a crash it
// sees nothing of the disk any more.
func open(t testing.TB, disk *crashfs.FS, adjust ...func(*Options)) *Broker {
	t.Helper()
	o := testOptions(disk.Mount())
	for _, f := range adjust {
		f(&o)
	}
	b, err := Open(o)
	must(t, err)
	return b
}

// kill ends the process; what the broker does afterwards reaches no disk.
func kill(disk *crashfs.FS, b *Broker) {
	disk.Kill()
	_ = b.Close() // for its goroutines
}

func strict(o *Options) { o.SyncEvery = 1 }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func getTopic(t testing.TB, b *Broker, name string) *topic.Topic {
	t.Helper()
	tp, err := b.Topic(name)
	must(t, err)
	return tp
}

func getChannel(t testing.TB, b *Broker, topicName, name string) *channel.Channel {
	t.Helper()
	c, err := getTopic(t, b, topicName).Channel(name)
	must(t, err)
	return c
}

// publish publishes each body by itself.
func publish(tp *topic.Topic, bodies ...string) error {
	for _, body := range bodies {
		var b diskqueue.Batch
		b.Reset()
		b.Add(&message.Meta{Timestamp: time.Now().UnixNano()}, []byte(body))
		if err := tp.Publish(&b); err != nil {
			return err
		}
	}
	return nil
}

// publishDeferred publishes a message that is due after delay.
func publishDeferred(tp *topic.Topic, body string, delay time.Duration) error {
	var b diskqueue.Batch
	b.Reset()
	now := time.Now()
	b.Add(&message.Meta{Timestamp: now.UnixNano(), DeliverAt: now.Add(delay).UnixMilli()}, []byte(body))
	return tp.Publish(&b)
}

// numbered is n bodies with a prefix.
func numbered(prefix string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return bodies
}

// delivery is a message as a consumer gets it.
type delivery struct {
	id       message.ID
	attempts uint16
	body     string
}

// consumer is a subscription of a test.
type consumer struct {
	*channel.Consumer
	c    *channel.Channel
	wake chan struct{}
	gone chan struct{} // closed when the channel closes
}

func subscribe(t testing.TB, c *channel.Channel, ready int64) *consumer {
	t.Helper()
	k, err := trySubscribe(c, ready)
	must(t, err)
	return k
}

func trySubscribe(c *channel.Channel, ready int64) (*consumer, error) {
	k := &consumer{c: c, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	var err error
	k.Consumer, err = c.Subscribe(channel.ConsumerOptions{
		MsgTimeout: time.Minute,
		Wake: func() {
			select {
			case k.wake <- struct{}{}:
			default:
			}
		},
		Closed: func() { close(k.gone) },
	})
	if err == nil {
		k.SetReady(ready)
	}
	return k, err
}

// deliveries is a channel.Sink.
type deliveries []delivery

func (ds *deliveries) Put(m *channel.Message) bool {
	*ds = append(*ds, delivery{m.ID, m.Attempts, string(m.Body)})
	return true
}

// take takes once.
func (k *consumer) take() []delivery {
	var ds deliveries
	k.Take(&ds, channel.MaxTake)
	return ds
}

// takeAll takes until nothing is there now.
func (k *consumer) takeAll() (all []delivery) {
	for {
		ds := k.take()
		if len(ds) == 0 {
			return all
		}
		all = append(all, ds...)
	}
}

// takeWithDeferred takes everything, and what is deferred when it is due.
func (k *consumer) takeWithDeferred() (all []delivery) {
	for {
		all = append(all, k.takeAll()...)
		if s := k.c.Stats(); s.Depth == 0 && s.Deferred == 0 {
			return all
		}
		<-k.wake
	}
}

func (k *consumer) answer(op channel.AnswerOp, delay time.Duration, ds ...delivery) []error {
	as := make([]channel.Answer, len(ds))
	for i, d := range ds {
		as[i] = channel.Answer{Op: op, ID: d.id, Delay: delay}
	}
	k.Answer(as)
	errs := make([]error, len(as))
	for i, a := range as {
		errs[i] = a.Err
	}
	return errs
}

func (k *consumer) finish(t testing.TB, ds ...delivery) {
	t.Helper()
	for _, err := range k.answer(channel.Finish, 0, ds...) {
		must(t, err)
	}
}

func bodies(ds []delivery) []string {
	list := make([]string, len(ds))
	for i, d := range ds {
		list[i] = d.body
	}
	return list
}

// wantDrained checks what a channel holds, in any order, deferred messages
// included, and leaves it there.
func wantDrained(t testing.TB, c *channel.Channel, want ...string) {
	t.Helper()
	k := subscribe(t, c, 1<<20)
	got := bodies(k.takeWithDeferred())
	k.Close()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("channel %s holds %d messages %.200q, want %d %.200q", c.Name(), len(got), got, len(want), want)
	}
}
