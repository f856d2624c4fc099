package topic

import (
	"math"
	"slices"
	"sync"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/internal/seqset"
	"qmq/message"
)

// fanout is how far a topic's log is committed and given to the channels, what of
// it is void, and which channels there are.
type fanout struct {
	o         *Options
	reclaimer *reclaimer

	// mu guards what follows. Under it the channels' locks are taken, and what they
	// take, and the log's.
	mu               sync.Mutex
	end              uint64 // one past the last committed message
	fanOut           uint64 // what is below has been given to the channels
	journalledFanOut uint64 // the fan-out position that the journal knows
	voids            []seqset.Range

	members []*member // in the order in which they came; never changed in place, but appended to
	ready   int       // of the members, those whose creation is journalled
	// detached is out of the fan-out, but comes in when its creation is journalled:
	// what it has may not be reclaimed.
	detached *channel.Channel

	paused     bool
	learning   bool // until Release: its channels elsewhere are being learnt
	asking     bool // the journal is asked about a change that needs the fan-out position to stand
	catchingUp bool // the log is read for deferred messages that were committed while the position stood
	// lateDelayed is the deferred messages that were committed while catchingUp.
	lateDelayed []message.Mark
	// only is the messages for one channel that were committed and not given to the
	// channels.
	only []message.Only

	closed  bool // there are no new channels
	dropped bool // what the topic holds is not wanted any more

	maxChannels int    // that there are when another one is made; 0: no limit
	limitedBy   string // the option or setting that says maxChannels

	occupancy occupancy
	discarded [2]uint64      // messages that were dropped or had expired
	untold    []seqset.Range // dropped or expired, and not journalled as such

	messages, bytes uint64
	lost            uint64 // messages of an ephemeral topic that there was no room for
}

// commit makes what was appended visible, which is so much, of which so much was promised. Numbers before it that no group had are
// of groups that were refused and that the log holds all the same: they are void.
func (f *fanout) commit(added diskqueue.Appended, bodyBytes uint64, bytes int, promised load) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped {
		return channel.ErrExiting
	}
	if added.First > f.end {
		f.addVoids([]seqset.Range{{From: f.end, To: added.First}})
	}
	f.end = added.End
	f.count(int(added.End-added.First), bodyBytes)
	f.only = append(f.only, added.Only...)
	f.occupy(load{int64(added.End - added.First), int64(bytes)}, promised)
	f.reclaimer.noteThreshold() // first: a channel that gets through at once must find it
	switch {
	case f.catchingUp:
		f.lateDelayed = append(f.lateDelayed, deferredOnes(added.Marks)...)
	case !f.fanOutHeld():
		f.advance(added.End, deferredOnes(added.Marks))
	}
	return nil
}

// refused makes what the log holds behind what is committed, up to end, void at
// once, not only with the next commit: a segment that was synced before another one
// failed keeps what its publishers were refused, and a restart finds it there.
func (f *fanout) refused(end uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if end > f.end && !f.dropped {
		f.addVoids([]seqset.Range{{From: f.end, To: end}})
	}
	f.reclaimer.noteThreshold()
}

// count counts messages that were published. The caller holds f.mu.
func (f *fanout) count(messages int, bodyBytes uint64) {
	f.messages += uint64(messages)
	f.bytes += bodyBytes
}

// fanOutHeld says that the fan-out position does not follow the end. The caller
// holds f.mu.
func (f *fanout) fanOutHeld() bool { return f.learning || f.catchingUp || f.asking || f.noConsumers() }

// noConsumers says that nobody takes the topic's messages, for as long as it may
// be. The caller holds f.mu.
func (f *fanout) noConsumers() bool { return f.paused || f.ready == 0 }

// advance moves the fan-out position. The caller holds f.mu.
func (f *fanout) advance(to uint64, delayed []message.Mark) {
	f.fanOut = to
	if len(f.only) > 0 {
		f.passOver(to)
	}
	for _, m := range f.members {
		m.channel.Advance(to, delayed)
	}
}

// passOver has the channels that messages below to are not for pass them over. The
// caller holds f.mu.
func (f *fanout) passOver(to uint64) {
	n := slices.IndexFunc(f.only, func(o message.Only) bool { return o.Seq >= to })
	if n < 0 {
		n = len(f.only)
	}
	for _, m := range f.members {
		var others []seqset.Range
		for _, o := range f.only[:n] {
			if m.channel.Name() != o.Channel {
				others = append(others, seqset.Range{From: o.Seq, To: o.Seq + 1})
			}
		}
		m.channel.VoidAll(others)
	}
	f.only = f.only[n:]
}

// update makes a change after which the fan-out position may have to move, and
// moves it: what is committed in between must not overtake. The caller holds
// Topic.changing.
func (f *fanout) update(change func()) {
	if from, to, behind := f.beginCatchUp(change); behind {
		f.endCatchUp(f.delayed(from, to), nil)
	}
}

// beginCatchUp makes a change and says what the fan-out position has to pass: it
// stands until endCatchUp.
func (f *fanout) beginCatchUp(change func()) (from, to uint64, behind bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.catchingUp = !f.fanOutHeld() && f.fanOut < f.end
	return f.fanOut, f.end, f.catchingUp
}

