// Package topic is a topic: its log, the position up to which the log has been
// given to the channels, and the channels. It decides when a publish may be
// OK'd and when the log is synced. Who gets which message of a channel is the
// channel's business.
//
// Publishing goroutines write the log themselves, one at a time for all that
// wait. The only goroutine of a topic is the one that syncs; it lives while
// there is something to sync.
package topic

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/deadline"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// ErrNoChannel means that the topic has no channel of that name.
var ErrNoChannel = errors.New("no such channel")

// Options configure a topic.
type Options struct {
	Name        string
	Incarnation uint64
	// Ephemeral topics are not journalled; while nobody takes their messages
	// at most MemQueueSize are kept.
	Ephemeral bool
	// Held topics give no message out before Release.
	Held bool
	Log  *diskqueue.Log
	*Common
}

// Common is what the topics of a node have in common. It must not be changed
// once a topic has it.
type Common struct {
	*channel.Common // also of their channels
	Journal         Journal
	NewIncarnation  func() uint64 // for channels

	// SyncEvery records after the last sync, or SyncTimeout after the first of
	// them, the log is synced in the background. With SyncEvery 1 no publish
	// is OK'd before it is synced.
	SyncEvery   int64
	SyncTimeout time.Duration

	MemQueueSize int // of ephemeral channels

	MaxChannels  int  // of a topic; 0: no limit
	NoAutoCreate bool // ChannelForClient makes none

	// Cleaner gives the files of what is finished back. MakeRoom is called, with
	// no lock held, when the disk is full, and says whether it gave anything back.
	Cleaner  *Cleaner
	MakeRoom func() bool

	// Failed is called when the log refuses to be written: the topic takes no
	// publish until a Probe succeeds. Then it is called with nil. The topic's
	// lock is held: it must not call the topic.
	Failed func(*Topic, error)
	// ReadFailed is called when messages of a channel cannot be read for now,
	// and with nil when they can be again.
	ReadFailed func(t *Topic, channel string, err error)
	// Damaged is called when messages among the numbers in [from, to) were found
	// to be lost for good, with how many.
	Damaged func(t *Topic, from, to, messages uint64)
	// Abandoned is called when the last channel of an ephemeral topic is gone.
	// It must not wait for the topic; CloseIfAbandoned says later whether the
	// topic may go.
	Abandoned func(*Topic)
	// Changed is called when a channel came or went or something was paused.
	Changed func()
	// Came and Went are called when a channel came or went, in that order for
	// each name. They must neither wait nor call the topic.
	Came, Went func(t *Topic, channel string)

	Logger *slog.Logger

	requests sync.Pool // of *request, that no publisher uses now
}

// Topic is one topic. All methods may be called concurrently.
type Topic struct {
	o Options

	// changing serialises changes of what channels there are and whether they
	// are paused. It is held across the journal's write and never taken by
	// publishing or delivery.
	changing sync.Mutex

	mu     sync.Mutex // guards what follows
	idle   sync.Cond  // signalled when pending shrinks or writing, syncing or probing ends
	failed error
	// failedBytes is the size of the write that failed last.
	failedBytes int
	closed      bool
	dropped     bool // what it holds is not wanted any more
	paused      bool
	writing     bool   // a publisher writes
	syncing     bool   // syncAll runs
	held        bool   // until the topic's channels are learnt
	probing     bool   // Probe is at the log
	catching    bool   // gather is at the log: the fan-out position stands meanwhile
	asking      bool   // the journal is asked about a change that needs the fan-out position to stand
	end         uint64 // one past the last committed message
	opened      uint64 // where the log went on after the start; never changes
	fanOut      uint64 // what is below has been given to the channels
	stoodAt     uint64 // the fan-out position that the journal knows
	voids       []seqset.Range
	channels    []*slot // in the order in which they came; never changed in place, but appended to
	ready       int     // channels whose creation is journalled
	// aside is out of the fan-out, but comes in when its creation is journalled:
	// what it has may not be let go.
	aside *channel.Channel
	// meanwhile is the deferred messages that were committed while catching.
	meanwhile []message.Mark

	pending      []*request // accepted, not written
	pendingBytes int
	lonely       int             // writes for which company is not waited for
	unsynced     []written       // strict mode: written, and the sync that counts has not begun
	inSync       []written       // strict mode: what the sync under way is for
	unsyncedLen  int64           // records written since the last sync began that somebody may need
	syncTimer    *deadline.Timer // nil before the first record
	noteTimer    *deadline.Timer // nil before the second
	noting       bool            // noteTimer runs

	messages, bytes uint64
	lost            uint64 // messages of an ephemeral topic that there was no room for

	reclaim   reclaimer
	groupBufs *groupBuffers // of the writing goroutine; nil before the first write
}

// slot is a channel of a topic. It counts once its creation is journalled.
type slot struct {
	channel *channel.Channel
	ready   bool
}

// New makes a topic without channels on an empty log.
func New(o Options) *Topic {
	t := newTopic(o)
	t.end = o.Log.End()
	t.opened = t.end
	t.fanOut, t.stoodAt = t.end, t.end
	t.held = o.Held
	return t
}

func newTopic(o Options) *Topic {
	t := &Topic{o: o}
	t.idle.L = &t.mu
	t.reclaim.init(t)
	return t
}

