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
type Action struct {
	Op      state.Op
	At      int64  // when the leader was asked, wall clock, ns since 1970
	Member  uint64 // through whom
	Request uint64 // the same when it is asked for again, after a leader has not answered
	Topic   uint64 // incarnation; 0: there was none
	Name    string // of the topic
	Channel string // of the channel, if it is one's
}

// Same says whether two actions are the same, through whomever they come.
func (a *Action) Same(b *Action) bool {
	return a.Op == b.Op && a.Name == b.Name && a.Channel == b.Channel
}

// AppendTo appends the action's bytes to dst.
func (a *Action) AppendTo(dst []byte) []byte {
	dst = append(dst, byte(a.Op))
	for _, n := range []uint64{uint64(a.At), a.Member, a.Request, a.Topic} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, name := range []string{a.Name, a.Channel} {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
	}
	return dst
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
	b = b[1:]
	var at uint64
	for _, n := range []*uint64{&at, &a.Member, &a.Request, &a.Topic} {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return a, nil, errAction
		}
		*n, b = v, b[size:]
	}
	a.At = int64(at)
	for _, name := range []*string{&a.Name, &a.Channel} {
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return a, nil, errAction
		}
		*name, b = string(b[size:][:length]), b[size+int(length):]
	}
	return a, b, nil
}

var errAction = fmt.Errorf("%w: an action is cut short", ErrMalformed)
