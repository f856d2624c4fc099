// Package channel decides who gets which message of a topic, and when. A
// channel is a cursor into the topic's log plus what is known about messages
// near it: which are acknowledged, in flight or deferred, and how often each
// was tried; it holds no body. A pure core decides, with time passed in, and a
// thin shell around it locks, reads the clock, wakes consumers and reads
// bodies outside the lock.
//
// The package starts no goroutine: work is done by the sessions that call it
// and, when a deadline passes, by the goroutine of the deadline queue.
package channel

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qmq/internal/clock"
	"qmq/internal/deadline"
	"qmq/internal/quantile"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

var (
	// ErrNotInFlight answers for a message that is not in flight (any more).
	ErrNotInFlight = errors.New("ID not in flight")
	// ErrNotOwner answers for a message that another consumer has in flight.
	ErrNotOwner = errors.New("client does not own message")
	// ErrExiting means that the channel, its topic or the whole node is on its way
	// out: it was deleted, or the daemon stops.
	ErrExiting = errors.New("exiting")
	// ErrTooManyConsumers refuses a consumer beyond Options.MaxConsumers.
	ErrTooManyConsumers = errors.New("too many consumers")
)

// Options of a channel.
type Options struct {
	Name                          string
	Incarnation, TopicIncarnation uint64
	*Common

	// IDPrefix, 10 bits, is what the ids of the topic's messages begin with,
	// whatever node serves it.
	IDPrefix uint16

	// Messages is where Stats.MessageCount begins.
	Messages uint64

	// EphemeralLimit above 0 makes the channel ephemeral: with that many
	// messages waiting, newer ones count as acknowledged at once.
	EphemeralLimit int

	// Journal is told, with the channel's lock held, that the channel has
	// changes; nil for a channel that is not journalled.
	Journal interface{ Mark(state.Source) }

	// Host is the channel's topic.
	Host Host
}

// Host is the topic of a channel, as the channel sees it. Its methods but
// Spent are called with no lock of the channel held, and by several goroutines at once.
type Host interface {
	// NewReader makes a consumer's Reader, when it first takes something, or
	// one for a Peek.
	NewReader() Reader
	// Moved is called after a consumer's Answer, which may have finished
	// messages, and after a Take that moved the floor or the cursor. Calls may
	// overtake each other. After Advance, Void and Empty the caller looks for
	// itself.
	Moved(floor uint64)
	// Lost is called when messages in [from, to) turn out to be lost; it is to
	// call Void on every channel of the topic.
	Lost(from, to uint64)
	// ReadFailed is called with each error that keeps messages of the channel
	// of that name from being read for now, and with nil when they can be read
	// again.
	ReadFailed(channel string, err error)
	// Spent is called when messages of c are to go to the dead-letter topic: the host
	// is to have SendDeadLetters called, once, by a goroutine of its own. It must not
	// wait. A topic's lock may be held.
	Spent(c *Channel)
	// Done is called when the channel, a bounded one, has had everything, and again when it
	// has after a rewind. It must not wait. A topic's lock may be held.
	Done()
}

// Common is what the channels of a node have in common. It must not be changed
// once a channel has it.
type Common struct {
	Clock     *clock.Clock
	Deadlines *deadline.Queue

	MsgTimeout    time.Duration // of consumers that ask for none
	MaxMsgTimeout time.Duration // the longest time in flight, touched or not
	MaxReqTimeout time.Duration // the longest delay of a requeue
	MaxConsumers  int           // 0 = no limit

	// LatencyWindow is over how long the times from publish to FIN are kept;
	// 0 = not at all.
	LatencyWindow time.Duration
}

// Channel gives out the messages of a topic to its consumers. All methods may
// be called concurrently, except that calls of Advance must not overlap.
type Channel struct {
	o Options // never changed

	// Copies of the core's, for whom a position of a moment ago will do. They
	// are written with mu held.
	floor, cursor atomic.Uint64
	// failing says that messages could not be read, and that the host knows.
	// It is set with mu held; whoever clears it tells the host.
	failing atomic.Bool

	// mu guards the fields below, what they point to, and the holder of each
	// consumer. It is held across no I/O, no wake and no call but Journal.Mark,
	// the timer's Arm and Stop, and Host.Spent and Done.
	mu        sync.Mutex
	core      *core
	timer     *deadline.Timer        // nil until there is a deadline
	consumers map[*Consumer]struct{} // nil until there is one
	away      int                    // how many of them are, see Consumer.SetAway
	version   uint64                 // of the last Changes
	marked    bool                   // the journal knows of changes that it has not asked for

	latency *quantile.Window // nil where no percentiles are wanted

	ages atomic.Pointer[ages] // nil before the first message was taken; needs no lock
}

