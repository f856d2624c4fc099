package diskqueue

import (
	"errors"
	"slices"

	"qmq/message"
)

// Batch is records on their way into a log: encoded already, but without the
// sequence numbers and checksums that they get when they are written. All of
// a batch is stored, or nothing. A batch is used by one goroutine at a time
// and may be used again after Reset.
type Batch struct {
	buf       []byte   // the records without their long bodies
	offsets   []uint32 // where each record starts in buf
	long      []longBody
	longBytes int
	marks     []message.Mark // Seq is the place in the batch, until it is written
	only      []message.Only // likewise
	ids       []Identified   // ascending by index
	bodyBytes int64
	multi     int // index of the first record of the MPUB being added, or -1
	inMulti   bool
	borrowed  bool   // buf is the memory of ParseRecords' caller
	first     uint64 // see First
	asked     bool   // see AskFirst
	doubles   []int  // see Doubles
	stamped   Stamped
}

// longBody is a body that stays where the publisher has it until it is written:
// to copy it twice would cost more than all else that is done to it.
type longBody struct {
	index int // of its record in the batch
	body  []byte
}

// minLong is how long a body is at least that is not copied into the batch.
const minLong = 4 << 10

// overhead is what a message takes in a batch beside its body, in bytes.
const overhead = message.HeaderSize + 4 // the record's header, and its offset

// Need is what messages take in a batch, as far as it is known before they are
// added to one.
type Need struct {
	messages, bytes int
}

// Count counts a message with this body.
func (n *Need) Count(body []byte) {
	n.messages++
	if len(body) < minLong {
		n.bytes += len(body)
	}
}

// CountHeaders counts the headers of a message that is counted.
func (n *Need) CountHeaders(encoded []byte) { n.bytes += len(encoded) }

// Messages is how many were counted.
func (n *Need) Messages() int { return n.messages }

// Memory is how many bytes they take.
func (n *Need) Memory() int { return n.bytes + n.messages*overhead }

// keepBatchBytes is how large a batch's buffer may be and still be kept for
// its next use: enough for an MPUB of the default limits.
const keepBatchBytes = 8 << 20

// Reset empties the batch.
func (b *Batch) Reset() {
	if cap(b.buf) > keepBatchBytes {
		*b = Batch{}
		return
	}
	clear(b.long) // the publisher's memory is not kept
	if b.borrowed {
		b.buf, b.borrowed = nil, false
	}
	b.buf, b.offsets, b.long, b.marks = b.buf[:0], b.offsets[:0], b.long[:0], b.marks[:0]
	b.only, b.ids = nil, b.ids[:0]
	b.longBytes, b.bodyBytes, b.inMulti = 0, 0, false
	b.first, b.asked, b.doubles = 0, false, nil
	b.stamped.By, b.stamped.Found = 0, b.stamped.Found[:0]
}

// First is the number that the first message got when the batch was written; the others
// follow it. 0: it was not written, or by others who have not told.
func (b *Batch) First() uint64 { return b.first }

// SetFirst says that others have written the batch, from that number on.
func (b *Batch) SetFirst(seq uint64) { b.first = seq }

// AskFirst says that First is going to be asked: others who write the batch are to tell.
func (b *Batch) AskFirst() { b.asked = true }

// FirstAsked says that AskFirst was called.
func (b *Batch) FirstAsked() bool { return b.asked }

// Grow makes room for messages at once: while a batch grows by itself, it takes
// several times the memory that it needs.
func (b *Batch) Grow(n Need) {
	b.offsets = slices.Grow(b.offsets, n.messages)
	b.buf = slices.Grow(b.buf, n.bytes+n.messages*message.HeaderSize)
}

// Len is how many messages the batch holds.
func (b *Batch) Len() int { return len(b.offsets) }

// Bytes is how many bytes the batch takes in the log.
func (b *Batch) Bytes() int { return len(b.buf) + b.longBytes }

// BodyBytes is the sum of the sizes of the messages' bodies.
func (b *Batch) BodyBytes() int64 { return b.bodyBytes }

// Truncate drops all messages but the first n. Of an MPUB the first part may
// stay, as a shorter one: it is for logs that need not keep all they are given.
func (b *Batch) Truncate(n int) {
	if n >= len(b.offsets) {
		return
	}
	for _, o := range b.offsets[n:] {
		b.bodyBytes -= int64(message.BodySize(b.buf[o:]))
	}
	for i := len(b.long) - 1; i >= 0 && b.long[i].index >= n; i-- {
		b.longBytes -= len(b.long[i].body)
		b.long[i].body = nil
		b.long = b.long[:i]
	}
	b.buf = b.buf[:b.offsets[n]]
	b.offsets = b.offsets[:n]
	b.stamped.truncate(n)
	for len(b.ids) > 0 && b.ids[len(b.ids)-1].Index >= n {
		b.ids = b.ids[:len(b.ids)-1]
	}
	for len(b.marks) > 0 && b.marks[len(b.marks)-1].Seq >= uint64(n) {
		b.marks = b.marks[:len(b.marks)-1]
	}
	for len(b.only) > 0 && b.only[len(b.only)-1].Seq >= uint64(n) {
		b.only = b.only[:len(b.only)-1]
	}
	if n == 0 {
		return
	}
	if last := b.buf[b.offsets[n-1]:]; message.FlagsOf(last)&message.FlagBatch != 0 {
		message.SetFlags(last, message.FlagBatchLast)
	}
}

