// Package protocol is the grammar of the V2 client protocol: it parses what
// clients send and formats what they are sent. It owns no socket and no
// goroutine, knows no topic and applies nothing; whether a command is obeyed is
// decided by its caller. A Parser belongs to one session and is not safe for
// concurrent use; everything else is.
package protocol

import (
	"time"

	"qmq/message"
)

// Magic is what a client sends first to speak this protocol.
const Magic = "  V2"

// MaxLine is the length of the longest command line in bytes, its newline
// included.
const MaxLine = 16384

// MaxControlBody is the longest body of IDENTIFY and AUTH in bytes, if
// Limits.MaxBodySize is not less: they come from clients that nobody knows yet.
const MaxControlBody = 64 << 10

// sizeLen is the length of the big-endian int32 that announces a body.
const sizeLen = 4

// State is how far a session has come. The numbers appear in /stats.
type State int32

const (
	StateInit       State = 0 // not yet a consumer; may stay a producer for ever
	StateSubscribed State = 3 // after SUB
	StateClosing    State = 4 // after CLS: answers, but gets nothing new
)

// Limits bound what one command may carry.
type Limits struct {
	MaxMsgSize    int64         // bytes in the body of one message
	MaxBodySize   int64         // bytes in the body of MPUB, and of IDENTIFY and AUTH up to MaxControlBody
	MaxRdyCount   int64         // the largest RDY
	MaxReqTimeout time.Duration // the longest DPUB and REQ delay
}

// MaxMessages is the largest number of messages in one MPUB: as many of one
// byte as fit into a body.
func (l *Limits) MaxMessages() int64 { return (l.MaxBodySize - sizeLen) / (sizeLen + 1) }

// maxMessage is the size of the longest message in a command: with its headers, where it
// has any.
func (l *Limits) maxMessage(kind Kind) int64 {
	if kind == Hpub || kind == Hmpub {
		return l.MaxMsgSize + headersLen + int64(message.MaxEncoded)
	}
	return l.MaxMsgSize
}

// MaxCommand is how long at most a command is behind its line.
func (l *Limits) MaxCommand() int64 { return sizeLen + max(l.MaxBodySize, l.maxMessage(Hpub)) }

// maxDelayMs is the longest delay in the unit of the command line.
func (l *Limits) maxDelayMs() uint64 {
	return uint64(max(0, l.MaxReqTimeout/time.Millisecond))
}