// New makes a channel that gets the messages from start on.
func New(o Options, start uint64) *Channel {
	return build(o, newCore(o.limits(), start), 0)
}

// NewBounded is New of a channel that gets the messages below until alone; 0: all.
func NewBounded(o Options, start, until uint64) *Channel {
	core := newCore(o.limits(), start)
	core.endAt(until)
	return build(o, core, 0)
}

// Restore makes a channel from what the journal remembers of it; voids are the
// topic's void ranges and delayed all delayed messages of the log below
// fanOut, ascending, at least from the channel's floor on. The pause and the settings are the
// caller's to restore: what is spent waits for a Configure.
func Restore(o Options, st *state.Channel, fanOut uint64, voids []seqset.Range, delayed []message.Mark) *Channel {
	core := restoreCore(o.limits(), o.Clock.Now(), st, fanOut, voids, delayed, -wallShift(o.Clock))
	if st.Rewound > 0 {
		core.ownConf().rewound = st.Rewound
	}
	return build(o, core, st.Version)
}

func build(o Options, core *core, version uint64) *Channel {
	core.messages = o.Messages
	c := &Channel{o: o, core: core, version: version}
	if o.LatencyWindow > 0 {
		c.latency = quantile.NewWindow(o.LatencyWindow)
	}
	c.mu.Lock()
	c.unlock()
	return c
}

func (o *Options) limits() limits {
	return limits{
		waiting:    o.EphemeralLimit,
		maxTimeout: int64(o.MaxMsgTimeout),
		maxDelay:   int64(o.MaxReqTimeout),
		journalled: o.Journal != nil,
	}
}

// wallShift is what added to a steady time in ms makes it wall-clock time. It
// is rounded so that a time comes back as it was stored.
func wallShift(c *clock.Clock) int64 {
	return time.Duration(c.ToWall(0)).Round(time.Millisecond).Milliseconds()
}

// unlock ends every change of the core: it publishes the positions, tells the
// journal, arms the timer and, with mu given up, wakes whom the core names. It
// says whether a position moved.
func (c *Channel) unlock() (moved bool) {
	c.core.settleDoomed()
	moved = c.publishPositions()
	if c.core.pending.dirty && !c.marked && !c.core.closed {
		c.marked = true
		c.o.Journal.Mark(c)
	}
	c.armTimer()
	if c.core.conf != unconfigured {
		c.tellHost()
	}
	h := c.core.wakeNext()
	if h == nil {
		c.mu.Unlock()
		return moved
	}
	k := h.consumer
	k.wakes.Add(1) // k has not left: Close waits for it
	c.mu.Unlock()
	k.wake()
	k.wakes.Done()
	return moved
}

// tellHost tells the host what it is to do.
func (c *Channel) tellHost() {
	if c.core.beginSending() {
		c.o.Host.Spent(c)
	}
	if c.core.becomesDone() {
		c.o.Host.Done()
	}
}

// unlockAndTell is unlock where the host does not look for itself.
func (c *Channel) unlockAndTell() {
	if c.unlock() {
		c.o.Host.Moved(c.Floor())
	}
}

// publishPositions copies the core's positions, and says whether one moved.
func (c *Channel) publishPositions() (moved bool) {
	floor, cursor := c.core.floor(), c.core.cursor
	if floor == c.floor.Load() && cursor == c.cursor.Load() {
		return false
	}
	c.floor.Store(floor)
	c.cursor.Store(cursor)
	return true
}

// armTimer sees to it that expire is called when the core has to be.
func (c *Channel) armTimer() {
	at := c.core.next()
	if at == math.MaxInt64 || c.core.closed {
		return
	}
	if c.timer == nil {
		c.timer = c.o.Deadlines.NewTimer(c.expire)
	}
	c.timer.Arm(at)
}

// expire is the timer's function.
func (c *Channel) expire(now int64) {
	c.mu.Lock()
	if c.core.closed {
		c.mu.Unlock()
		return
	}
	c.core.expire(now)
	recovered := c.failing.Load() && c.allReadable()
	c.unlock()
	if recovered {
		c.o.Host.ReadFailed(c.o.Name, nil)
	}
}

