package topic

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"qmq/message"
)

// Position is a place in a topic's log, as people say it.
type Position struct {
	text string
	last bool
	time int64  // ns since 1970; 0: it is none
	seq  uint64 // where it is no time; 0: the first
}

// Whole is the position of the first message, as far back as there is one.
var Whole = Position{text: "first"}

// PositionError is a position that a topic does not have.
type PositionError struct{ Text string }

// Of says whether the error is about the position of a text.
func (e *PositionError) Of(text string) bool { return strings.HasPrefix(e.Text, strconv.Quote(text)) }

func (e *PositionError) Error() string { return e.Text }

// Positions is what a position may be.
const Positions = "first, last, a time (RFC 3339) that is not in the future, or the number of a message"

// ParsePosition reads first, last, a time as RFC 3339 has it, or the number of a message. The
// error is a *PositionError.
func ParsePosition(text string) (Position, error) {
	p := Position{text: text}
	switch text {
	case "first":
		return p, nil
	case "last":
		p.last = true
		return p, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		if n > message.MaxSeq {
			return p, p.refused("is above the largest number")
		}
		p.seq = n
		return p, nil
	}
	var ok bool
	if p.time, ok = ParseTime(text); !ok {
		return p, p.refused("is none of them")
	}
	return p, nil
}

// ParseTime reads a time as RFC 3339 has it, of the years 1970 to 2200, as ns since 1970, 1 at
// least. A + in it may have become a space, as it does in a query that does not escape it.
func ParseTime(text string) (ns int64, ok bool) {
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return 0, false
	}
	return max(1, at.UnixNano()), true
}

func (p Position) refused(why string) error {
	return &PositionError{fmt.Sprintf("%q %s: allowed is %s", p.text, why, Positions)}
}

// before says of two times, or of two numbers, that p is the lower one: where both lie
// before the oldest message, numberOf does not tell.
func (p Position) before(q Position) bool {
	switch {
	case p.last || q.last || (p.time > 0) != (q.time > 0):
		return false
	case p.time > 0:
		return p.time < q.time
	}
	return p.seq < q.seq
}

// numberOf is the number that a position stands for: that of the first message from there
// on, or one past the last one. oldest says that older messages may have been there, which
// are not any more. The error is a *PositionError or of the file system.
func (t *Topic) numberOf(p Position) (seq uint64, oldest bool, err error) {
	start, end := t.o.Log.Start(), t.fanout.committed()
	switch {
	case p.last:
		return end, false, nil
	case p.time > t.o.Common.Channels.Clock.Wall():
		return 0, false, p.refused("is in the future")
	case p.time == 0 && p.seq > end:
		return 0, false, p.refused(fmt.Sprintf("is beyond the end: the next message has the number %d", end))
	case p.time == 0:
		return max(p.seq, min(start, end)), p.seq < start, nil
	}
	l := t.Look()
	if seq, err = l.Since(p.time); err != nil {
		return 0, false, err
	}
	return seq, seq < end && seq == l.next(0), nil
}
