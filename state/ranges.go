package state

import (
	"encoding/binary"

	"qmq/internal/seqset"
)

func appendRanges(b []byte, before uint64, ranges []seqset.Range) []byte {
	for _, r := range ranges {
		if r.From >= r.To {
			continue
		}
		b = binary.AppendVarint(b, int64(r.From-before))
		b = binary.AppendUvarint(b, r.To-r.From)
		before = r.To
	}
	return b
}

func parseRanges(ranges []seqset.Range, before uint64, b []byte) ([]seqset.Range, error) {
	for len(b) > 0 {
		gap, n := binary.Varint(b)
		if n <= 0 {
			return ranges, ErrRecord
		}
		size, m := binary.Uvarint(b[n:])
		from := before + uint64(gap)
		if m <= 0 || size == 0 || from+size < from {
			return ranges, ErrRecord
		}
		ranges = append(ranges, seqset.Range{From: from, To: from + size})
		before, b = from+size, b[n+m:]
	}
	return ranges, nil
}

func appendOpen(b []byte, before uint64, open []OpenMessage) []byte {
	var due int64
	for _, o := range open {
		b = binary.AppendVarint(b, int64(o.Seq-before))
		before = o.Seq
		if o.Due == 0 {
			b = binary.AppendUvarint(b, uint64(o.Attempts)<<1)
			continue
		}
		b = binary.AppendUvarint(b, uint64(o.Attempts)<<1|1)
		b = binary.AppendVarint(b, o.Due-due)
		due = o.Due
	}
	return b
}

func parseOpen(open []OpenMessage, before uint64, b []byte) ([]OpenMessage, error) {
	var due int64
	for len(b) > 0 {
		gap, n := binary.Varint(b)
		if n <= 0 {
			return open, ErrRecord
		}
		b = b[n:]
		word, n := binary.Uvarint(b)
		if n <= 0 || word>>1 > 0xffff {
			return open, ErrRecord
		}
		b = b[n:]
		o := OpenMessage{Seq: before + uint64(gap), Attempts: uint16(word >> 1)}
		before = o.Seq
		if word&1 != 0 {
			later, n := binary.Varint(b)
			if n <= 0 {
				return open, ErrRecord
			}
			b = b[n:]
			due += later
			o.Due = due
		}
		open = append(open, o)
	}
	return open, nil
}
