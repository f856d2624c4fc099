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
	s, entry, err := t.addChannel(name)
	if err != nil {
		return nil, err
	}
	err = t.change(entry, func() { t.channelReady(s) }, func() {
		t.mu.Lock()
		t.removeChannel(s)
		t.mu.Unlock()
		s.channel.Close()
		t.reclaim.letGo() // it kept what was published meanwhile
	})
	if err != nil {
		return nil, err
	}
	return s.channel, nil
}

// channelReady lets everybody find a channel whose creation is journalled.
func (t *Topic) channelReady(s *slot) {
	if t.journals(s.channel.Name()) {
		t.o.Journal.Attach(s.channel)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.ready = true
	t.ready++
	t.catchUp()
	t.o.Came(t, s.channel.Name())
}

// journals says whether the channel of that name outlives the process.
func (t *Topic) journals(name string) bool {
	return !t.o.Ephemeral && !names.IsEphemeral(name)
}

// addChannel makes a channel that starts at the fan-out position of this
// moment. It is not ready: nobody can find it yet, but it gets what is fanned
// out from now on.
func (t *Topic) addChannel(name string) (*slot, state.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, state.Entry{}, channel.ErrExiting
	}
	if err := t.full(); err != nil {
		return nil, state.Entry{}, err
	}
	name = strings.Clone(name) // it may be a part of a whole request
	incarnation := t.o.NewIncarnation()
	c := channel.New(t.channelOptions(name, incarnation), t.fanOut)
	for _, v := range t.voids { // it may have what waits in the topic before it
		c.Void(v.From, v.To)
	}
	s := &slot{channel: c}
	t.channels = append(t.channels, s)
	e := t.channelEntry(state.CreateChannel, c)
	if e.Op != 0 {
		e.Name, e.Start = name, t.fanOut
	}
	return s, e, nil
}

// removeChannel takes a channel out of the fan-out. The caller holds t.mu.
func (t *Topic) removeChannel(s *slot) {
	i := slices.Index(t.channels, s)
	t.channels = slices.Delete(slices.Clone(t.channels), i, i+1)
	if s.ready {
		t.ready--
	}
}

func (t *Topic) channelOptions(name string, incarnation uint64) channel.Options {
	o := channel.Options{
		Name:             name,
		Incarnation:      incarnation,
		TopicIncarnation: t.o.Incarnation,
		Common:           t.o.Common.Common,
		NewReader:        func() channel.Reader { return logReader{t.o.Log.NewReader()} },
		Damaged:          t.damaged,
		ReadFailed:       func(err error) { t.readFailed(name, err) },
		Moved:            func(floor, _ uint64) { t.reclaim.moved(floor) },
	}
	if names.IsEphemeral(name) {
		o.EphemeralLimit = max(1, t.o.MemQueueSize)
	}
	if t.journals(name) {
		o.Journal = t.o.Journal
	}
	return o
}

// ExistingChannel finds the channel of that name.
func (t *Topic) ExistingChannel(name string) (*channel.Channel, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.slot(name)
	if s == nil || !s.ready {
		return nil, false
	}
	return s.channel, true
}

// slot is the channel of that name, ready or not; nil when there is none. The
// caller holds t.mu.
func (t *Topic) slot(name string) *slot {
	for _, s := range t.channels {
		if s.channel.Name() == name {
			return s
		}
	}
	return nil
}

