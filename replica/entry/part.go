package entry

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"qmq/diskqueue"
	"qmq/internal/crc32c"
)

// Origin is which batch of whom a part is. The replicas apply the batches of a
// member for a topic once each, in the order of their numbers, from 1 on in each
// of its epochs.
type Origin struct {
	Member uint64 // who numbered it
	Epoch  uint64 // grows with each start of the member
	Number uint64 // of the batch, for this topic in this epoch
}

// partSum is how many bytes a part's own checksum has.
const partSum = 4

// Part is one publisher's batch: all of it is published, or nothing. It travels as
// it is in the entry:
//
//	0     4
//	| crc | topic | member | epoch | number | count | records, to the end
//	| u32 | uvarint each                            |
//
// where crc is the CRC-32C of all that is behind it and the records are as
// diskqueue/neutral.go has them. A part without records only passes its number
// over: that of a batch that was given up.
type Part struct {
	Topic  uint64 // incarnation
	Origin Origin
	Count  int // of records
	// Records are those of the batch.
	Records []byte
	// Batch is used in the place of Count and Records by AppendTo and Size, if it
	// is there.
	Batch *diskqueue.Batch

	raw []byte // of a part that was decoded, as it was
}

func (p *Part) count() int {
	if p.Batch != nil {
		return p.Batch.Len()
	}
	return p.Count
}

// Size is how many bytes AppendTo appends.
func (p *Part) Size() int {
	if p.raw != nil {
		return len(p.raw)
	}
	n := 4 + uvarintLen(p.Topic) + uvarintLen(p.Origin.Member) + uvarintLen(p.Origin.Epoch) +
		uvarintLen(p.Origin.Number) + uvarintLen(uint64(p.count()))
	if p.Batch != nil {
		return n + p.Batch.Bytes()
	}
	return n + len(p.Records)
}

func uvarintLen(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// AppendTo appends the part's bytes to dst. A part that was decoded is appended as
// it was.
func (p *Part) AppendTo(dst []byte) []byte {
	if p.raw != nil {
		return append(dst, p.raw...)
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, n := range [...]uint64{p.Topic, p.Origin.Member, p.Origin.Epoch, p.Origin.Number, uint64(p.count())} {
		dst = binary.AppendUvarint(dst, n)
	}
	if p.Batch != nil {
		dst = p.Batch.AppendRecords(dst)
	} else {
		dst = append(dst, p.Records...)
	}
	binary.LittleEndian.PutUint32(dst[start:], crc32c.Sum(dst[start+4:]))
	return dst
}

// DecodePart reads the part that b is and verifies its checksum. It uses the
// memory of b, and does not look at the records: ParseInto does.
func DecodePart(b []byte) (Part, error) {
	if len(b) < 4 || crc32c.Sum(b[4:]) != binary.LittleEndian.Uint32(b) {
		return Part{}, fmt.Errorf("%w: the checksum of a part is wrong", ErrMalformed)
	}
	p := Part{raw: b}
	count, rest := uint64(0), b[4:]
	for _, into := range [...]*uint64{&p.Topic, &p.Origin.Member, &p.Origin.Epoch, &p.Origin.Number, &count} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return Part{}, fmt.Errorf("%w: a part is cut short", ErrMalformed)
		}
		*into, rest = v, rest[n:]
	}
	if count > uint64(len(rest)) || p.Origin.Number == 0 {
		return Part{}, fmt.Errorf("%w: a part of %d records, number %d", ErrMalformed, count, p.Origin.Number)
	}
	p.Count, p.Records = int(count), rest
	return p, nil
}

// ParseInto makes b the batch of the part, whose memory it uses until its Reset.
// The error is an ErrMalformed.
func (p *Part) ParseInto(b *diskqueue.Batch) error {
	if err := b.ParseRecords(p.Records); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if b.Len() != p.Count {
		n := b.Len()
		b.Reset()
		return fmt.Errorf("%w: %d records, not %d", ErrMalformed, n, p.Count)
	}
	return nil
}