// endCatchUp moves the fan-out position to the end if it may. delayed is the
// deferred messages up to where the end was. The newcomer, if any, has nothing of
// them yet, and gets also those below the position.
func (f *fanout) endCatchUp(delayed []message.Mark, newcomer *channel.Channel) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catchingUp = false
	delayed = append(delayed, f.lateDelayed...)
	f.lateDelayed = nil
	if newcomer != nil {
		newcomer.Advance(f.fanOut, delayed)
	}
	if !f.fanOutHeld() && f.fanOut < f.end {
		f.advance(f.end, delayed)
	}
}

// delayed lists the log's deferred messages of a range. A range that cannot be
// read is reported and its messages are delivered without their delay: late is
// not lost, and early is better than never.
func (f *fanout) delayed(from, to uint64) []message.Mark {
	delayed, err := f.o.Log.Marks(from, to)
	if err != nil {
		f.o.Common.Logger.Error("deferred messages lose their delay", "topic", f.o.Name, "error", err)
	}
	return deferredOnes(delayed)
}

// onlyIn lists the log's messages of a range that are for one channel. Where that cannot be
// read the others count them until they come to them, and pass them over.
func (f *fanout) onlyIn(from, to uint64) []message.Only {
	only, err := f.o.Log.Only(from, to)
	if err != nil {
		f.o.Common.Logger.Warn("messages that are for one channel count for the others", "topic", f.o.Name, "error", err)
	}
	return only
}

// others are the numbers of a range whose messages are for another channel than that of a
// name.
func (f *fanout) others(name string, from, to uint64) (list []seqset.Range) {
	for _, o := range f.onlyIn(from, to) {
		if o.Channel != name {
			list = append(list, seqset.Range{From: o.Seq, To: o.Seq + 1})
		}
	}
	return list
}

// deferredOnes are those of marks that are of deferred messages; others expire.
func deferredOnes(marks []message.Mark) []message.Mark {
	if !slices.ContainsFunc(marks, atOnce) {
		return marks
	}
	return slices.DeleteFunc(slices.Clone(marks), atOnce)
}

func atOnce(m message.Mark) bool { return m.DeliverAt == 0 }

// hold has the fan-out position stand where it is until an update that ends it,
// and returns it.
func (f *fanout) hold() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking = true
	return f.fanOut
}

// holdIfLast is hold where there is one channel alone, and says whether. The
// caller holds Topic.changing.
func (f *fanout) holdIfLast() (position uint64, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking = len(f.members) == 1
	return f.fanOut, f.asking
}

// release undoes hold. The caller holds Topic.changing.
func (f *fanout) release() { f.update(func() { f.asking = false }) }

// setPaused ends a hold with the pause that it was for, or ends a pause. The caller
// holds Topic.changing.
func (f *fanout) setPaused(paused bool) {
	f.update(func() { f.paused, f.asking = paused, false })
}

func (f *fanout) isPaused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paused
}

// endLearning has the position move, unless the topic is closed. The caller holds
// Topic.changing.
func (f *fanout) endLearning() {
	f.update(func() { f.learning = f.learning && f.closed })
}

// journalled notes a fan-out position that the journal has.
func (f *fanout) journalled(position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journalledFanOut = max(f.journalledFanOut, position)
}

// position is the fan-out position.
func (f *fanout) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fanOut
}

// committed is one past the last committed message.
func (f *fanout) committed() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// limitWithoutConsumers is how many more messages an ephemeral topic takes while nobody
// takes them from it; the largest number while somebody does.
func (f *fanout) limitWithoutConsumers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.noConsumers() {
		return math.MaxInt
	}
	return max(1, f.o.Common.MemQueueSize) - int(f.end-f.fanOut)
}

// countDropped counts messages that an ephemeral topic has no room for.
func (f *fanout) countDropped(messages int, bodyBytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(messages, bodyBytes)
	f.lost += uint64(messages)
}

// unjournalled says whether the journal has to be told of the fan-out position:
// it does not know it, and no channel that is journalled moves it.
func (f *fanout) unjournalled(journals func(channel string) bool) (position uint64, unknown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fanOut <= f.journalledFanOut {
		return 0, false
	}
	for _, m := range f.members {
		if journals(m.channel.Name()) {
			return 0, false // the position of what moves with a channel is the end
		}
	}
	return f.fanOut, true
}

// waitingRange is what is committed and not given to the channels.
func (f *fanout) waitingRange() seqset.Range {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seqset.Range{From: f.fanOut, To: f.end}
}

// empty makes what waitingRange returned void, and passes it: the position stood,
// or nothing would have waited.
func (f *fanout) empty(r seqset.Range) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addVoids([]seqset.Range{r})
	f.advance(r.To, nil)
}

// limitChannels has there be so many channels at most when another one is made; 0: no
// limit; by is the option or setting that says so.
func (f *fanout) limitChannels(most int, by string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.maxChannels, f.limitedBy = most, by
}

// drop says that nobody wants what the topic holds.
func (f *fanout) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = true
}