// Restore makes a topic from what the journal and the log know of it.
func Restore(o Options, st *state.Topic) *Topic {
	t := newTopic(o)
	t.paused = st.Paused
	t.end = o.Log.End()
	t.opened = t.end
	t.voids = seqset.Union(o.Log.Voids(), st.Voids)
	t.fanOut, t.stoodAt = min(st.FanOut, t.end), st.FanOut
	if len(st.Channels) > 0 && !st.Paused {
		t.fanOut = t.end
	}
	for _, cs := range st.Channels {
		floor := min(cs.Acked.Floor(), t.fanOut)
		delayed := t.delayed(floor, t.fanOut)
		c := channel.Restore(t.channelOptions(cs.Name, cs.Incarnation), cs, t.fanOut, t.voids, delayed)
		if cs.Paused {
			c.Pause()
		}
		t.channels = append(t.channels, &slot{channel: c, ready: true})
		t.ready++
		o.Journal.Attach(c)
	}
	t.reclaim.letGo()
	t.reclaim.moved(0)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.strict() && t.end > t.lowest() {
		t.noteUnsynced(1) // what a killed process left; after a clean stop there is nothing to do
	}
	return t
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.o.Name }

// Incarnation tells this topic from others that had or will have its name.
func (t *Topic) Incarnation() uint64 { return t.o.Incarnation }

// Ephemeral says whether the topic lives in memory only.
func (t *Topic) Ephemeral() bool { return t.o.Ephemeral }

// delayed lists the log's deferred messages of a range. A range that cannot be
// read is reported and its messages are delivered without their delay: late is
// not lost, and early is better than never.
func (t *Topic) delayed(from, to uint64) []message.Mark {
	delayed, err := t.o.Log.Marks(from, to)
	if err != nil {
		t.o.Logger.Error("deferred messages lose their delay", "topic", t.o.Name, "error", err)
	}
	return delayed
}

// refusal says why the topic takes no publish now. The caller holds t.mu.
func (t *Topic) refusal() error {
	if t.closed {
		return channel.ErrExiting
	}
	return t.failed
}

// probeBytes is how much a Probe writes at least, more after a larger write
// failed: enough that a disk with a few blocks
// left does not pass for one with room.
const probeBytes = 256 << 10

// Probe tries whether the log can be written again after it failed, and if so
// takes publishes again. One goroutine at a time may call it. Its error is that
// of the log, or channel.ErrExiting.
func (t *Topic) Probe() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return channel.ErrExiting
	}
	if t.failed == nil {
		return nil
	}
	t.probing = true
	size := max(probeBytes, t.failedBytes)
	t.mu.Unlock()
	err := t.o.Log.Probe(size)
	t.mu.Lock()
	// What was under way when the log failed ends first: a sync that failed may
	// still have to take writes back, and must not meet new ones.
	for err == nil && (t.writing || t.syncing) {
		t.idle.Wait()
	}
	t.probing = false
	t.idle.Broadcast()
	if err == nil {
		t.failed = nil
		t.o.Failed(t, nil)
	}
	return err
}

// fail stops the topic from taking publishes. One that is closed takes none in
// any case. The caller holds t.mu.
func (t *Topic) fail(err error) {
	if t.failed != nil || t.closed {
		return
	}
	t.failed = err
	t.o.Logger.Error("publishes are refused", "topic", t.o.Name, "error", err)
	t.o.Failed(t, err)
}

// Refuse refuses publishes and new channels from now on. It waits for no disk.
func (t *Topic) Refuse() {
	t.changing.Lock() // a channel that is being created is there afterwards
	defer t.changing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.idle.Broadcast()
}

// Stop refuses publishes and new channels from now on, waits for those under
// way and closes the consumers. What the channels know can still be asked for.
func (t *Topic) Stop() {
	t.Refuse()
	t.mu.Lock()
	for t.writing || t.syncing || t.probing || len(t.pending) > 0 {
		t.idle.Wait()
	}
	t.mu.Unlock()
	t.closeChannels()
	t.reclaim.stop()
}

// closeChannels ends the channels of a topic that takes no new ones.
func (t *Topic) closeChannels() {
	t.mu.Lock()
	channels := t.channels // not changed in place
	for _, timer := range []*deadline.Timer{t.syncTimer, t.noteTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
	t.mu.Unlock()
	for _, s := range channels {
		s.channel.Close()
	}
}

// Drop ends a topic whose messages nobody wants any more: publishes that wait
// for the disk are refused, the consumers are closed. It waits for no disk:
// Discard does.
func (t *Topic) Drop() {
	t.Refuse()
	t.o.Log.Abandon()
	t.mu.Lock()
	t.dropped = true
	t.refuseUnsynced(channel.ErrExiting)
	t.mu.Unlock()
	t.closeChannels()
}

// CloseIfAbandoned refuses publishes and new channels from now on if the topic
// has no channel, and says whether it does.
func (t *Topic) CloseIfAbandoned() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.channels) > 0 {
		return false
	}
	t.closed = true
	t.idle.Broadcast()
	return true
}

// Standing is what the journal has to be told so that a restart finds the
// fan-out position of a stopped topic; needed is false when it knows.
func (t *Topic) Standing() (e state.Entry, needed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.Ephemeral || t.fanOut <= t.stoodAt {
		return e, false
	}
	for _, s := range t.channels {
		if t.journals(s.channel.Name()) {
			return e, false // the position of what moves with a channel is the end
		}
	}
	return state.Entry{Op: state.SetFanOut, Topic: t.o.Incarnation, FanOut: t.fanOut}, true
}

// Close stops the topic, syncs what is written and closes the log.
func (t *Topic) Close() error {
	t.Stop()
	return t.o.Log.Close()
}

// Discard drops the topic, waits for what is under way and closes the log
// without syncing it: its files are about to be removed.
func (t *Topic) Discard() {
	t.Drop()
	t.Stop()
	t.o.Log.Discard()
}
