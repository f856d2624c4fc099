package topic

import (
	"errors"

	"qmq/channel"
	"qmq/state"
)

// A topic that is new to this node may have channels elsewhere. Until those are
// learnt, or it takes too long, the topic is held: it takes messages as ever,
// and its fan-out position stands as if it were paused.

// Release ends the holding: what was published meanwhile goes to the channels
// that there are now.
func (t *Topic) Release() {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.fanout.endLearning()
}

// Learn makes a channel that the topic has elsewhere, unless it is there. It
// gets what the topic had from its beginning on, as if it had been there all
// the time; only what other channels were done with may be gone. Of a replicated
// topic it gets what comes from now on. It returns once the creation is journalled.
func (t *Topic) Learn(name string) error {
	return t.learn(name, func(*channel.Channel) {})
}

// LearnPaused is Learn of a channel that is paused elsewhere: it is paused here
// before it gets a message. One that is there already is paused too.
func (t *Topic) LearnPaused(name string) error {
	if err := t.learn(name, (*channel.Channel).Pause); err != nil {
		return err
	}
	// Should the process end before this is journalled, the topic is still not
	// learnt, and is asked for again.
	if err := t.PauseChannel(name); !errors.Is(err, ErrNoChannel) {
		return err
	}
	return nil // it was deleted meanwhile
}

func (t *Topic) learn(name string, prepare func(*channel.Channel)) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if _, ok := t.ExistingChannel(name); ok {
		return nil
	}
	c, start, err := t.recall(name)
	if err != nil {
		return err
	}
	prepare(c)
	entry := t.channelEntry(state.CreateChannel, c)
	if entry.Op != 0 {
		entry.Name, entry.Start = name, start
	}
	return t.change(entry, func() { t.learnt(c, start) }, func() {
		t.fanout.forgetDetached()
		c.Close()
		t.reclaimer.reclaim()
	})
}

// learnt takes in a channel whose creation is journalled.
func (t *Topic) learnt(c *channel.Channel, start uint64) {
	if t.journals(c.Name()) {
		t.o.State.Attach(c)
	}
	end := t.fanout.admit(c, start)
	t.expiry.reschedule()
	t.keeper.begin()
	t.background.Load().wrote(int64(end - start)) // nobody needed it until now
	t.o.Common.RegisterChannel(t, c.Name())
}

// recall makes a channel that starts with the oldest message that it may have and
// keeps it from being reclaimed.
func (t *Topic) recall(name string) (c *channel.Channel, start uint64, err error) {
	r := &t.reclaimer
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recalls++
	return t.fanout.detach(t.channelOptions(name, t.o.Common.NewIncarnation()), r.givingUp)
}