// Advance tells the channel that it may give out the messages below fanOut,
// and which of the new ones are delayed, ascending. The topic's lock is held.
func (c *Channel) Advance(fanOut uint64, delayed []message.Mark) {
	now, shift := int64(0), int64(0)
	if len(delayed) > 0 {
		now, shift = c.o.Clock.Now(), wallShift(c.o.Clock)
	}
	c.mu.Lock()
	if c.core.closed {
		c.mu.Unlock()
		return
	}
	c.core.advance(now, fanOut, delayed, -shift)
	c.unlock()
}

// Void makes the numbers in [from, to) count as acknowledged for ever. They
// may lie beyond the fan-out position; numbers that never were messages have
// to be void before Advance passes them, or MessageCount counts them.
func (c *Channel) Void(from, to uint64) { c.VoidAll([]seqset.Range{{From: from, To: to}}) }

// VoidAll is Void for ranges, ascending and disjoint.
func (c *Channel) VoidAll(list []seqset.Range) {
	c.mu.Lock()
	c.core.voidAll(list)
	c.tellReadable()
	c.unlock()
}

// tellReadable has the host told, by expire, without locks, if all that could not be read is
// gone. The channel's lock is held.
func (c *Channel) tellReadable() {
	if c.failing.Load() && c.core.readable() && c.timer != nil && !c.core.closed {
		c.timer.Arm(0)
	}
}

// Empty acknowledges everything below the fan-out position and below upTo: what
// waits, what is deferred and what is in flight. What is from upTo on stays.
func (c *Channel) Empty(upTo uint64) {
	c.mu.Lock()
	c.core.emptyBelow(upTo)
	c.core.readAgain() // what could not be read is gone
	c.unlock()
	if c.failing.Swap(false) {
		c.o.Host.ReadFailed(c.o.Name, nil)
	}
}

// Floor is the smallest number that is not acknowledged, at most Cursor.
func (c *Channel) Floor() uint64 { return c.floor.Load() }

// Cursor is the smallest number that was neither given out nor deferred; all
// below it have been. It goes back when a Take cannot hand out what it reserved.
func (c *Channel) Cursor() uint64 { return c.cursor.Load() }

// Name is the channel's name.
func (c *Channel) Name() string { return c.o.Name }

// Incarnation is the channel's incarnation.
func (c *Channel) Incarnation() uint64 { return c.o.Incarnation }

// Pause stops delivery; what is in flight may still be answered.
func (c *Channel) Pause() { c.setPaused(true) }

// Unpause resumes delivery.
func (c *Channel) Unpause() { c.setPaused(false) }

func (c *Channel) setPaused(paused bool) {
	c.mu.Lock()
	c.core.paused = paused
	c.unlock()
}

// Paused says whether delivery is stopped.
func (c *Channel) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.paused
}

// Close ends the channel: its consumers are told, and later calls fail with
// ErrExiting or do nothing. The state stays for a last Changes or Snapshot.
func (c *Channel) Close() {
	c.mu.Lock()
	consumers := c.end()
	c.mu.Unlock()
	for _, k := range consumers {
		if k.closed != nil {
			k.closed()
		}
	}
}

// CloseIfAbandoned closes the channel if it has no consumer, and says whether
// it did.
func (c *Channel) CloseIfAbandoned() bool {
	c.mu.Lock()
	abandoned := !c.core.closed && len(c.consumers) == 0
	if abandoned {
		c.end()
	}
	c.mu.Unlock()
	return abandoned
}

// end closes the core and returns the consumers to be told, the first time.
// mu is held.
func (c *Channel) end() []*Consumer {
	if c.core.closed {
		return nil
	}
	c.core.closed = true // nobody is woken any more
	if c.timer != nil {
		c.timer.Stop()
	}
	return slices.Collect(maps.Keys(c.consumers))
}

// Changes is the channel's part of state.Source.
func (c *Channel) Changes(full bool) state.ChannelChanges {
	c.mu.Lock()
	c.version++
	c.marked = false
	d := c.core.takeChanges(full, wallShift(c.o.Clock))
	version := c.version
	c.mu.Unlock()
	return c.sign(d, version)
}

// Snapshot is the channel's part of state.Source.
func (c *Channel) Snapshot() state.ChannelChanges {
	c.mu.Lock()
	d := c.core.snapshot(wallShift(c.o.Clock))
	version := c.version
	c.mu.Unlock()
	return c.sign(d, version)
}

// sign finishes d and says whose it is.
func (c *Channel) sign(d draft, version uint64) state.ChannelChanges {
	ch := d.finish()
	ch.Topic, ch.Channel, ch.Version = c.o.TopicIncarnation, c.o.Incarnation, version
	return ch
}
