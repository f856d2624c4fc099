package channel

import (
	"fmt"

	"qmq/message"
)

// Reader reads messages of the topic's log for one consumer. It is not safe
// for concurrent use.
type Reader interface {
	// Read fills m with the message seq. It is valid until the next Read or
	// Release. A *LostError means that the message is lost for ever, an
	// *UnreadableError that it and some beside it cannot be read now, any other
	// error that nothing can.
	Read(seq uint64, m *message.View) error
	// ReadCached is Read when that needs no I/O; ok is false when it does.
	ReadCached(seq uint64, m *message.View) (ok bool)
	// Release gives up buffers; the Reader stays usable.
	Release()
}

// LostError says that the messages in [From, To) are lost for ever.
type LostError struct {
	From, To uint64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%d messages from sequence number %d are lost", e.To-e.From, e.From)
}

// UnreadableError says that the messages in [From, To) cannot be read now, while
// others can. It may pass.
type UnreadableError struct {
	From, To uint64
	Err      error // why
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%d messages from sequence number %d cannot be read now: %v", e.To-e.From, e.From, e.Err)
}

// Unwrap returns the reason.
func (e *UnreadableError) Unwrap() error { return e.Err }
