package topic

import (
	"slices"
	"strings"

	"qmq/channel"
	"qmq/internal/names"
	"qmq/internal/seqset"
	"qmq/state"
)

// Channel returns the channel of that name, creating it if need be. A new
// channel gets every message whose publish is OK'd after Channel returned; the
// first channel of a topic also gets everything that waited for one. It
// returns once the creation is journalled. The error is also a *LimitError.
func (t *Topic) Channel(name string) (*channel.Channel, error) {
	if c, ok := t.ExistingChannel(name); ok {
		return c, nil
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	if c, ok := t.ExistingChannel(name); ok {
		return c, nil
	}
	return t.createChannel(name)
}

// createChannel makes a channel that is not there. The caller holds t.changing.
func (t *Topic) createChannel(name string) (*channel.Channel, error) {
	m, entry, err := t.addChannel(name)
	if err != nil {
		return nil, err
	}
	err = t.change(entry, func() { t.channelReady(m) }, func() {
		t.fanout.remove(m)
		m.channel.Close()
		t.reclaimer.reclaim() // it kept what was published meanwhile
	})
	if err != nil {
		return nil, err
	}
	return m.channel, nil
}

// channelReady lets everybody find a channel whose creation is journalled.
func (t *Topic) channelReady(m *member) {
	if t.journals(m.channel.Name()) {
		t.o.State.Attach(m.channel)
	}
	t.fanout.makeReady(m)
	t.o.Common.RegisterChannel(t, m.channel.Name())
}

// journals says whether the channel of that name outlives the process.
func (t *Topic) journals(name string) bool {
	return !t.o.Ephemeral && !names.IsEphemeral(name)
}

// addChannel makes a channel that starts at the fan-out position of this
// moment. It is not ready: nobody can find it yet, but it gets what is fanned
// out from now on.
func (t *Topic) addChannel(name string) (*member, state.Entry, error) {
	name = strings.Clone(name) // it may be a part of a whole request
	m, start, err := t.fanout.add(t.channelOptions(name, t.o.Common.NewIncarnation()))
	if err != nil {
		return nil, state.Entry{}, err
	}
	e := t.channelEntry(state.CreateChannel, m.channel)
	if e.Op != 0 {
		e.Name, e.Start = name, start
	}
	return m, e, nil
}

func (t *Topic) channelOptions(name string, incarnation uint64) channel.Options {
	o := channel.Options{
		Name:             name,
		Incarnation:      incarnation,
		TopicIncarnation: t.o.Incarnation,
		IDPrefix:         t.o.IDPrefix,
		Common:           t.o.Common.Channels,
		Host:             (*channelHost)(t),
	}
	if names.IsEphemeral(name) {
		o.EphemeralLimit = max(1, t.o.Common.MemQueueSize)
	}
	if t.journals(name) {
		o.Journal = t.o.State
	}
	return o
}

// ExistingChannel finds the channel of that name.
func (t *Topic) ExistingChannel(name string) (*channel.Channel, bool) {
	m := t.fanout.find(name)
	if m == nil {
		return nil, false
	}
	return m.channel, true
}

// FindChannel is ExistingChannel which, before it says that there is none, waits for a change
// of the channels that is under way: of a replicated topic another node may know already that
// it is agreed on.
func (t *Topic) FindChannel(name string) (*channel.Channel, bool) {
	if c, ok := t.ExistingChannel(name); ok {
		return c, true
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.ExistingChannel(name)
}

// Channels lists the channels, sorted by name.
func (t *Topic) Channels() []*channel.Channel {
	list := t.fanout.list()
	slices.SortFunc(list, func(a, b *channel.Channel) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// DeleteChannel ends a channel: its messages are dropped, its consumers are
// closed. One created later by that name shares nothing with it.
func (t *Topic) DeleteChannel(name string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	m := t.fanout.find(name)
	if m == nil {
		return ErrNoChannel
	}
	return t.deleteChannel(m)
}

// deleteChannel ends a channel. While the journal is asked about the end of the
// last one the fan-out position stands: later channels start at the one that is
// journalled with its end.
func (t *Topic) deleteChannel(m *member) error {
	entry := t.channelEntry(state.DeleteChannel, m.channel)
	position, last := t.fanout.holdIfLast()
	entry.FanOut = position
	return t.change(entry, func() { t.channelGone(m, last) }, t.fanout.release)
}

// channelGone ends a channel whose end is journalled.
func (t *Topic) channelGone(m *member, last bool) {
	name := m.channel.Name()
	t.fanout.remove(m)
	if t.journals(name) {
		t.o.State.Detach(m.channel)
	}
	m.channel.Close()
	t.reclaimer.reclaim()
	t.o.Common.UnregisterChannel(t, name)
	if !t.journals(name) {
		t.journalFanOut()
	}
	if last && t.o.Ephemeral {
		t.o.Common.Abandoned(t)
	}
}

// journalFanOut tells the journal up to where messages were given out when an
// ephemeral channel is gone and no journalled one moves the fan-out position.
func (t *Topic) journalFanOut() {
	e, needed := t.FanOutEntry()
	if !needed {
		return
	}
	if err := t.change(e, nothing, nothing); err != nil {
		t.o.Common.Logger.Warn("a restart would bring messages back that ephemeral channels had",
			"topic", t.o.Name, "error", err)
	}
}

// ConsumerLeft is called when a consumer of c has gone: an ephemeral channel
// ends with its last one.
func (t *Topic) ConsumerLeft(c *channel.Channel) {
	if !names.IsEphemeral(c.Name()) {
		t.leftByLast(c)
		return
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	m := t.fanout.find(c.Name())
	if m == nil || m.channel != c || !c.CloseIfAbandoned() {
		return
	}
	if err := t.deleteChannel(m); err != nil {
		t.o.Common.Logger.Error("ephemeral channel not deleted", "topic", t.o.Name, "channel", c.Name(), "error", err)
	}
}

// PauseChannel stops the delivery of a channel's messages; the channel goes on
// filling.
func (t *Topic) PauseChannel(name string) error {
	return t.changeChannel(name, state.PauseChannel, (*channel.Channel).Pause)
}

// UnpauseChannel undoes PauseChannel.
func (t *Topic) UnpauseChannel(name string) error {
	return t.changeChannel(name, state.UnpauseChannel, (*channel.Channel).Unpause)
}

func (t *Topic) changeChannel(name string, op state.Op, apply func(*channel.Channel)) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	c, ok := t.ExistingChannel(name)
	if !ok {
		return ErrNoChannel
	}
	return t.change(t.channelEntry(op, c), func() { apply(c) }, nothing)
}

// EmptyChannel drops everything that waits, is in flight or is deferred in a
// channel. What is fanned out while the journal is asked stays.
func (t *Topic) EmptyChannel(name string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	m := t.fanout.find(name)
	if m == nil {
		return ErrNoChannel
	}
	c, upTo := m.channel, t.fanout.position()
	entry := t.channelEntry(state.EmptyChannel, c)
	entry.FanOut = upTo
	emptied := c.AppendOwed(nil, upTo)
	return t.changeWith(entry, t.neverEntries(entry, emptied), func() {
		m.never = slices.DeleteFunc(seqset.Union(m.never, emptied), func(r seqset.Range) bool { return r.To <= t.o.Log.Start() })
		c.Empty(upTo)
		t.reclaimer.reclaim()
	}, nothing)
}

// neverEntries are what is told with the entry that empties a channel of numbers: a rewind
// does not bring them back. Those who have a replicated topic find them by themselves.
func (t *Topic) neverEntries(e state.Entry, emptied []seqset.Range) []state.Entry {
	if e.Op == 0 || t.o.Replicated || len(emptied) == 0 {
		return nil
	}
	return []state.Entry{state.NeverOf(e.Topic, e.Channel, emptied)}
}

// Pause makes the fan-out position stand still: publishes are accepted and
// wait in the topic. It stands from the moment on at which the journal is asked.
func (t *Topic) Pause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.Paused() {
		return nil
	}
	entry := t.entry(state.PauseTopic)
	entry.FanOut = t.fanout.hold()
	return t.change(entry, func() { t.fanout.setPaused(true) }, t.fanout.release)
}

// Unpause undoes Pause.
func (t *Topic) Unpause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if !t.Paused() {
		return nil
	}
	return t.change(t.entry(state.UnpauseTopic), func() { t.fanout.setPaused(false) }, nothing)
}

// Empty drops the messages that wait in the topic; what its channels have
// stays, and so does what is published while the journal is asked.
func (t *Topic) Empty() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	void := t.fanout.waitingRange()
	if void.Len() == 0 {
		return nil
	}
	entry := t.entry(state.EmptyTopic)
	entry.FanOut, entry.Void = void.To, void
	return t.change(entry, func() {
		t.fanout.empty(void)
		t.reclaimer.reclaim()
	}, nothing)
}

// Paused says whether the topic is paused.
func (t *Topic) Paused() bool { return t.fanout.isPaused() }
