package topic

import (
	"errors"

	"qmq/channel"
	"qmq/diskqueue"
	"qmq/message"
)

// channelHost is a Topic as its channels see it.
type channelHost Topic

func (h *channelHost) NewReader() channel.Reader {
	return logReader{Reader: h.o.Log.NewReader(), copied: h.o.Replicated}
}

func (h *channelHost) Moved(floor uint64) { (*Topic)(h).reclaimer.progressed(floor) }

func (h *channelHost) Lost(from, to uint64) { (*Topic)(h).noteLost(from, to) }

func (h *channelHost) ReadFailed(channel string, err error) { (*Topic)(h).readFailed(channel, err) }

func (h *channelHost) Spent(c *channel.Channel) {
	if d := h.o.Common.DeadLetters; d != nil {
		d.of((*Topic)(h), c)
	}
}

// Done has a channel that was to go when it has had everything go, if it has no consumers.
func (h *channelHost) Done() { (*Topic)(h).keeper.begin() }

// logReader reads for a channel, and tells it what an error of the log means.
type logReader struct {
	*diskqueue.Reader
	copied bool // other nodes have the log too
}

func (r logReader) Read(seq uint64, m *message.View) (err error) {
	if *m, err = r.Reader.Read(seq); err != nil {
		if r.copied {
			return notNow(seq, err)
		}
		return readError(seq, err)
	}
	return nil
}

func (r logReader) ReadCached(seq uint64, m *message.View) (ok bool) {
	*m, ok = r.Reader.ReadCached(seq)
	return ok
}

// notNow is what a channel is told of an error where other nodes have what is lost
// here: it waits until the copy is whole again, for no node alone makes a message void.
func notNow(seq uint64, err error) error {
	told := readError(seq, err)
	if lost, ok := told.(*channel.LostError); ok {
		return &channel.UnreadableError{From: lost.From, To: lost.To, Err: err}
	}
	return told
}

// readError is what a channel is told of an error in reading the message seq.
// What was fanned out was in the log: a number that is not is lost for good, and
// no channel waits for it.
func readError(seq uint64, err error) error {
	var damaged *diskqueue.DamageError
	var unreadable *diskqueue.UnreadableError
	switch {
	case errors.Is(err, diskqueue.ErrNotFound):
		return &channel.LostError{From: seq, To: seq + 1}
	case errors.As(err, &damaged):
		return &channel.LostError{From: damaged.From, To: damaged.To}
	case errors.As(err, &unreadable):
		return &channel.UnreadableError{From: unreadable.From, To: unreadable.To, Err: err}
	}
	return err
}
