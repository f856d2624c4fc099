package message

import "encoding/binary"

// Reason is how the last delivery of a dead letter ended.
type Reason uint8

// The reasons. Numbers are on disk: never reuse one.
const (
	TimedOut Reason = iota + 1
	Requeued
)

// String is the reason's name, as the API has it.
func (r Reason) String() string {
	switch r {
	case TimedOut:
		return "timeout"
	case Requeued:
		return "requeue"
	}
	return "unknown"
}

// DeadLetter says where a message of a dead-letter topic comes from. Consumers do not
// see it: it is an attribute of the record.
type DeadLetter struct {
	Topic, Channel string // that gave it up
	ID             ID     // what it was called there
	Published      int64  // when it was published there, ns since 1970
	Attempts       uint16 // how often it was delivered
	Reason         Reason // how the last delivery ended
	Ended          int64  // when, ms since 1970
}

// AttrDeadLetter holds a DeadLetter:
//
//	┌───────────┬─────────────┬────────────┬─────────┬────────────────┬─────────┬───────┬─────────┬─────────┐
//	│ reason u8 │ attempts u16│ ended i64  │ id      │ published i64  │ len u8  │ topic │ len u8  │ channel │
//	│           │             │ (ms)       │ 16 bytes│ (ns)           │         │       │         │         │
//	└───────────┴─────────────┴────────────┴─────────┴────────────────┴─────────┴───────┴─────────┴─────────┘
//
// A reader skips what comes behind.
const AttrDeadLetter AttrTag = 3

// deadLetterHead is the size of what comes before the names.
const deadLetterHead = 1 + 2 + 8 + 16 + 8

// AppendDeadLetter appends the attribute of a dead letter. Names are at most 255 bytes
// long.
func AppendDeadLetter(dst []byte, d *DeadLetter) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(AttrDeadLetter))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(deadLetterHead+2+len(d.Topic)+len(d.Channel)))
	dst = append(dst, byte(d.Reason))
	dst = binary.LittleEndian.AppendUint16(dst, d.Attempts)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(d.Ended))
	dst = append(dst, d.ID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(d.Published))
	dst = append(append(dst, byte(len(d.Topic))), d.Topic...)
	return append(append(dst, byte(len(d.Channel))), d.Channel...)
}

// DeadLetter says where the message comes from; ok is false for one that is no dead
// letter.
func (v *View) DeadLetter() (d DeadLetter, ok bool) {
	value, ok := Attr(v.Attrs, AttrDeadLetter)
	if !ok || len(value) < deadLetterHead {
		return DeadLetter{}, false
	}
	d.Reason = Reason(value[0])
	d.Attempts = binary.LittleEndian.Uint16(value[1:])
	d.Ended = int64(binary.LittleEndian.Uint64(value[3:]))
	copy(d.ID[:], value[11:])
	d.Published = int64(binary.LittleEndian.Uint64(value[27:]))
	rest := value[deadLetterHead:]
	if d.Topic, rest, ok = cutName(rest); !ok {
		return DeadLetter{}, false
	}
	if d.Channel, _, ok = cutName(rest); !ok {
		return DeadLetter{}, false
	}
	return d, true
}

// cutName takes a name off the front of b.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}

// AttrOnlyFor holds the name of the channel that the message is for: all others of
// its topic pass it over.
const AttrOnlyFor AttrTag = 4

// Only says of a message that it is for one channel.
type Only struct {
	Seq     uint64
	Channel string
}

// Again says that the message was published before: that it is a dead letter, or put back.
func (v *View) Again() bool {
	if len(v.Attrs) == 0 {
		return false
	}
	_, letter := Attr(v.Attrs, AttrDeadLetter)
	_, only := Attr(v.Attrs, AttrOnlyFor)
	return letter || only
}

// OnlyFor is the name of the one channel that the message is for; ok is false for one
// that is for all.
func (v *View) OnlyFor() (channel []byte, ok bool) {
	if len(v.Attrs) == 0 {
		return nil, false
	}
	return Attr(v.Attrs, AttrOnlyFor)
}
