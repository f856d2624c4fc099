// Package message holds what a message is: its 16-byte id, its attributes and
// the record in which a log stores it. It does no I/O and starts no goroutine.
package message

import "encoding/hex"

// MaxNodeID is the largest node id; it fills the ten high bits of a message id.
const MaxNodeID = 1<<10 - 1

// MaxSeq is the largest sequence number; it fills the 54 low bits of an id.
const MaxSeq = 1<<54 - 1

// ID is a message's id as clients see it: 16 lowercase hexadecimal characters
// of node id (10 bits) and sequence number (54 bits). It is text because
// clients put it, unescaped, on a command line.
type ID [IDSize]byte

// IDSize is how many bytes an id has.
const IDSize = 16

// MakeID builds the id of the message with sequence number seq on node.
func MakeID(node uint16, seq uint64) ID {
	var id ID
	v := uint64(node)<<54 | seq&MaxSeq
	const digits = "0123456789abcdef"
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = digits[v&15]
		v >>= 4
	}
	return id
}

// Split takes an id apart. ok is false when it is not lowercase hexadecimal,
// so that no message can have it.
func (id *ID) Split() (node uint16, seq uint64, ok bool) {
	var v uint64
	for _, c := range id {
		switch {
		case c-'0' <= 9:
			v = v<<4 | uint64(c-'0')
		case c-'a' <= 5:
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, 0, false
		}
	}
	return uint16(v >> 54), v & MaxSeq, true
}

// String is the id's text; bytes that cannot be in an id are shown in hex.
func (id ID) String() string {
	if _, _, ok := id.Split(); ok {
		return string(id[:])
	}
	return hex.EncodeToString(id[:])
}

// View is one message of a log. Its slices alias the buffer they were read
// from and are valid only as long as the reader's contract says.
type View struct {
	Seq       uint64
	Timestamp int64 // of the publish, ns since 1970, wall clock
	Flags     Flags
	Attrs     []byte // encoded attributes, see AttrTag
	Body      []byte
}
