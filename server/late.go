package server

import (
	"sync"
	"sync/atomic"

	"qmq/channel"
	"qmq/protocol"
)

// lateErrors are the frames of answers that turned out to have failed after they were
// taken: another node serves the channel. The delivering goroutine sends them.
type lateErrors struct {
	any    atomic.Bool // there are frames; it is set with mu held
	mu     sync.Mutex  // guards frames
	frames []byte
}

func (l *lateErrors) add(e *protocol.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames = protocol.AppendError(l.frames, e)
	l.any.Store(true)
}

func (l *lateErrors) take() (frames []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	frames, l.frames = l.frames, nil
	l.any.Store(false)
	return frames
}

// answerFailed is the consumer's AnswerFailed callback.
func (s *session) answerFailed(a channel.Answer) {
	s.late.add(protocol.AnswerFailed(commandOf(a.Op), a.ID, a.Err.Error()))
	s.wake()
}

// commandOf is the command that an answer came with.
func commandOf(op channel.AnswerOp) protocol.Kind {
	switch op {
	case channel.Requeue:
		return protocol.Req
	case channel.Touch:
		return protocol.Touch
	}
	return protocol.Fin
}