// Channels lists the channels, sorted by name.
func (t *Topic) Channels() []*channel.Channel {
	t.mu.Lock()
	list := make([]*channel.Channel, 0, len(t.channels))
	for _, s := range t.channels {
		if s.ready {
			list = append(list, s.channel)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(list, func(a, b *channel.Channel) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// DeleteChannel ends a channel: its messages are dropped, its consumers are
// closed. One created later by that name shares nothing with it.
func (t *Topic) DeleteChannel(name string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	c, ok := t.ExistingChannel(name)
	if !ok {
		return ErrNoChannel
	}
	return t.deleteChannel(c)
}

// deleteChannel ends a channel. While the journal is asked about the end of the
// last one the fan-out position stands: later channels start at the one that is
// journalled with its end.
func (t *Topic) deleteChannel(c *channel.Channel) error {
	entry := t.channelEntry(state.DeleteChannel, c)
	t.mu.Lock()
	s, last := t.slot(c.Name()), len(t.channels) == 1
	if last {
		t.asking = true
	}
	entry.FanOut = t.fanOut
	t.mu.Unlock()
	return t.change(entry, func() { t.channelGone(s, last) }, t.resume)
}

// channelGone ends a channel whose end is journalled.
func (t *Topic) channelGone(s *slot, last bool) {
	c := s.channel
	t.mu.Lock()
	t.removeChannel(s)
	t.asking = false
	t.mu.Unlock()
	if t.journals(c.Name()) {
		t.o.Journal.Detach(c)
	}
	c.Close()
	t.reclaim.letGo()
	t.o.Went(t, c.Name())
	if !t.journals(c.Name()) {
		t.journalFanOut()
	}
	if last && t.o.Ephemeral {
		t.o.Abandoned(t)
	}
}

// journalFanOut tells the journal up to where messages were given out when an
// ephemeral channel is gone and no journalled one moves the fan-out position.
func (t *Topic) journalFanOut() {
	e, needed := t.Standing()
	if !needed {
		return
	}
	if err := t.change(e, func() {}, func() {}); err != nil {
		t.o.Logger.Warn("a restart would bring messages back that ephemeral channels had",
			"topic", t.o.Name, "error", err)
	}
}

// takeIn lets a channel take part in the fan-out that has what lies below from,
// and gives it what was fanned out since. It is called with t.changing and t.mu
// held and gives t.mu up for a while.
func (t *Topic) takeIn(s *slot, from uint64) {
	t.channels = append(slices.Clone(t.channels), s)
	t.ready++
	delayed := t.gather(from)
	s.channel.Advance(t.fanOut, delayed)
	if !t.standing() && t.fanOut < t.end {
		t.advance(t.end, delayed)
	}
}

// ConsumerLeft is called when a consumer of c has gone: an ephemeral channel
// ends with its last one.
func (t *Topic) ConsumerLeft(c *channel.Channel) {
	if !names.IsEphemeral(c.Name()) {
		return
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	if found, ok := t.ExistingChannel(c.Name()); !ok || found != c || !c.CloseIfAbandoned() {
		return
	}
	if err := t.deleteChannel(c); err != nil {
		t.o.Logger.Error("ephemeral channel not deleted", "topic", t.o.Name, "channel", c.Name(), "error", err)
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
	c, ok := t.ExistingChannel(name)
	if !ok {
		return ErrNoChannel
	}
	entry := t.channelEntry(state.EmptyChannel, c)
	t.mu.Lock()
	upTo := t.fanOut
	t.mu.Unlock()
	entry.FanOut = upTo
	return t.change(entry, func() {
		c.Empty(upTo)
		t.reclaim.letGo()
	}, nothing)
}

// Pause makes the fan-out position stand still: publishes are accepted and
// wait in the topic. It stands from the moment on at which the journal is asked.
func (t *Topic) Pause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	entry := t.entry(state.PauseTopic)
	t.mu.Lock()
	was := t.paused
	t.asking = !was
	entry.FanOut = t.fanOut
	t.mu.Unlock()
	if was {
		return nil
	}
	return t.change(entry, func() { t.setPaused(true) }, t.resume)
}

// Unpause undoes Pause.
func (t *Topic) Unpause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if !t.Paused() {
		return nil
	}
	return t.change(t.entry(state.UnpauseTopic), func() { t.setPaused(false) }, nothing)
}

func (t *Topic) setPaused(paused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = paused // with the catching up: what is published in between must not move the position
	t.stopAsking()
}

// resume lets the fan-out position move again as far as it may, after the
// journal was asked about a change that names it.
func (t *Topic) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopAsking()
}

// stopAsking is resume for a caller that holds t.mu, which it gives up for a
// while.
func (t *Topic) stopAsking() {
	t.asking = false
	t.catchUp()
}

// Empty drops the messages that wait in the topic; what its channels have
// stays, and so does what is published while the journal is asked.
func (t *Topic) Empty() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	void := seqset.Range{From: t.fanOut, To: t.end}
	t.mu.Unlock()
	if void.Len() == 0 {
		return nil
	}
	entry := t.entry(state.EmptyTopic)
	entry.FanOut, entry.Void = void.To, void
	return t.change(entry, func() {
		t.mu.Lock()
		t.addVoid(void)
		t.advance(void.To, nil) // it stood, or there would have been nothing to empty
		t.mu.Unlock()
		t.reclaim.letGo()
	}, nothing)
}

// Paused says whether the topic is paused.
func (t *Topic) Paused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused
}
