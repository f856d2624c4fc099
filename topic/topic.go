// Package topic is a topic: its log, the position up to which the log has been
// given to the channels, and the channels. It decides when a publish may be
// OK'd and when the log is synced. Who gets which message of a channel is the
// channel's business.
//
// A Topic is made of parts, each with a lock of its own: in the pipeline publishers
// wait for one another, a Committer puts what they have into the log, the fanout
// knows what of it the channels have, and the reclaimer gives it back.
//
// Publishing goroutines write the log themselves, one at a time for all that
// wait. The only goroutine of a topic is the one that syncs; it lives while
// there is something to sync.
//
// Of a replicated topic this node is the one that serves the channels, for the time
// being: somebody else appends to the log, syncs it and gives its segments up, and
// tells the topic with Committed.
package topic

import (
	"errors"
	"log/slog"
	"math"
	"sync/atomic"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/internal/turn"
	"qmq/settings"
	"qmq/state"
)

// ErrNoChannel means that the topic has no channel of that name.
var ErrNoChannel = errors.New("no such channel")

// Options configure a topic.
type Options struct {
	Name        string
	Incarnation uint64
	IDPrefix    uint16 // what the ids of its messages begin with, see channel.Options
	// Ephemeral topics are not journalled; while nobody takes their messages
	// at most MemQueueSize are kept.
	Ephemeral bool
	// Held topics give no message out before Release.
	Held bool

	Log   *diskqueue.Log
	Sync  SyncPolicy // of a log that is the topic's own
	State StateLog

	// Replicated says that the log is not the topic's own: it is read alone, and what
	// is appended to it comes with Committed. Such a topic is made with Restore, from
	// the state of the moment at which its log ended at End.
	Replicated bool
	End        uint64
	// Doubles is what is known of the doubles of a replicated topic, but for how many and how
	// long; nil: nothing.
	Doubles func() DedupStats

	Common *Common
}

// Common is what the topics of a node, or of a shard, have in common. It must not be changed
// once a topic has it. Its functions are called with no lock that topics need
// for publishing or delivery.
type Common struct {
	Channels       *channel.Common // what also their channels have in common
	NewIncarnation func() uint64   // for channels
	MemQueueSize   int             // of ephemeral channels

	MaxChannels  int   // of a topic that says nothing else; 0: no limit
	MaxIDs       int64 // by which doubles of a topic are known, at most; 0: as many as there may be
	NoAutoCreate bool  // ChannelForClient makes none

	// Settings are what patterns say of topics and channels; nil: nothing.
	Settings *settings.Rules
	// ReplicaSync is when a publish to a replicated topic is OK'd; empty: Always.
	ReplicaSync settings.Sync

	// Cleaner gives the files of what is finished back. FreeSpace is called when the
	// disk is full, and says whether it gave anything back. Both are for logs that are
	// the topics' own.
	Cleaner   *Cleaner
	FreeSpace func() bool

	// DeadLetters publishes what channels give up; nil: it stays.
	DeadLetters *DeadLetters
	// RouteDeadLetters is called, with Topic.changing held, before the dead letters of a
	// channel go to a topic, which it makes if need be. It says why they may not. Until
	// done is called no other route is made. Nil: they may go anywhere.
	RouteDeadLetters func(topic, channel, to string) (done func(), err error)

	// FailureChanged is called when the topic's Failure has changed: its log refuses
	// to be written, or a Probe succeeded. Calls may overtake each other.
	FailureChanged func(*Topic)
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
	// RegisterChannel and UnregisterChannel are called when a channel came or went,
	// in that order for each name. They must neither wait nor call the topic.
	RegisterChannel, UnregisterChannel func(t *Topic, channel string)

	Logger *slog.Logger
}