// errPartOfMulti says that a log ends within an MPUB.
var errPartOfMulti = errors.New("a part of an MPUB is there")

// behind is a batch of all messages but the first n, of which there are more. It
// shares the memory of b.
func (b *Batch) behind(n int) (*Batch, error) {
	at := b.offsets[n]
	if flags := message.FlagsOf(b.buf[at:]); flags&message.FlagBatch != 0 && flags&message.FlagBatchFirst == 0 {
		return nil, errPartOfMulti
	}
	left := &Batch{buf: b.buf[at:]}
	for _, o := range b.offsets[n:] {
		left.offsets = append(left.offsets, o-at)
		left.bodyBytes += int64(message.BodySize(b.buf[o:]))
	}
	for _, long := range b.long {
		if long.index >= n {
			left.long = append(left.long, longBody{index: long.index - n, body: long.body})
			left.longBytes += len(long.body)
		}
	}
	for _, m := range b.marks {
		if m.Seq >= uint64(n) {
			m.Seq -= uint64(n)
			left.marks = append(left.marks, m)
		}
	}
	for _, o := range b.only {
		if o.Seq >= uint64(n) {
			o.Seq -= uint64(n)
			left.only = append(left.only, o)
		}
	}
	return left, nil
}

// Add adds a message; m is not kept. The body must stay as it is until the batch is written or
// reset.
func (b *Batch) Add(m *message.Meta, body []byte) {
	var flags message.Flags
	if b.inMulti {
		flags = message.FlagBatch
	}
	if mark, ok := m.Mark(uint64(len(b.offsets))); ok {
		b.marks = append(b.marks, mark)
	}
	if m.OnlyFor != "" {
		b.only = append(b.only, message.Only{Seq: uint64(len(b.offsets)), Channel: m.OnlyFor})
	}
	if m.DedupID != nil {
		b.addID(m.Dedup())
	}
	if m.Found != 0 && b.stamped.By != 0 {
		b.stamped.Found = append(b.stamped.Found, FoundIn{len(b.offsets), m.Found})
	}
	b.offsets = append(b.offsets, uint32(len(b.buf)))
	b.bodyBytes += int64(len(body))
	if len(body) < minLong {
		b.buf = message.AppendNew(b.buf, m, flags, body)
		return
	}
	b.buf = message.AppendNewHead(b.buf, m, flags, len(body))
	b.long = append(b.long, longBody{index: len(b.offsets) - 1, body: body})
	b.longBytes += len(body)
}

// BeginMulti starts an MPUB: the messages added until EndMulti come back after
// a crash all together or not at all.
func (b *Batch) BeginMulti() {
	b.inMulti, b.multi = true, len(b.offsets)
}

// EndMulti ends the MPUB that BeginMulti started.
func (b *Batch) EndMulti() {
	b.inMulti = false
	if b.multi == len(b.offsets) {
		return
	}
	message.SetFlags(b.buf[b.offsets[b.multi]:], message.FlagBatchFirst)
	message.SetFlags(b.buf[b.offsets[len(b.offsets)-1]:], message.FlagBatchLast)
}

// seal appends the finished records to dst, with numbers from seq on and the
// checksums of a segment with this salt, and to offs where each of them starts
// in dst. What the index needs of them is noted.
func (b *Batch) seal(dst []byte, offs []uint32, seq uint64, salt uint32, n *noting) ([]byte, []uint32) {
	b.first = seq
	if len(b.long) > 0 {
		return b.sealLong(dst, offs, seq, salt, n)
	}
	start := uint32(len(dst))
	dst = append(dst, b.buf...)
	for i, o := range b.offsets {
		message.Seal(dst[start+o:], seq+uint64(i), salt)
		n.note(seq+uint64(i), start+o, message.TimeOf(dst[start+o:]))
		offs = append(offs, start+o)
	}
	return dst, offs
}

// sealLong does it record by record: the checksum reads a body while the cache
// still holds it.
func (b *Batch) sealLong(dst []byte, offs []uint32, seq uint64, salt uint32, n *noting) ([]byte, []uint32) {
	long := b.long
	for i, o := range b.offsets {
		end := len(b.buf)
		if i+1 < len(b.offsets) {
			end = int(b.offsets[i+1])
		}
		start := len(dst)
		dst = append(dst, b.buf[o:end]...)
		if len(long) > 0 && long[0].index == i {
			dst = append(dst, long[0].body...)
			long = long[1:]
		}
		message.Seal(dst[start:], seq+uint64(i), salt)
		n.note(seq+uint64(i), uint32(start), message.TimeOf(dst[start:]))
		offs = append(offs, uint32(start))
	}
	return dst, offs
}
