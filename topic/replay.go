package topic

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/message"
	"qmq/state"
)

// A channel may begin with what is in the log already, and an existing one may begin anew.
// Both owe then what everybody had finished: it must not be given up while the journal is
// asked. A stand-in that owes it from the first moment on sees to that, as a channel does
// that is learnt, and gathers what is void meanwhile.

var (
	// ErrChannelExists means that a channel cannot begin somewhere: it is there already.
	ErrChannelExists = errors.New("the channel exists already; it can be rewound")
	// ErrEphemeral means that nothing is kept that could be delivered again.
	ErrEphemeral = errors.New("a channel that is ephemeral, or of an ephemeral topic, cannot be rewound: nothing of it is kept")
)

// Start is where a channel begins, and ends.
type Start struct {
	From  Position
	Until Position // the first that does not come; the zero value: all come
	// Leaves has a bounded channel be deleted when it has had everything and has no consumers.
	Leaves bool
}

// Replay is how a channel that was created or rewound goes on.
type Replay struct {
	From      uint64 `json:"from"`                // number of the first message that comes
	Timestamp int64  `json:"timestamp,omitempty"` // of its publish, ns since 1970; 0: there is none yet
	// Oldest says that it is the oldest message that is still there: there may have been
	// older ones from the wanted position on.
	Oldest bool `json:"oldest"`
	// Retained says that the topic keeps messages that all have finished.
	Retained bool   `json:"retained"`
	Until    uint64 `json:"until,omitempty"` // number at which a bounded channel ends
	Messages int64  `json:"messages"`        // that wait for it, or are in flight again already
	// Joined says that it was done a moment ago, when it was asked for through another member
	// of the set: nothing was done again.
	Joined bool `json:"joined,omitempty"`
}

// CreateFrom makes a channel that gets what the log has from a position on. It returns once
// the creation is journalled. The error is also ErrChannelExists, a *PositionError, a
// *LimitError or ErrNoAutoCreate.
func (t *Topic) CreateFrom(name string, s Start) (r Replay, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	if _, ok := t.ExistingChannel(name); ok {
		return r, ErrChannelExists
	}
	if s.Until != (Position{}) && s.Until.before(s.From) {
		return r, s.Until.refused("lies before the beginning")
	}
	from, oldest, err := t.numberOf(s.From)
	if err != nil {
		return r, err
	}
	if s.Until != (Position{}) {
		if r.Until, _, err = t.numberOf(s.Until); err != nil {
			return r, err
		}
		if r.Until < from {
			return r, s.Until.refused("lies before the beginning")
		}
	}
	name = strings.Clone(name) // it may be a part of a whole request
	o := t.channelOptions(name, t.o.Common.NewIncarnation())
	o.EphemeralLimit = 0 // what it waits for is in the log, as others' is
	held, err := t.holdFrom(o, from, r.Until, nil)
	if err != nil {
		return r, err
	}
	c := held.owes
	t.o.configureNew(c)
	entry := t.channelEntry(state.CreateChannel, c)
	if entry.Op != 0 {
		entry.Name, entry.Start, entry.Void.From, entry.Unlearnt = name, held.start, r.Until, s.Leaves && r.Until > 0
	}
	agreed, err := t.commitHeld(held, entry)
	if err != nil {
		return r, err
	}
	c.VoidAll(seqset.Union(agreed.gone, []seqset.Range{{From: held.start, To: agreed.start}}))
	t.begun(c, held, s.Leaves && r.Until > 0)
	c.VoidAll(t.fanout.others(name, held.start, t.fanout.position()))
	return t.replayOf(c, r, max(from, agreed.start), oldest || agreed.start > from), nil
}

// begun takes in a channel whose creation is journalled.
func (t *Topic) begun(c *channel.Channel, held *heldPart, leaves bool) {
	if t.journals(c.Name()) {
		t.o.State.Attach(c)
	}
	end := t.fanout.admit(c, held.start)
	t.fanout.find(c.Name()).leaves.Store(leaves)
	t.owesAnew(int64(end - min(end, held.start)))
	t.o.Common.RegisterChannel(t, c.Name())
}