// Topic is one topic. All methods may be called concurrently.
type Topic struct {
	o Options // never changed, as the parts' pointers to one another

	// changing serialises changes of what channels there are and whether they
	// are paused. It is held across the journal's write and never taken by
	// publishing or delivery.
	changing turn.Turn

	// config is what is set and in force; it is written with changing held.
	config atomic.Pointer[configured]

	pipeline  pipeline
	fanout    fanout
	reclaimer reclaimer
	limiter   limiter
	expiry    expiry
	keeper    keeper
	// background is nil where no log is synced behind the publishes. It is written with
	// changing held and nobody at the log.
	background atomic.Pointer[backgroundSync]
	// doubles is nil where they are not known, and of a replicated topic. It is written with
	// changing held.
	doubles atomic.Pointer[doubles]
	opened  uint64 // where the log, if it is the topic's own, went on after the start
}

// New makes a topic without channels on an empty log.
func New(o Options) *Topic {
	t := compose(o, o.configured(settings.Topic{}))
	t.fanout.learning = o.Held
	return t
}

// compose puts the parts together, as those of a topic without channels.
func compose(o Options, c *configured) *Topic {
	t := &Topic{o: o}
	end := o.End
	if !o.Replicated {
		end = o.Log.End()
	}
	t.reclaimer.o, t.reclaimer.fanout, t.reclaimer.log = &t.o, &t.fanout, o.Log
	t.fanout.o, t.fanout.reclaimer = &t.o, &t.reclaimer
	t.fanout.end, t.fanout.fanOut, t.fanout.journalledFanOut = end, end, end
	t.limiter.o, t.limiter.fanout, t.limiter.log, t.limiter.reclaimer = &t.o, &t.fanout, o.Log, &t.reclaimer
	t.expiry.o, t.expiry.fanout, t.expiry.log, t.expiry.reclaimer = &t.o, &t.fanout, o.Log, &t.reclaimer
	t.keeper.t, t.limiter.later = t, t.keeper.by
	t.reclaimer.retireAt.Store(math.MaxInt64)
	t.reclaimer.retireLater = t.keeper.by
	t.reclaimer.keepIDs = t.keepIDs
	t.configure(c)
	t.reclaimer.logChanged()
	p := &t.pipeline
	p.o, p.fanout, p.limiter, p.idle.L = &t.o, &t.fanout, &t.limiter, &p.mu
	p.committed = t.committed
	p.failureChanged = func() { t.o.Common.FailureChanged(t) }
	if o.Replicated {
		p.failed = ErrReplicated
		return t
	}
	t.opened = end
	p.committer = t.committerFor(c.Sync)
	t.know(c)
	if c.DedupWindow == 0 && !o.Ephemeral {
		removeIDs(o.Log.Dir())
	}
	return t
}

// Restore makes a topic from what the journal and the log know of it.
func Restore(o Options, st *state.Topic) *Topic {
	t := compose(o, o.restored(st.Settings))
	f := &t.fanout // nobody else knows it yet
	f.paused = st.Paused
	f.voids = t.voids(st)
	f.fanOut, f.journalledFanOut = min(st.FanOut, f.end), st.FanOut
	if len(st.Channels) > 0 && !st.Paused {
		f.fanOut = f.end
	}
	f.only = f.onlyIn(f.fanOut, f.end)
	f.messages, f.bytes = st.Messages, st.Bytes
	came := st.Messages - min(st.Messages, uint64(f.waiting(f.fanOut, f.end)))
	for _, cs := range st.Channels {
		floor := min(cs.Acked.Floor(), f.fanOut)
		o := t.channelOptions(cs.Name, cs.Incarnation)
		o.Messages = came - min(came, cs.Missed)
		c := channel.Restore(o, cs, f.fanOut, seqset.Union(f.voids, f.others(cs.Name, floor, f.fanOut)), f.delayed(floor, f.fanOut))
		if cs.Paused {
			c.Pause()
		}
		m := &member{channel: c, ready: true, never: cs.Never}
		m.leaves.Store(cs.Leaves)
		m.restore(&t.o, cs.Settings)
		f.mu.Lock() // a channel that is done has the keeper look already
		f.members = append(f.members, m)
		f.ready++
		f.mu.Unlock()
		t.o.State.Attach(c)
	}
	t.expiry.reschedule()
	t.keeper.by(t.keep())
	t.reclaimer.reclaim()
	t.reclaimer.watch()
	if f.unfinished() > 0 {
		t.background.Load().wrote(1) // what a killed process left; after a clean stop there is nothing to do
	}
	return t
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.o.Name }

