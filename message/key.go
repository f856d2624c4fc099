package message

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// AttrKey holds the key of a message, which says what it is about: 1 to MaxKey bytes.
const AttrKey AttrTag = 7

// AttrDedupID holds a DedupID, 16 bytes.
const AttrDedupID AttrTag = 8

// AttrDedupBounds holds the DedupBounds of a message whose id counts: window u64 (ms),
// most u32 (ids). That of a message without does not.
const AttrDedupBounds AttrTag = 10

// AttrPriority holds the priority of a message: u8, 1 to MaxPriority. That of a message
// without is 0.
const AttrPriority AttrTag = 9

// MaxKey is how many bytes a key has at most.
const MaxKey = 255

// MaxPriority is the highest priority, and that of what is most urgent.
const MaxPriority = 9

// DedupID is what doubles of a message are known by: the first half of the SHA-256 of
// the id that its publisher gave it.
type DedupID [16]byte

// MakeDedupID makes a DedupID of a publisher's id.
func MakeDedupID(id []byte) (d DedupID) {
	sum := sha256.Sum256(id)
	copy(d[:], sum[:])
	return d
}

// DedupBounds are within what a message's DedupID is known: it is a double if its id came
// within Window before it, and was one of the last Most that counted. The zero DedupBounds
// are those of a message whose id does not count.
type DedupBounds struct {
	Window time.Duration // whole ms
	Most   uint32
}

const dedupBoundsSize = 12

func (b DedupBounds) appendAttr(dst []byte) []byte {
	var v [dedupBoundsSize]byte
	binary.LittleEndian.PutUint64(v[:], uint64(b.Window.Milliseconds()))
	binary.LittleEndian.PutUint32(v[8:], b.Most)
	return AppendAttr(dst, AttrDedupBounds, v[:])
}

// Dedup is an id that counts, of a message that is published.
type Dedup struct {
	ID     DedupID
	At     int64 // the message's timestamp, ns since 1970
	Bounds DedupBounds
}

// Dedup is the message's; ok is false where it has no id, or one that does not count.
func (m *Meta) Dedup() (d Dedup, ok bool) {
	if m.DedupID == nil || m.DedupBounds == (DedupBounds{}) {
		return d, false
	}
	return Dedup{*m.DedupID, m.Timestamp, m.DedupBounds}, true
}

// Dedup is Meta.Dedup of a message in a log.
func (v *View) Dedup() (d Dedup, ok bool) {
	value := v.attr(AttrDedupBounds)
	if len(value) != dedupBoundsSize {
		return d, false
	}
	d.At = v.Timestamp
	d.Bounds.Window = time.Duration(min(binary.LittleEndian.Uint64(value), math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
	d.Bounds.Most = binary.LittleEndian.Uint32(value[8:])
	d.ID, ok = v.DedupID()
	return d, ok
}

// Key is the message's key; nil where it has none.
func (v *View) Key() []byte { return v.attr(AttrKey) }

// DedupID is the message's; ok is false where it has none.
func (v *View) DedupID() (id DedupID, ok bool) {
	value := v.attr(AttrDedupID)
	if len(value) != len(id) {
		return id, false
	}
	return DedupID(value), true
}

// Priority is the message's, 0 to MaxPriority.
func (v *View) Priority() uint8 {
	value := v.attr(AttrPriority)
	if len(value) != 1 {
		return 0
	}
	return min(value[0], MaxPriority)
}
