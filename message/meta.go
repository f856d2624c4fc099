package message

import "encoding/binary"

// Meta is what a publisher says of a message beside its body. What is zero is
// not said. Whatever else a message may be given (an expiry, a key, headers) is
// a field here, an attribute of the record (see AttrTag), and, if channels have
// to know of it before they read the message, a field of Mark.
type Meta struct {
	Timestamp int64 // of the publish, ns since 1970, wall clock
	DeliverAt int64 // not to be delivered before, ms since 1970, wall clock; 0: at once
	ExpireAt  int64 // not to be delivered after, ms since 1970, wall clock; 0: at any time
	// DeadLetter says where a dead letter comes from; nil: it is none.
	DeadLetter *DeadLetter
	// OnlyFor is the name of the one channel that the message is for; empty: it is for
	// all channels of its topic.
	OnlyFor string
	// Headers are the message's, as AttrHeaders draws them and CheckHeaders wants them; nil:
	// none. Key is what it is about, at most MaxKey bytes; empty: nothing.
	Headers, Key []byte
	// DedupID is what doubles of it are known by; nil: it is not looked for any.
	DedupID *DedupID
	// DedupBounds are within what it is; zero: it does not count.
	DedupBounds DedupBounds
	// Priority is 0 to MaxPriority.
	Priority uint8
	// Found is what of this was found in the body, as no publisher said it.
	Found Found
}

// Found are parts of a Meta. It is not kept with the message.
type Found uint8

// What may be found in a body.
const (
	FoundKey Found = 1 << iota
	FoundDedupID
)

// Mark is what topics and channels have to know of a message before they read it. Few
// messages have one.
type Mark struct {
	Seq       uint64
	DeliverAt int64 // ms since 1970, wall clock; 0: at once
	ExpireAt  int64 // ms since 1970, wall clock; 0: never
}

// Mark is the mark of the message with a sequence number that is given this
// Meta; ok is false when it has none.
func (m *Meta) Mark(seq uint64) (mark Mark, ok bool) {
	return Mark{Seq: seq, DeliverAt: m.DeliverAt, ExpireAt: m.ExpireAt}, m.DeliverAt|m.ExpireAt != 0
}

// Mark is the message's mark; ok is false when it has none.
func (v *View) Mark() (mark Mark, ok bool) {
	if len(v.Attrs) == 0 {
		return mark, false
	}
	at, deferred := v.DeliverAt()
	until, expires := v.ExpireAt()
	return Mark{Seq: v.Seq, DeliverAt: at, ExpireAt: until}, deferred || expires
}

// appendAttrs appends the attributes that say what m does.
func (m *Meta) appendAttrs(dst []byte) []byte {
	if m.DeliverAt != 0 {
		dst = AppendDeliverAt(dst, m.DeliverAt)
	}
	if m.ExpireAt != 0 {
		dst = AppendExpireAt(dst, m.ExpireAt)
	}
	if m.DeadLetter != nil {
		dst = AppendDeadLetter(dst, m.DeadLetter)
	}
	if m.OnlyFor != "" {
		dst = AppendAttr(dst, AttrOnlyFor, []byte(m.OnlyFor))
	}
	if m.describes() {
		dst = m.appendDescription(dst)
	}
	return dst
}

// describes tells whether the publisher says what the message is about.
func (m *Meta) describes() bool {
	return len(m.Headers)|len(m.Key)|int(m.Priority) != 0 || m.DedupID != nil
}

// appendDescription appends the attributes that consumers are told, or that they are
// told by.
func (m *Meta) appendDescription(dst []byte) []byte {
	if len(m.Headers) != 0 {
		dst = AppendAttr(dst, AttrHeaders, m.Headers)
	}
	if len(m.Key) != 0 {
		dst = AppendAttr(dst, AttrKey, m.Key)
	}
	if m.DedupID != nil {
		dst = AppendAttr(dst, AttrDedupID, m.DedupID[:])
		if m.DedupBounds != (DedupBounds{}) {
			dst = m.DedupBounds.appendAttr(dst)
		}
	}
	if m.Priority != 0 {
		dst = AppendAttr(dst, AttrPriority, []byte{m.Priority})
	}
	return dst
}

// AppendAgain appends the record of v, which is in no log yet, with the key and what doubles
// are known by as m has them, in the place of its own.
func (v *View) AppendAgain(dst []byte, m *Meta) []byte {
	attrs := make([]byte, 0, len(v.Attrs)+attrHeader+len(m.Key))
	for tag, value := range Attrs(v.Attrs) {
		if tag != AttrKey && tag != AttrDedupID && tag != AttrDedupBounds {
			attrs = AppendAttr(attrs, tag, value)
		}
	}
	said := Meta{Key: m.Key, DedupID: m.DedupID, DedupBounds: m.DedupBounds}
	return AppendRecord(dst, v.Timestamp, v.Flags, said.appendDescription(attrs), v.Body)
}

// AppendNew appends the record of a message that is new, as AppendRecord does
// one that is known already.
func AppendNew(dst []byte, m *Meta, flags Flags, body []byte) []byte {
	return append(AppendNewHead(dst, m, flags, len(body)), body...)
}

// AppendNewHead appends what comes before the body in the record of a new
// message whose body has the given size.
func AppendNewHead(dst []byte, m *Meta, flags Flags, body int) []byte {
	start := len(dst)
	dst = m.appendAttrs(appendHead(dst, m.Timestamp, flags, 0, body))
	if attrs := len(dst) - start - HeaderSize; attrs > 0 {
		binary.LittleEndian.PutUint32(dst[start:], uint32(HeaderSize-crcStart+attrs+body))
		binary.LittleEndian.PutUint16(dst[start+26:], uint16(attrs))
	}
	return dst
}
