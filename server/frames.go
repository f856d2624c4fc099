package server

import (
	"qmq/channel"
	"qmq/protocol"
	"qmq/server/stream"
)

// maxFrameBytes bounds the frames of a Take, unless one message is larger.
const maxFrameBytes = 256 << 10

// frames makes the frames of what a session takes, in a buffer on loan. It is a
// channel.Sink.
type frames struct {
	buffer *stream.Buffer // nil but for a Take
	b      []byte         // the frames
	// average is the average size of the last frames, in bytes; 0 at first.
	average int
	// headers says that the client negotiated them.
	headers bool
	traces  *traces // nil: nothing is traced
	// topic and channel are those that messages are taken of.
	topic, channel string
}

// begin has the next Take write into a buffer. The Take ends when that many
// bytes are in it as are written at a time.
func (f *frames) begin(buffer *stream.Buffer) *frames {
	f.buffer, f.b = buffer, buffer.B[:0]
	return f
}

// limit is how many messages to ask for: as many as may fit.
func (f *frames) limit() int {
	if f.average <= maxFrameBytes/channel.MaxTake {
		return channel.MaxTake
	}
	return max(1, maxFrameBytes/f.average)
}

// Put appends a message's frame.
func (f *frames) Put(m *channel.Message) bool {
	if len(f.b) > 0 && len(f.b)+protocol.MessageFrameOverhead+len(m.Attrs)+len(m.Body) > maxFrameBytes {
		return false
	}
	if f.traces != nil && len(m.Attrs) > 0 {
		f.traces.take(m, f.topic, f.channel)
	}
	if f.headers && len(m.Attrs) > 0 {
		f.b = protocol.AppendDescribed(f.b, &m.View, m.Attempts, m.ID)
		return true
	}
	f.b = protocol.AppendMessage(f.b, m.Timestamp, m.Attempts, m.ID, m.Body)
	return true
}

// end returns the frames of the n messages that were taken, in the buffer.
func (f *frames) end(n int) (out []byte) {
	out = f.b
	f.buffer.Keep(out)
	f.buffer, f.b = nil, nil
	if n > 0 {
		f.average = (3*f.average + len(out)/n) / 4
	}
	return out
}
