package broker

import (
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/vfs/crashfs"
	"qmq/message"
	"qmq/state"
	"qmq/topic"
)

// The tests of this file run brokers on one disk, one after the other. Each is
// published to and consumed from by several goroutines until the machine loses
// power, or the process is killed, at a random operation of the file system.
// What the ledger says was promised has to be there afterwards.

// ledger is what was promised to publishers and consumers of one topic.
type ledger struct {
	// unsynced says that a crash may take back what was promised before it.
	unsynced bool

	mu        sync.Mutex
	published map[string]int            // body → number of its MPUB, 0 for none
	multis    [][]string                // bodies of each MPUB; the first is not used
	ids       map[message.ID]string     // body of each id ever delivered
	channels  map[string]*channelLedger // those whose creation was answered
}

// channelLedger is what was promised about one channel.
type channelLedger struct {
	owed     map[string]bool // bodies OK'd since it exists
	finished map[string]bool // FIN was answered well
	waiting  []string        // of those: no flush of this life began since
	durable  map[string]bool // of those: the journal was written since
}

func newLedger(unsynced bool) *ledger {
	return &ledger{
		unsynced:  unsynced,
		published: make(map[string]int), multis: make([][]string, 1),
		ids: make(map[message.ID]string), channels: make(map[string]*channelLedger),
	}
}

// existing lists the channels that a publish that begins now must reach.
func (l *ledger) existing() []*channelLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.channels))
}

func (l *ledger) created(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.channels[name] == nil {
		l.channels[name] = &channelLedger{
			owed: make(map[string]bool), finished: make(map[string]bool), durable: make(map[string]bool),
		}
	}
}

func (l *ledger) about(bodies []string, multi bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	if multi {
		n = len(l.multis)
		l.multis = append(l.multis, bodies)
	}
	for _, b := range bodies {
		l.published[b] = n
	}
}

func (l *ledger) owe(to []*channelLedger, bodies []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range to {
		for _, b := range bodies {
			c.owed[b] = true
		}
	}
}

// delivered checks what every delivery must be.
func (l *ledger) delivered(t *testing.T, d delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.published[d.body]; !ok {
		t.Errorf("a message came that nobody published: %.60q", d.body)
	}
	if was, ok := l.ids[d.id]; ok && was != d.body {
		t.Errorf("id %s was given to %.20q and to %.20q", d.id, was, d.body)
	}
	l.ids[d.id] = d.body
}

func (l *ledger) finish(channel string, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channels[channel]
	c.finished[body] = true
	c.waiting = append(c.waiting, body)
}

// flush has the journal written, and notes what must stay finished then.
func (l *ledger) flush(b *Broker) {
	l.mu.Lock()
	before := make(map[*channelLedger][]string)
	for _, c := range l.channels {
		before[c], c.waiting = c.waiting, nil
	}
	l.mu.Unlock()
	if b.journal.Flush() != nil || l.unsynced {
		return
	}
	// Changes of channels are not synced by themselves, entries are with
	// SyncEvery 1, and what was written before with them.
	if b.journal.Commit(state.Entry{Op: state.SetFanOut}) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, bodies := range before {
		for _, body := range bodies {
			c.durable[body] = true
		}
	}
}

