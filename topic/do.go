package topic

import (
	"errors"

	"qmq/state"
)

// ErrNoChange means that an operation is no change of a topic that is there, or of
// its channels.
var ErrNoChange = errors.New("this operation is no change of a topic or channel")

// Do makes the change of an operation, from PauseTopic to EmptyChannel; channel names
// the one that it is about. With tail a channel is created as TailChannel does.
func (t *Topic) Do(op state.Op, channel string, tail bool) error {
	switch op {
	case state.EmptyTopic:
		return t.Empty()
	case state.PauseTopic:
		return t.Pause()
	case state.UnpauseTopic:
		return t.Unpause()
	case state.CreateChannel:
		create := t.Channel
		if tail {
			create = t.TailChannel
		}
		_, err := create(channel)
		return err
	case state.DeleteChannel:
		return t.DeleteChannel(channel)
	case state.EmptyChannel:
		return t.EmptyChannel(channel)
	case state.PauseChannel:
		return t.PauseChannel(channel)
	case state.UnpauseChannel:
		return t.UnpauseChannel(channel)
	}
	return ErrNoChange
}
