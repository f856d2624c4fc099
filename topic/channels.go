package topic

import (
	"slices"
	"strings"

	"qmq/channel"
	"qmq/internal/seqset"
	"qmq/journal"
)

const ephemeralSuffix = "#ephemeral"

// Channel returns the channel of that name, creating it if need be. A new
// channel gets every message whose publish is OK'd after Channel returned; the
// first channel of a topic also gets everything that waited for one. It
// returns once the creation is journalled.
func (t *Topic) Channel(name string) (*channel.Channel, error) {
	if c, ok := t.ExistingChannel(name); ok {
		return c, nil
	}
	t.changing.Lock()
	defer t.changing.Unlock()
	if c, ok := t.ExistingChannel(name); ok {
		return c, nil
	}
	s, entry, err := t.addChannel(name)
	if err != nil {
		return nil, err
	}
	if t.journals(name) {
		if err := t.o.Journal.Commit(entry); err != nil {
			t.mu.Lock()
			t.removeChannel(name)
			t.mu.Unlock()
			s.channel.Close()
			return nil, err
		}
		t.o.Journal.Attach(s.channel)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.ready = true
	t.ready++
	t.catchUp()
	t.o.Changed()
	t.o.Came(t, s.channel.Name())
	return s.channel, nil
}

// journals says whether the channel of that name outlives the process.
func (t *Topic) journals(name string) bool {
	return !t.o.Ephemeral && !strings.HasSuffix(name, ephemeralSuffix)
}

// addChannel makes a channel that starts at the fan-out position of this
// moment. It is not ready: nobody can find it yet, but it gets what is fanned
// out from now on.
func (t *Topic) addChannel(name string) (*slot, journal.Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, journal.Entry{}, ErrExiting
	}
	name = strings.Clone(name) // it may be a part of a whole request
	incarnation := t.o.NewIncarnation()
	c := channel.New(t.channelOptions(name, incarnation), t.fanOut)
	for _, v := range t.voids { // it may have what waits in the topic before it
		c.Void(v.From, v.To)
	}
	s := &slot{channel: c}
	t.channels = append(t.channels, s)
	return s, journal.Entry{Op: journal.CreateChannel, Topic: t.o.Incarnation, Channel: incarnation, Name: name, Start: t.fanOut}, nil
}

// removeChannel takes a channel out of the fan-out. The caller holds t.mu.
func (t *Topic) removeChannel(name string) {
	i := slices.Index(t.channels, t.slot(name))
	s := t.channels[i]
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
		Moved:            func(floor, _ uint64) { t.moved(floor) },
	}
	if strings.HasSuffix(name, ephemeralSuffix) {
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

// deleteChannel takes the channel out first, so that the fan-out position that
// is journalled with its end is the one at which later channels start.
func (t *Topic) deleteChannel(c *channel.Channel) error {
	t.mu.Lock()
	s := t.slot(c.Name())
	t.removeChannel(c.Name())
	t.aside = c
	fanOut, last := t.fanOut, len(t.channels) == 0
	t.mu.Unlock()
	err := t.commitEnd(c, fanOut)
	t.mu.Lock()
	t.aside = nil
	if err != nil {
		t.takeIn(s, fanOut)
	}
	t.mu.Unlock()
	if err != nil {
		return err
	}
	c.Close()
	t.letGo()
	t.o.Changed()
	t.o.Went(t, c.Name())
	if last && t.o.Ephemeral {
		t.o.Abandoned(t)
	}
	return nil
}

// commitEnd journals the end of a channel. One that does not outlive the
// process ends in any case; what the journal is told then is up to where the
// topic's messages were given out.
func (t *Topic) commitEnd(c *channel.Channel, fanOut uint64) error {
	if t.journals(c.Name()) {
		err := t.commitChange(journal.Entry{Op: journal.DeleteChannel, Channel: c.Incarnation(), FanOut: fanOut})
		if err == nil {
			t.o.Journal.Detach(c)
		}
		return err
	}
	if e, needed := t.Standing(); needed {
		if err := t.commitChange(e); err != nil {
			t.o.Logger.Warn("a restart would bring messages back that ephemeral channels had",
				"topic", t.o.Name, "error", err)
		}
	}
	return nil
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
	if !strings.HasSuffix(c.Name(), ephemeralSuffix) {
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
	return t.changeChannel(name, journal.PauseChannel, (*channel.Channel).Pause)
}

// UnpauseChannel undoes PauseChannel.
func (t *Topic) UnpauseChannel(name string) error {
	return t.changeChannel(name, journal.UnpauseChannel, (*channel.Channel).Unpause)
}

func (t *Topic) changeChannel(name string, op journal.Op, apply func(*channel.Channel)) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	c, ok := t.ExistingChannel(name)
	if !ok {
		return ErrNoChannel
	}
	if t.journals(name) {
		entry := journal.Entry{Op: op, Topic: t.o.Incarnation, Channel: c.Incarnation()}
		if err := t.o.Journal.Commit(entry); err != nil {
			return err
		}
	}
	apply(c)
	t.o.Changed()
	return nil
}

// EmptyChannel drops everything that waits, is in flight or is deferred in a
// channel.
func (t *Topic) EmptyChannel(name string) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	c, ok := t.ExistingChannel(name)
	if !ok {
		return ErrNoChannel
	}
	upTo := c.Empty()
	t.letGo()
	if !t.journals(name) {
		return nil
	}
	return t.o.Journal.Commit(journal.Entry{Op: journal.EmptyChannel, Topic: t.o.Incarnation, Channel: c.Incarnation(), FanOut: upTo})
}

// Pause makes the fan-out position stand still: publishes are accepted and
// wait in the topic.
func (t *Topic) Pause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	was := t.paused
	t.paused = true
	fanOut := t.fanOut
	t.mu.Unlock()
	if was {
		return nil
	}
	err := t.commitChange(journal.Entry{Op: journal.PauseTopic, FanOut: fanOut})
	if err != nil {
		t.resume()
	}
	return err
}

// Unpause undoes Pause.
func (t *Topic) Unpause() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if !t.Paused() {
		return nil
	}
	if err := t.commitChange(journal.Entry{Op: journal.UnpauseTopic}); err != nil {
		return err
	}
	t.resume()
	return nil
}

func (t *Topic) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = false
	t.catchUp()
}

// Empty drops the messages that wait in the topic; what its channels have
// stays.
func (t *Topic) Empty() error {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.mu.Lock()
	void := seqset.Range{From: t.fanOut, To: t.end}
	t.mu.Unlock()
	if void.Len() == 0 {
		return nil
	}
	if err := t.commitChange(journal.Entry{Op: journal.EmptyTopic, FanOut: void.To, Void: void}); err != nil {
		return err
	}
	t.mu.Lock()
	t.addVoid(void)
	if t.fanOut < void.To {
		t.advance(void.To, nil)
	}
	t.mu.Unlock()
	t.letGo()
	return nil
}

// commitChange journals a change of a topic that outlives the process.
func (t *Topic) commitChange(e journal.Entry) error {
	if t.o.Ephemeral {
		return nil
	}
	e.Topic = t.o.Incarnation
	if err := t.o.Journal.Commit(e); err != nil {
		return err
	}
	t.mu.Lock()
	t.stoodAt = max(t.stoodAt, e.FanOut)
	t.mu.Unlock()
	t.o.Changed()
	return nil
}

// Paused says whether the topic is paused.
func (t *Topic) Paused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused
}
