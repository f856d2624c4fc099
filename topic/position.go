package topic

import (
	"fmt"
	"math"
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

// Positions is what a position may be: whoever tells somebody of a PositionError adds it.
const Positions = "first, last, a time (RFC 3339) that is not in the future, or one before now such as -1h30m, or the number of a message"

// ParsePosition reads first, last, a time as ParseTime does, now being ns since 1970, or the
// number of a message. The error is a *PositionError.
func ParsePosition(text string, now int64) (Position, error) {
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
	if p.time, ok = ParseTime(text, now); !ok {
		return p, p.refused("is no place in the log")
	}
	return p, nil
}

// ParseTime reads a time as RFC 3339 has it, or a minus and for how long before now it was, such
// as -1h30m. It is in ns since 1970, 1 at least; times that are later than ns can say are the
// last that they can. A + in it may have become a space, as it does in a query that does not
// escape it.
func ParseTime(text string, now int64) (ns int64, ok bool) {
	if ago, relative := strings.CutPrefix(text, "-"); relative {
		span, err := time.ParseDuration(ago)
		return max(1, now-int64(span)), err == nil && ago[0] != '-' && ago[0] != '+'
	}
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil {
		return 0, false
	}
	first, last := time.Unix(0, 1), time.Unix(0, math.MaxInt64)
	switch {
	case at.Before(first):
		at = first
	case at.After(last):
		at = last
	}
	return at.UnixNano(), true
}

// Canonical is the same text for all that is said of one position, of a time before now whenever
// that is read; empty for the zero value.
func (p Position) Canonical() string {
	ago, relative := strings.CutPrefix(p.text, "-")
	switch {
	case p == (Position{}):
		return ""
	case relative:
		span, _ := time.ParseDuration(ago) // as it was before
		return "-" + span.String()
	case p.last:
		return "last"
	case p.time > 0:
		return "@" + strconv.FormatInt(p.time, 10)
	case p.seq > 0:
		return strconv.FormatUint(p.seq, 10)
	}
	return "first"
}

func (p Position) refused(why string) error {
	return &PositionError{fmt.Sprintf("%q %s", p.text, why)}
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
