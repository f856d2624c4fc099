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

	// From and Until, of CreateChannel and RewindChannel, are positions as ParsePosition
	// reads them when the change is made, see Start; empty: none. What came of it is written to Replay, if it is not
	// nil.
	From, Until string
	Leaves      bool
	Replay      *Replay
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
	case state.RewindChannel:
		return o.rewind(t)
	case state.CreateChannel:
		if o.From != "" || o.Until != "" {
			return o.createFrom(t)
		}
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

// createFrom makes a channel that begins, or ends, where the operation says.
func (o *Operation) createFrom(t *Topic) (err error) {
	s, now := Start{From: Whole, Leaves: o.Leaves}, t.o.Common.Channels.Clock.Wall()
	if o.From != "" {
		if s.From, err = ParsePosition(o.From, now); err != nil {
			return err
		}
	}
	if o.Until != "" {
		if s.Until, err = ParsePosition(o.Until, now); err != nil {
			return err
		}
	}
	r, err := t.CreateFrom(o.Channel, s)
	o.tell(r, err)
	return err
}

func (o *Operation) rewind(t *Topic) error {
	to, err := ParsePosition(o.From, t.o.Common.Channels.Clock.Wall())
	if err != nil {
		return err
	}
	r, err := t.Rewind(o.Channel, to)
	o.tell(r, err)
	return err
}

func (o *Operation) tell(r Replay, err error) {
	if err == nil && o.Replay != nil {
		*o.Replay = r
	}
}