// Incarnation tells this topic from others that had or will have its name.
func (t *Topic) Incarnation() uint64 { return t.o.Incarnation }

// Ephemeral says whether the topic lives in memory only.
func (t *Topic) Ephemeral() bool { return t.o.Ephemeral }

// Probe tries whether the log can be written again after it failed, and if so
// takes publishes again. One goroutine at a time may call it. Its error is that
// of the log, or channel.ErrExiting.
func (t *Topic) Probe() error {
	if t.o.Replicated {
		return nil
	}
	return t.pipeline.probe()
}

// Failure is why the topic takes no publish before a Probe succeeds; nil when it
// does, or when it ends, or when the log is not its own.
func (t *Topic) Failure() error {
	if t.o.Replicated {
		return nil
	}
	return t.pipeline.failure()
}

// Refuse refuses publishes and new channels from now on. It waits for a change of
// the channels that is under way, and with it for the journal, but for no publish.
func (t *Topic) Refuse() {
	t.changing.Lock() // a channel that is being created is there afterwards
	defer t.changing.Unlock()
	t.fanout.close()
	t.pipeline.close()
	t.background.Load().close()
}

// Retire is Refuse that waits for the publishes under way. The channels go on with what
// there is.
func (t *Topic) Retire() {
	t.Refuse()
	t.pipeline.drain()
}

// Stop refuses publishes and new channels from now on, waits for those under
// way and closes the consumers. What the channels know can still be asked for. The
// log of a replicated topic is not touched.
func (t *Topic) Stop() (err error) {
	t.Refuse()
	t.pipeline.drain()
	if t.pipeline.committer != nil {
		err = t.pipeline.committer.Close()
	}
	t.fanout.closeChannels()
	t.keeper.stop()
	if !t.o.Replicated { // else somebody else decides from now on
		t.tellVoids()
	}
	t.reclaimer.stop()
	return err
}

// Drop ends a topic whose messages nobody wants any more: publishes that wait
// for the disk are refused, the consumers are closed. It waits for nothing but
// what Refuse waits for: Discard waits for the disk.
func (t *Topic) Drop() {
	t.Refuse()
	if !t.o.Replicated {
		t.o.Log.Abandon()
	}
	t.fanout.drop()
	t.pipeline.drop()
	t.fanout.closeChannels()
}

// CloseIfAbandoned refuses publishes and new channels from now on if the topic
// has no channel, and says whether it does.
func (t *Topic) CloseIfAbandoned() bool {
	abandoned := t.fanout.closeIfEmpty()
	if abandoned {
		t.pipeline.close()
	}
	return abandoned
}

// FanOutEntry is what the journal has to be told so that a restart finds the
// fan-out position of a stopped topic; needed is false when it knows.
func (t *Topic) FanOutEntry() (e state.Entry, needed bool) {
	position, unknown := t.fanout.unjournalled(t.journals)
	if t.o.Ephemeral || !unknown {
		return e, false
	}
	return state.Entry{Op: state.SetFanOut, Topic: t.o.Incarnation, FanOut: position}, true
}

// Close stops the topic, syncs what is written and closes the log, which is its own.
func (t *Topic) Close() error { return errors.Join(t.Stop(), t.o.Log.Close()) }

// Discard drops the topic, waits for what is under way and closes the log, which is
// its own, without syncing it: its files are about to be removed.
func (t *Topic) Discard() {
	t.Drop()
	_ = t.Stop() // what is not committed is of no interest
	t.o.Log.Discard()
}
