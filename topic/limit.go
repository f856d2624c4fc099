package topic

import (
	"errors"
	"fmt"

	"qmq/channel"
)

// ErrNoAutoCreate means that clients make no topics and channels here, and that
// there is none of that name.
var ErrNoAutoCreate = errors.New("there is no topic or channel of that name, and clients may not create it (--auto-create=false)")

// LimitError is the refusal of one topic or channel too many.
type LimitError struct {
	What   string // "topics of this node" or "channels of topic t"
	Max    int
	Option string // or setting that says how many
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit of %d %s reached (%s)", e.Max, e.What, e.Option)
}

// ChannelForClient is Channel for a client that wants to consume it. The error
// is also ErrNoAutoCreate.
func (t *Topic) ChannelForClient(name string) (*channel.Channel, error) {
	if !t.o.Common.NoAutoCreate {
		return t.Channel(name)
	}
	if c, ok := t.FindChannel(name); ok {
		return c, nil
	}
	return nil, ErrNoAutoCreate
}
