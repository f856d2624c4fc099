package diskqueue

import (
	"qmq/message"
)

// Batch is records on their way into a log: encoded already, but without the
// sequence numbers and checksums that they get when they are written. All of
// a batch is stored, or nothing. A batch is used by one goroutine at a time
// and may be used again after Reset.
type Batch struct {
	buf       []byte
	attrs     [12]byte // scratch for the one attribute that publishing sets
	offsets   []uint32 // where each record starts in buf
	delayed   []delayedRecord
	bodyBytes int64
	multi     int // index of the first record of the MPUB being added, or -1
	inMulti   bool
}

// delayedRecord is a deferred message by its place in the batch.
type delayedRecord struct {
	index     int
	deliverAt int64 // ms since 1970
}

// keepBatchBytes is how large a batch's buffer may be and still be kept for
// its next use: enough for an MPUB of the default limits. Growing it anew each
// time costs more than everything else that is done to large messages.
const keepBatchBytes = 8 << 20

// Reset empties the batch.
func (b *Batch) Reset() {
	if cap(b.buf) > keepBatchBytes {
		*b = Batch{}
		return
	}
	b.buf, b.offsets, b.delayed = b.buf[:0], b.offsets[:0], b.delayed[:0]
	b.bodyBytes, b.inMulti = 0, false
}

// Len is how many messages the batch holds.
func (b *Batch) Len() int { return len(b.offsets) }

// Bytes is how many bytes the batch takes in the log.
func (b *Batch) Bytes() int { return len(b.buf) }

// BodyBytes is the sum of the sizes of the messages' bodies.
func (b *Batch) BodyBytes() int64 { return b.bodyBytes }

// Truncate drops all messages but the first n. Of an MPUB the first part may
// stay, as a shorter one: it is for logs that need not keep all they are given.
func (b *Batch) Truncate(n int) {
	if n >= len(b.offsets) {
		return
	}
	for _, o := range b.offsets[n:] {
		b.bodyBytes -= int64(len(message.Decode(b.buf[o:]).Body))
	}
	b.buf = b.buf[:b.offsets[n]]
	b.offsets = b.offsets[:n]
	for len(b.delayed) > 0 && b.delayed[len(b.delayed)-1].index >= n {
		b.delayed = b.delayed[:len(b.delayed)-1]
	}
	if n == 0 {
		return
	}
	if last := b.buf[b.offsets[n-1]:]; message.Decode(last).Flags&message.FlagBatch != 0 {
		message.SetFlags(last, message.FlagBatchLast)
	}
}

// Add adds a message published at timestamp (ns since 1970). It copies body.
func (b *Batch) Add(timestamp int64, body []byte) {
	b.add(timestamp, nil, body)
}

// AddDeferred adds a message that is not to be delivered before deliverAt, in
// ms since 1970.
func (b *Batch) AddDeferred(timestamp int64, body []byte, deliverAt int64) {
	b.delayed = append(b.delayed, delayedRecord{index: len(b.offsets), deliverAt: deliverAt})
	b.add(timestamp, message.AppendDeliverAt(b.attrs[:0], deliverAt), body)
}

func (b *Batch) add(timestamp int64, attrs, body []byte) {
	var flags message.Flags
	if b.inMulti {
		flags = message.FlagBatch
	}
	b.offsets = append(b.offsets, uint32(len(b.buf)))
	b.buf = message.AppendRecord(b.buf, timestamp, flags, attrs, body)
	b.bodyBytes += int64(len(body))
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
