package message

import "crypto/sha256"

// AttrKey holds the key of a message, which says what it is about: 1 to MaxKey bytes.
const AttrKey AttrTag = 7

// AttrDedupID holds a DedupID, 16 bytes.
const AttrDedupID AttrTag = 8

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
