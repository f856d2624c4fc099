package message

import (
	"encoding/binary"
	"iter"
)

// AttrTag names an attribute. Attributes are tagged values, little-endian:
//
//	┌─────────┬─────────┬───────┐
//	│ tag u16 │ len u16 │ value │ …
//	└─────────┴─────────┴───────┘
//
// A reader skips tags that it does not know; whoever copies a record keeps
// them.
type AttrTag uint16

// AttrDeliverAt holds when a deferred message is due: i64, ms since 1970.
const AttrDeliverAt AttrTag = 1

// AttrExpireAt holds until when a message is good: i64, ms since 1970.
const AttrExpireAt AttrTag = 2

// AttrNSQID holds the id that a message had in the nsqd from which it was imported:
// u64, the hexadecimal digits of the id as a number.
const AttrNSQID AttrTag = 5

const attrHeader = 4

// AppendAttr appends one attribute. A value is at most 65,535 bytes long.
func AppendAttr(dst []byte, tag AttrTag, value []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(tag))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// AppendDeliverAt appends the attribute of a message due at ms since 1970.
func AppendDeliverAt(dst []byte, ms int64) []byte { return appendTime(dst, AttrDeliverAt, ms) }

// AppendExpireAt appends the attribute of a message that is good until ms since 1970.
func AppendExpireAt(dst []byte, ms int64) []byte { return appendTime(dst, AttrExpireAt, ms) }

func appendTime(dst []byte, tag AttrTag, ms int64) []byte {
	var v [8]byte
	binary.LittleEndian.PutUint64(v[:], uint64(ms))
	return AppendAttr(dst, tag, v[:])
}

// Attr finds the value of tag; ok is false when attrs lacks it or is malformed
// before it.
func Attr(attrs []byte, tag AttrTag) (value []byte, ok bool) {
	for len(attrs) >= attrHeader {
		n := attrHeader + int(binary.LittleEndian.Uint16(attrs[2:]))
		if n > len(attrs) {
			return nil, false
		}
		if AttrTag(binary.LittleEndian.Uint16(attrs)) == tag {
			return attrs[attrHeader:n:n], true
		}
		attrs = attrs[n:]
	}
	return nil, false
}

// Attrs are all attributes, in their order, up to where they are malformed.
func Attrs(attrs []byte) iter.Seq2[AttrTag, []byte] {
	return func(yield func(AttrTag, []byte) bool) {
		for rest := attrs; len(rest) >= attrHeader; {
			n := attrHeader + int(binary.LittleEndian.Uint16(rest[2:]))
			if n > len(rest) || !yield(AttrTag(binary.LittleEndian.Uint16(rest)), rest[attrHeader:n:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// DeliverAt is when the message is due (ms since 1970); ok is false for one
// that was not deferred.
func (v *View) DeliverAt() (ms int64, ok bool) { return v.time(AttrDeliverAt) }

// ExpireAt is until when the message is good (ms since 1970); ok is false for one
// that its publisher gave no time to live.
func (v *View) ExpireAt() (ms int64, ok bool) { return v.time(AttrExpireAt) }

func (v *View) time(tag AttrTag) (ms int64, ok bool) {
	if len(v.Attrs) == 0 {
		return 0, false
	}
	value, ok := Attr(v.Attrs, tag)
	if !ok || len(value) != 8 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(value)), true
}

// NSQID is the id that the message had in the nsqd from which it was imported, as a
// number; ok is false for any other message.
func (v *View) NSQID() (id uint64, ok bool) {
	value, ok := Attr(v.Attrs, AttrNSQID)
	if !ok || len(value) != 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(value), true
}

// AppendNSQID appends the attribute of a message that had an id in nsqd.
func AppendNSQID(dst []byte, id uint64) []byte {
	var v [8]byte
	binary.LittleEndian.PutUint64(v[:], id)
	return AppendAttr(dst, AttrNSQID, v[:])
}