// check compares what a channel holds after a restart with what was promised;
// forgive says that what is not there could be lost.
func (l *ledger) check(t *testing.T, name string, held []delivery, forgive bool) {
	for _, d := range held {
		l.delivered(t, d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.channels[name]
	there := make(map[string]bool)
	for _, d := range held {
		if there[d.body] {
			t.Errorf("channel %s: twice in one channel: %.30q", name, d.body)
		}
		there[d.body] = true
		if c.durable[d.body] {
			t.Errorf("channel %s: finished and journalled, and came again: %.30q", name, d.body)
		}
		delete(c.finished, d.body) // forgotten, as it may be: now it has to be finished anew
	}
	c.waiting = c.waiting[:0]
	for body := range c.finished {
		if !c.durable[body] {
			c.waiting = append(c.waiting, body)
		}
	}
	for body := range c.owed {
		switch {
		case there[body] || c.finished[body]:
		case forgive:
			delete(c.owed, body)
		default:
			t.Errorf("channel %s: lost: %.30q", name, body)
		}
	}
	for _, multi := range l.multis {
		n, here := 0, false
		for _, body := range multi {
			here = here || there[body]
			if there[body] || c.finished[body] {
				n++
			}
		}
		if n != 0 && n != len(multi) && (here || !l.unsynced) {
			t.Errorf("channel %s: %d of the %d messages of an MPUB", name, n, len(multi))
		}
	}
}

// world is one broker's life under load.
type world struct {
	t      *testing.T
	b      *Broker
	l      *ledger
	topic  *topic.Topic
	life   string
	rng    *rand.Rand    // of the goroutine that starts the others
	done   chan struct{} // closed when no more is published
	others sync.WaitGroup
}

const topicName = "Orders"

func (w *world) publisher(name string, rng *rand.Rand) {
	refused := 0
	for i := 0; i < 40 && refused < 3; i++ {
		var b diskqueue.Batch
		b.Reset()
		var all []string
		now := time.Now()
		body := func(k int) string {
			s := fmt.Sprintf("%s-%s-%d-%d-", w.life, name, i, k)
			s += strings.Repeat("x", rng.IntN(200))
			return fmt.Sprintf("%s|%08x", s, crc32.ChecksumIEEE([]byte(s)))
		}
		for k := range 1 + rng.IntN(3) { // of one read buffer
			switch rng.IntN(4) {
			case 0:
				var multi []string
				b.BeginMulti()
				for m := range 1 + rng.IntN(5) {
					multi = append(multi, body(100*k+m))
					b.Add(&message.Meta{Timestamp: now.UnixNano()}, []byte(multi[m]))
				}
				b.EndMulti()
				w.l.about(multi, true)
				all = append(all, multi...)
			case 1:
				all = append(all, body(100*k))
				w.l.about(all[len(all)-1:], false)
				b.Add(&message.Meta{Timestamp: now.UnixNano(), DeliverAt: now.UnixMilli() + int64(rng.IntN(100))}, []byte(all[len(all)-1]))
			default:
				all = append(all, body(100*k))
				w.l.about(all[len(all)-1:], false)
				b.Add(&message.Meta{Timestamp: now.UnixNano()}, []byte(all[len(all)-1]))
			}
		}
		to := w.l.existing()
		if err := w.topic.Publish(&b); err != nil {
			refused++
			continue
		}
		w.l.owe(to, all)
	}
}

func (w *world) consumer(name string, rng *rand.Rand) {
	defer w.others.Done()
	c, err := w.topic.Channel(name)
	if err != nil {
		return // the crash came first
	}
	w.l.created(name)
	for {
		k, err := trySubscribe(c, 1+int64(rng.IntN(50)))
		if err != nil {
			return
		}
		for range 1 + rng.IntN(10) {
			ds := k.take()
			for _, d := range ds {
				w.l.delivered(w.t, d)
			}
			w.answer(name, k, ds, rng)
			if len(ds) > 0 {
				continue
			}
			select {
			case <-k.wake:
			case <-w.done:
				k.Close()
				return
			}
		}
		k.Close() // with what is in flight
	}
}

func (w *world) answer(name string, k *consumer, ds []delivery, rng *rand.Rand) {
	for _, d := range ds {
		switch n := rng.IntN(20); {
		case n < 12:
			if k.answer(channel.Finish, 0, d)[0] == nil {
				w.l.finish(name, d.body)
			}
		case n < 15:
			k.answer(channel.Requeue, 0, d)
		case n < 17:
			k.answer(channel.Requeue, time.Duration(rng.IntN(50))*time.Millisecond, d)
		}
	}
	if rng.IntN(4) == 0 {
		w.l.flush(w.b)
	}
}

// run loads the broker until all is published or the disk is dead.
func (w *world) run(channels []string) {
	w.done = make(chan struct{})
	fork := func() *rand.Rand { return rand.New(rand.NewPCG(w.rng.Uint64(), 0)) }
	for _, name := range channels {
		for range 2 {
			w.others.Add(1)
			go w.consumer(name, fork())
		}
	}
	var publishers sync.WaitGroup
	for i := range 3 {
		rng := fork()
		publishers.Go(func() { w.publisher(fmt.Sprint(i), rng) })
	}
	publishers.Wait()
	close(w.done)
	w.others.Wait()
}

// verify checks all channels of a broker that was just opened.
func verify(t *testing.T, b *Broker, l *ledger, forgive bool) {
	tp, ok := b.Existing(topicName)
	if !ok {
		if len(l.channels) > 0 && !forgive {
			t.Error("the topic is gone")
		}
		clear(l.channels)
		return
	}
	for name := range l.channels {
		c, ok := tp.ExistingChannel(name)
		switch {
		case ok:
			k := subscribe(t, c, 1<<20)
			l.check(t, name, k.takeWithDeferred(), forgive)
			k.Close()
		case forgive:
			delete(l.channels, name)
		default:
			t.Errorf("channel %s is gone", name)
		}
	}
}

// ending is how the lives of brokers end.
type ending struct {
	syncEvery int64
	end       func(*crashfs.FS)
	// unsynced: what was promised before the end may be lost.
	unsynced bool
	// rebooted: the machine ends, not the process alone.
	rebooted bool
}

// lives runs several brokers on one disk. Some are closed properly; of those
// that lose what was not synced every second one is, so that what it took in
// must be there.
func (e ending) lives(t *testing.T, seed uint64) {
	disk := newDisk(t, seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLedger(e.unsynced)
	boot := 1
	adjust := func(o *Options) {
		o.BootID = fmt.Sprint(boot)
		o.SyncEvery = e.syncEvery
		o.JournalReserve = 4 << 10
		o.SegmentBytes = 2 << 10 << rng.IntN(6)
		o.MemQueueSize = 5 << (3 * rng.IntN(3))
	}
	names := []string{"a", "b", "c", "d"}
	crashed := false
	for life := range 4 {
		for range rng.IntN(3) { // a first start that is ended may leave nothing at all
			if e.endedStart(disk, rng, adjust) {
				boot++
			}
		}
		if life > 0 { // a first start that did not come to its end may leave nothing at all
			wantSound(t, disk, fmt.Sprint(boot))
		}
		b := open(t, disk, adjust)
		wantNoDamage(t, b)
		verify(t, b, l, crashed && e.unsynced)
		tp, err := b.Topic(topicName)
		must(t, err)
		w := &world{t: t, b: b, l: l, topic: tp, life: fmt.Sprint(life), rng: rng}
		var left atomic.Int64
		if left.Store(1 + rng.Int64N(400)); e.unsynced && life%2 == 1 {
			left.Store(1 << 40)
		}
		disk.Fail(func(crashfs.Op, string) error {
			if left.Add(-1) == 0 {
				e.end(disk)
			}
			return nil
		})
		w.run(names[:1+life])
		disk.Fail(nil)
		synctest.Wait() // who was asked before may still end it
		crashed = left.Load() <= 0
		if !crashed && (e.unsynced && life%2 == 1 || rng.IntN(2) == 0) {
			must(t, b.Close())
			continue
		}
		if !crashed {
			e.end(disk)
			crashed = true
		}
		_ = b.Close() // of a broker whose disk is gone
		if e.rebooted {
			boot++
		}
		<-time.After(time.Second) // the machine starts again
	}
	wantSound(t, disk, fmt.Sprint(boot))
	b := open(t, disk, adjust)
	wantNoDamage(t, b)
	verify(t, b, l, crashed && e.unsynced)
	must(t, b.Close())
	wantSound(t, disk, fmt.Sprint(boot))
}

// endedStart is a start that does not come to its end. It says whether that of the
// machine kept it from it, and not that of the process.
func (e ending) endedStart(disk *crashfs.FS, rng *rand.Rand, adjust func(*Options)) (rebooted bool) {
	end := disk.Kill
	if rebooted = e.rebooted && rng.IntN(3) == 0; rebooted {
		end = func() { e.end(disk) }
	}
	var left atomic.Int64
	left.Store(1 + rng.Int64N(150))
	disk.Fail(func(crashfs.Op, string) error {
		if left.Add(-1) == 0 {
			end()
		}
		return nil
	})
	o := testOptions(disk.Mount())
	adjust(&o)
	b, err := Open(o)
	disk.Fail(nil)
	synctest.Wait() // who was asked before may still end it
	if left.Load() > 0 {
		end()
	}
	if err == nil {
		_ = b.Close() // of a broker whose disk is gone
	}
	<-time.After(time.Second)
	return rebooted
}

// wantNoDamage checks that a loss of power is taken for no damage.
func wantNoDamage(t *testing.T, b *Broker) {
	t.Helper()
	if d := b.Damage(); !d.None() {
		t.Errorf("damage: %+v", d)
	}
}

func (e ending) test(t *testing.T) {
	rounds := uint64(40)
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		synctest.Test(t, func(t *testing.T) { e.lives(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func dropAll(disk *crashfs.FS)  { disk.Crash(crashfs.DropAll) }
func dropSome(disk *crashfs.FS) { disk.Crash(crashfs.Random) }

func TestPowerLossLosesNothingSynced(t *testing.T) {
	t.Run("all else is lost", ending{syncEvery: 1, end: dropAll, rebooted: true}.test)
	t.Run("some of the rest is lost", ending{syncEvery: 1, end: dropSome, rebooted: true}.test)
}

func TestPowerLossOfUnsyncedMessagesHarmsNoLaterOne(t *testing.T) {
	t.Run("all is lost", ending{syncEvery: 2500, end: dropAll, unsynced: true, rebooted: true}.test)
	t.Run("some is lost", ending{syncEvery: 2500, end: dropSome, unsynced: true, rebooted: true}.test)
	t.Run("some is lost, with frequent syncs", ending{syncEvery: 20, end: dropSome, unsynced: true, rebooted: true}.test)
}

func TestKillLosesNothingAnswered(t *testing.T) {
	ending{syncEvery: 2500, end: (*crashfs.FS).Kill}.test(t)
}
