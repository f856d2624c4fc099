package topic

import (
	"errors"

	"qmq/internal/seqset"
	"qmq/state"
)

// ErrNoChange means that an operation is no change of a topic that is there, or of
// its channels.
var ErrNoChange = errors.New("this operation is no change of a topic or channel")

// Operation is a change of a topic that is there, or of its channels.
type Operation struct {
	Op       state.Op // from PauseTopic to EmptyChannel, VoidRange, or one of settings
	Channel  string   // that it is about
	Tail     bool     // of CreateChannel: as TailChannel does
	Settings string   // of ConfigureTopic and ConfigureChannel: see Configure

	Void []seqset.Range // of VoidRange: see TakeOut
}

// Do makes the change of an operation.
func (t *Topic) Do(o Operation) error {
	switch o.Op {
	case state.EmptyTopic:
		return t.Empty()
	case state.PauseTopic:
		return t.Pause()
	case state.UnpauseTopic:
		return t.Unpause()
	case state.CreateChannel:
		create := t.Channel
		if o.Tail {
			create = t.TailChannel
		}
		_, err := create(o.Channel)
		return err
	case state.DeleteChannel:
		return t.DeleteChannel(o.Channel)
	case state.EmptyChannel:
		return t.EmptyChannel(o.Channel)
	case state.PauseChannel:
		return t.PauseChannel(o.Channel)
	case state.UnpauseChannel:
		return t.UnpauseChannel(o.Channel)
	case state.VoidRange:
		return t.TakeOut(o.Void)
	case state.ConfigureTopic:
		return t.Configure([]byte(o.Settings))
	case state.ConfigureChannel:
		return t.ConfigureChannel(o.Channel, []byte(o.Settings))
	}
	return ErrNoChange
}
