package topic

import (
	"qmq/channel"
	"qmq/state"
)

// Change makes one change of the topology: the journal is asked first, and when
// it has the entry, apply makes the change. The entry's positions are what
// apply applies, whatever was published, fanned out or answered while the
// journal was asked: a restart that finds the entry must come to the same. When
// the journal refuses, undo gives up what was prepared, and nothing has changed.
//
// An entry without an Op is about something that does not outlive the process:
// the journal is not asked.
func Change(commit func(...state.Entry) error, e state.Entry, apply, undo func()) error {
	return changeAll(commit, e, nil, apply, undo)
}

// changeAll is Change of an entry with others that are kept together with it.
func changeAll(commit func(...state.Entry) error, e state.Entry, more []state.Entry, apply, undo func()) error {
	if e.Op != 0 {
		if err := commit(append([]state.Entry{e}, more...)...); err != nil {
			undo()
			return err
		}
	}
	apply()
	return nil
}

// change makes a change of this topic. The caller holds t.changing.
func (t *Topic) change(e state.Entry, apply, undo func()) error {
	return t.changeWith(e, nil, apply, undo)
}

// changeWith is change of an entry with others that are kept together with it.
func (t *Topic) changeWith(e state.Entry, more []state.Entry, apply, undo func()) error {
	err := changeAll(t.o.State.Commit, e, more, func() {
		if e.Op != 0 {
			t.fanout.journalled(e.FanOut)
		}
		apply()
	}, undo)
	if err == nil {
		t.o.Common.Changed()
	}
	return err
}

// nothing is what is undone where nothing was prepared.
func nothing() {}

// entry is about the topic; it has no Op for one that is not journalled.
func (t *Topic) entry(op state.Op) state.Entry {
	if t.o.Ephemeral {
		return state.Entry{}
	}
	return state.Entry{Op: op, Topic: t.o.Incarnation}
}

// channelEntry is about a channel; it has no Op for one that is not journalled.
func (t *Topic) channelEntry(op state.Op, c *channel.Channel) state.Entry {
	if !t.journals(c.Name()) {
		return state.Entry{}
	}
	return state.Entry{Op: op, Topic: t.o.Incarnation, Channel: c.Incarnation()}
}
