package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"qmq/message"
)

// A batch travels between nodes as its records one after the other, as
// message/record.go draws them, with number and checksum 0: the log that they
// are appended to fills those in.

// ErrRecords means that bytes are not the records of a batch.
var ErrRecords = errors.New("not the records of a batch")

// AppendRecords appends the batch's records to dst, Bytes() in all.
func (b *Batch) AppendRecords(dst []byte) []byte {
	from := 0
	for _, long := range b.long {
		to := len(b.buf)
		if long.index+1 < len(b.offsets) {
			to = int(b.offsets[long.index+1])
		}
		dst = append(append(dst, b.buf[from:to]...), long.body...)
		from = to
	}
	return append(dst, b.buf[from:]...)
}

// Records is a copy of the batch's records.
func (b *Batch) Records() []byte {
	if len(b.long) == 0 {
		return append([]byte(nil), b.buf...) // unlike with make, the memory is not cleared before
	}
	return b.AppendRecords(make([]byte, 0, b.Bytes()))
}

// ParseRecords makes the batch that of records, whose memory it uses until Reset.
// Whatever the bytes are, the batch can be appended if there is no error, which
// wraps ErrRecords: records are whole and tile the bytes, and so do MPUBs the
// batch. After an error the batch is empty.
func (b *Batch) ParseRecords(records []byte) error {
	b.Reset()
	if len(records) > maxAppend {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrRecords, len(records), maxAppend)
	}
	b.buf, b.borrowed = records[:len(records):len(records)], true
	for at := 0; at < len(records); {
		n, err := b.parseOne(records[at:], uint32(at))
		if err != nil {
			b.Reset()
			return fmt.Errorf("%w: at offset %d of %d: %w", ErrRecords, at, len(records), err)
		}
		at += n
	}
	return b.parsed()
}

// parsed wants that what was parsed is a whole batch.
func (b *Batch) parsed() error {
	if b.inMulti {
		b.Reset()
		return fmt.Errorf("%w: the end of an MPUB is missing", ErrRecords)
	}
	return nil
}

var (
	errSealed = errors.New("a record has a number or a checksum")
	errMulti  = errors.New("the marks of an MPUB are out of place")
)

// EachRecord gives the messages of records, the first of which has the number first, to
// take. The error is that of take, or wraps ErrRecords: whatever the bytes are, what take
// gets can be appended.
func EachRecord(records []byte, first uint64, take func(message.View) error) error {
	for len(records) > 0 {
		n, ok := message.Size(records)
		if !ok || n > len(records) || message.BodySize(records) < 0 {
			return fmt.Errorf("%w: %w", ErrRecords, message.ErrCorrupt)
		}
		v := message.Decode(records[:n])
		v.Seq = first
		if err := take(v); err != nil {
			return err
		}
		records, first = records[n:], first+1
	}
	return nil
}

// parseOne adds the record at the front of rest, which starts at an offset.
func (b *Batch) parseOne(rest []byte, offset uint32) (size int, err error) {
	if len(rest) < message.HeaderSize {
		return 0, message.ErrShort
	}
	n, ok := message.Size(rest)
	switch {
	case !ok || message.BodySize(rest) < 0:
		return 0, message.ErrCorrupt
	case n > len(rest):
		return 0, message.ErrShort
	case message.SeqOf(rest) != 0 || binary.LittleEndian.Uint32(rest[4:]) != 0:
		return 0, errSealed
	}
	return n, b.note(rest, offset)
}

// note notes the whole record at the front of rest, which starts at an offset.
func (b *Batch) note(rest []byte, offset uint32) error {
	v := message.Decode(rest)
	if err := b.parseMulti(v.Flags); err != nil {
		return err
	}
	if mark, ok := v.Mark(); ok {
		mark.Seq = uint64(len(b.offsets))
		b.marks = append(b.marks, mark)
	}
	b.addOnly(&v)
	if len(v.Attrs) > 0 {
		b.addID(v.Dedup())
	}
	b.offsets = append(b.offsets, offset)
	b.bodyBytes += int64(len(v.Body))
	return nil
}

// parseMulti follows the marks of MPUBs: a part of one would make a later start
// drop what is around it.
func (b *Batch) parseMulti(flags message.Flags) error {
	const marks = message.FlagBatch | message.FlagBatchFirst | message.FlagBatchLast
	switch part, first := flags&message.FlagBatch != 0, flags&message.FlagBatchFirst != 0; {
	case part && first != b.inMulti: // it begins one, or goes on with it
		b.inMulti = flags&message.FlagBatchLast == 0
		return nil
	case flags&marks == 0 && !b.inMulti:
		return nil
	}
	return errMulti
}

// Marks are the marks of the batch's messages, as Append returns them when the
// first gets the number first.
func (b *Batch) Marks(first uint64) []message.Mark {
	if len(b.marks) == 0 {
		return nil
	}
	marks := make([]message.Mark, len(b.marks))
	for i, m := range b.marks {
		m.Seq += first
		marks[i] = m
	}
	return marks
}

// Only is those of the batch's messages that are for one channel, as Append returns
// them when the first gets the number first.
func (b *Batch) Only(first uint64) []message.Only {
	if len(b.only) == 0 {
		return nil
	}
	only := slices.Clone(b.only)
	for i := range only {
		only[i].Seq += first
	}
	return only
}

// addOnly notes the channel that the next message is for, if it is for one.
func (b *Batch) addOnly(v *message.View) {
	if channel, ok := v.OnlyFor(); ok {
		b.only = append(b.only, message.Only{Seq: uint64(len(b.offsets)), Channel: string(channel)})
	}
}

// AddView adds a message that is in a log, with all that its record says, as a
// part of an MPUB as it was. The body is copied.
func (b *Batch) AddView(v message.View) {
	if mark, ok := v.Mark(); ok {
		mark.Seq = uint64(len(b.offsets))
		b.marks = append(b.marks, mark)
	}
	b.addOnly(&v)
	b.offsets = append(b.offsets, uint32(len(b.buf)))
	b.bodyBytes += int64(len(v.Body))
	b.buf = message.AppendRecord(b.buf, v.Timestamp, v.Flags, v.Attrs, v.Body)
}