// owesAnew sees to it that what nobody needed until now is looked after.
func (t *Topic) owesAnew(messages int64) {
	t.fanout.recountNext()
	t.expiry.reschedule()
	t.keeper.begin()
	if b := t.background.Load(); b != nil {
		b.wrote(messages)
	}
}

// Rewind has a channel begin anew at a position. Its consumers stay, but deliveries under
// way end; what was given out before the position and is not done stays, and all that is
// void or was emptied stays void. It returns once that is journalled. The error is also
// ErrNoChannel, ErrEphemeral or a *PositionError.
func (t *Topic) Rewind(name string, p Position) (r Replay, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	m := t.fanout.find(name)
	switch {
	case m == nil:
		return r, ErrNoChannel
	case t.o.Ephemeral || names.IsEphemeral(name):
		return r, ErrEphemeral
	}
	c := m.channel
	to, oldest, err := t.numberOf(p)
	if err != nil {
		return r, err
	}
	if r.Until = c.Stats().Until; r.Until > 0 && to > r.Until {
		return r, p.refused("lies behind the end of the channel")
	}
	o := t.channelOptions(name, c.Incarnation())
	o.Journal = nil // it is for a moment
	t.fanout.hold()
	held, err := t.holdFrom(o, to, 0, m.never)
	if err != nil {
		t.fanout.release()
		return r, err
	}
	plan := c.PrepareRewind(held.start)
	agreed, err := t.commitHeld(held, state.RewindOf(t.o.Incarnation, c.Incarnation(), plan.Start, plan.Version, plan.Kept))
	if err != nil {
		return r, err
	}
	plan.Start = agreed.start
	voids := seqset.Union(held.voids(), agreed.gone, t.fanout.others(name, plan.Start, t.fanout.position()))
	delayed := t.fanout.delayed(plan.Start, t.fanout.position())
	waiting := t.fanout.rewind(c, plan, voids, delayed)
	t.owesAnew(int64(t.fanout.position() - min(t.fanout.position(), plan.Start)))
	r = t.replayOf(c, r, agreed.start, oldest || agreed.start > to)
	r.Messages = waiting // however many of them its consumers have finished by now
	return r, nil
}

// Replayed tells how a channel goes on that was created or rewound a moment ago and began at a
// number. The error is ErrNoChannel.
func (t *Topic) Replayed(name string, from uint64) (r Replay, err error) {
	c, ok := t.ExistingChannel(name)
	if !ok {
		return r, ErrNoChannel
	}
	r.Until = c.Stats().Until
	return t.replayOf(c, r, from, from <= t.o.Log.Start()), nil
}

// replayOf tells how a channel goes on.
func (t *Topic) replayOf(c *channel.Channel, r Replay, from uint64, oldest bool) Replay {
	s := c.Stats()
	r.From, r.Oldest, r.Retained, r.Messages = from, oldest, t.config.Load().Retains(), s.Depth+int64(s.Deferred+s.InFlight)
	l := t.Look()
	_, _ = l.Each(from, func(v message.View) error {
		r.From, r.Timestamp = v.Seq, v.Timestamp
		return errEnough
	})
	return r
}

// heldPart is a part of the log that is kept for a channel that is about to begin there.
type heldPart struct {
	start uint64
	owes  *channel.Channel // in the place of the one that will
}

// holdFrom keeps everything from a number on, as far back as it is there. Never are numbers
// that the channel does not get.
func (t *Topic) holdFrom(o channel.Options, from, until uint64, never []seqset.Range) (*heldPart, error) {
	r := &t.reclaimer
	r.mu.Lock()
	r.recalls++
	owes, start, err := t.fanout.stand(o, from, until, never, r.givingUp)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	t.expiry.reschedule() // what is too old by now does not come
	t.expiry.expire()
	return &heldPart{start, owes}, nil
}

