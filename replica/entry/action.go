package entry

import (
	"encoding/binary"
	"fmt"

	"qmq/state"
)

// Action says that somebody asked for an action through a member: whoever asks all
// members for the same asks for one. It comes with what is done for it, and is:
//
//	| op u8 | at | member | request | topic | size | topic's name | size | channel's name |
//	|       | uvarint each                  |        in bytes              in bytes      |
//
// and, where it creates a channel or rewinds one, behind that:
//
//	| size | place | from uvarint |
type Action struct {
	Op      state.Op
	At      int64  // when the leader was asked, wall clock, ns since 1970
	Member  uint64 // through whom
	Request uint64 // the same when it is asked for again, after a leader has not answered
	Topic   uint64 // incarnation; 0: there was none
	Name    string // of the topic
	Channel string // of the channel, if it is one's
	// Place is where a channel is to begin, and to end, the same text for the same: its
	// meaning is not this package's. From is the number at which it began, once that is done.
	Place string
	From  uint64
}

// Replays says whether the action has a channel begin somewhere.
func (a *Action) Replays() bool {
	return a.Op == state.CreateChannel || a.Op == state.RewindChannel
}

// Same says whether two actions are the same, through whomever they come.
func (a *Action) Same(b *Action) bool {
	return a.Op == b.Op && a.Name == b.Name && a.Channel == b.Channel && a.Place == b.Place
}

// AppendTo appends the action's bytes to dst.
func (a *Action) AppendTo(dst []byte) []byte {
	dst = append(dst, byte(a.Op))
	for _, n := range []uint64{uint64(a.At), a.Member, a.Request, a.Topic} {
		dst = binary.AppendUvarint(dst, n)
	}
	dst = appendText(appendText(dst, a.Name), a.Channel)
	if a.Replays() {
		dst = binary.AppendUvarint(appendText(dst, a.Place), a.From)
	}
	return dst
}

func appendText(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// DecodeAction reads an action, and returns what is behind it. The error is an
// ErrMalformed or an ErrUnknownEntry.
func DecodeAction(b []byte) (a Action, rest []byte, err error) {
	if len(b) == 0 {
		return a, nil, errAction
	}
	if a.Op = state.Op(b[0]); !a.Op.Known() {
		return a, nil, fmt.Errorf("%w: action %d", ErrUnknownEntry, a.Op)
	}
	r := actionReader{b: b[1:]}
	a.At, a.Member, a.Request, a.Topic = int64(r.number()), r.number(), r.number(), r.number()
	a.Name, a.Channel = r.text(), r.text()
	if a.Replays() {
		a.Place, a.From = r.text(), r.number()
	}
	if r.short {
		return a, nil, errAction
	}
	return a, r.b, nil
}

// actionReader reads the parts of an action.
type actionReader struct {
	b     []byte
	short bool // there was less than was asked for
}

func (r *actionReader) number() (n uint64) {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.short = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *actionReader) text() (text string) {
	length := r.number()
	if length > uint64(len(r.b)) {
		r.b, r.short = nil, true
		return ""
	}
	text, r.b = string(r.b[:length]), r.b[length:]
	return text
}

var errAction = fmt.Errorf("%w: an action is cut short", ErrMalformed)