// stand puts a channel that owes everything from a number on beside the others.
func (f *fanout) stand(o channel.Options, from, until uint64, never, givingUp []seqset.Range) (c *channel.Channel, start uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, 0, channel.ErrExiting
	}
	if f.memberNamed(o.Name) == nil {
		if err := f.refuseChannel(); err != nil {
			return nil, 0, err
		}
	}
	start = min(max(from, f.o.Log.Start()), f.fanOut)
	var gone []seqset.Range
	if !f.o.Replicated { // whose gaps are where others have it
		gone = slices.Concat(f.o.Log.Gaps(start, f.fanOut), givingUp)
	}
	c = channel.NewBounded(o, start, until)
	c.VoidAll(seqset.Union(f.voids, gone, never))
	f.detached = c
	return c, start, nil
}

// memberNamed is the channel of a name, journalled or not. The caller holds f.mu.
func (f *fanout) memberNamed(name string) *member {
	for _, m := range f.members {
		if m.channel.Name() == name {
			return m
		}
	}
	return nil
}

// agreement is how an entry was applied: where the channel begins, and what it does not get
// as it may be gone.
type agreement struct {
	start uint64
	gone  []seqset.Range
}

// commitHeld commits the entry that a part is held for. After an error it is held no more.
func (t *Topic) commitHeld(held *heldPart, e state.Entry) (a agreement, err error) {
	a.start = held.start
	switch log, agreed := t.o.State.(Agreed); {
	case e.Op == 0:
	case agreed:
		var applied state.Entry
		if applied, a.gone, err = log.CommitStart(e); err == nil {
			a.start = max(a.start, applied.Start)
		}
	default:
		err = t.o.State.Commit(e)
	}
	if err != nil {
		t.fanout.forgetDetached()
		t.fanout.release()
		held.owes.Close()
		t.reclaimer.reclaim()
		return a, err
	}
	t.o.Common.Changed()
	return a, nil
}

// voids is what of a part is void by now.
func (h *heldPart) voids() []seqset.Range {
	s := h.owes.Snapshot()
	return seqset.Union(s.Acked, []seqset.Range{{From: h.start, To: max(h.start, s.Floor)}})
}

// rewind rewinds a channel, which owes from then on what was held for it, and lets the
// fan-out position go on. Waiting is how many messages wait for the channel then. The caller
// holds Topic.changing.
func (f *fanout) rewind(c *channel.Channel, r channel.Rewinding, voids []seqset.Range, delayed []message.Mark) (waiting int64) {
	f.mu.Lock()
	waiting = c.Rewind(r, seqset.Union(voids, f.voids), delayed)
	f.detached.Close()
	f.detached = nil
	f.mu.Unlock()
	f.release()
	return waiting
}

// leftByLast is called when a consumer of c has gone: a bounded channel that was to go when
// it has had everything may go now.
func (t *Topic) leftByLast(c *channel.Channel) {
	if m := t.fanout.find(c.Name()); m != nil && m.leaves.Load() && c.Done() {
		t.keeper.begin()
	}
}

// endDone deletes the bounded channels that have had everything, are to go then, and have no
// consumers. It says when to look again, steady ns.
func (t *Topic) endDone() (next int64) {
	next = math.MaxInt64
	for _, m := range t.fanout.leaving() {
		if !m.channel.Done() || len(m.channel.Stats().Consumers) > 0 {
			continue
		}
		if err := t.DeleteChannel(m.channel.Name()); err != nil && !errors.Is(err, ErrNoChannel) {
			t.o.Common.Logger.Warn("a channel that has had everything is not deleted yet", "topic", t.o.Name, "channel", m.channel.Name(), "error", err)
			next = t.reclaimer.now() + int64(time.Second)
		}
	}
	return next
}

// Leaves says of a bounded channel that it goes when it has had everything and has no
// consumers; false where there is no channel of that name.
func (t *Topic) Leaves(name string) bool {
	m := t.fanout.find(name)
	return m != nil && m.leaves.Load()
}

// leaving are the channels that go when they have had everything.
func (f *fanout) leaving() (list []*member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.ready && m.leaves.Load() {
			list = append(list, m)
		}
	}
	return list
}
