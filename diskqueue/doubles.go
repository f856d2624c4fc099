package diskqueue

import "qmq/message"

// Identified is the message of a batch whose id counts.
type Identified struct {
	Index int // in the batch
	message.Dedup
}

// Identified lists those of the batch, ascending; the list is the batch's. Nearly always
// there is none.
func (b *Batch) Identified() []Identified { return b.ids }

// addID notes the id of the next message, if it counts.
func (b *Batch) addID(d message.Dedup, counts bool) {
	if counts {
		b.ids = append(b.ids, Identified{len(b.offsets), d})
	}
}

// Doubles are the indexes, ascending, of the messages that Drop dropped.
func (b *Batch) Doubles() []int { return b.doubles }

// Drop drops the messages with these indexes, ascending, for they are doubles. It is called
// once for a batch. What is left of an MPUB is an MPUB. The memory that the batch was parsed
// from stays as it is.
func (b *Batch) Drop(indexes []int) {
	if len(indexes) == 0 {
		return
	}
	left := Batch{offsets: make([]uint32, 0, len(b.offsets)-len(indexes)), first: b.first, asked: b.asked, doubles: indexes}
	d := dropping{from: b, to: &left}
	for i := range b.offsets {
		gone := len(indexes) > 0 && indexes[0] == i
		if gone {
			indexes = indexes[1:]
		}
		d.next(i, gone)
	}
	*b = left
}

// dropping copies what is left of a batch into another.
type dropping struct {
	from, to *Batch
	long     int  // of from.long, how many are behind
	marks    int  // likewise
	only     int  // likewise
	ids      int  // likewise
	begun    bool // a message of the MPUB is copied
}

// next copies the message of an index, or passes it over.
func (d *dropping) next(i int, gone bool) {
	from, to := d.from, d.to
	record := from.record(i)
	at, start := len(to.offsets), len(to.buf)
	if !gone {
		to.offsets = append(to.offsets, uint32(start))
		to.buf = append(to.buf, record...)
		to.bodyBytes += int64(message.BodySize(record))
	}
	if d.long < len(from.long) && from.long[d.long].index == i {
		if !gone {
			to.long = append(to.long, longBody{at, from.long[d.long].body})
			to.longBytes += len(from.long[d.long].body)
		}
		d.long++
	}
	for ; d.marks < len(from.marks) && from.marks[d.marks].Seq == uint64(i); d.marks++ {
		if m := from.marks[d.marks]; !gone {
			m.Seq = uint64(at)
			to.marks = append(to.marks, m)
		}
	}
	for ; d.only < len(from.only) && from.only[d.only].Seq == uint64(i); d.only++ {
		if o := from.only[d.only]; !gone {
			o.Seq = uint64(at)
			to.only = append(to.only, o)
		}
	}
	for ; d.ids < len(from.ids) && from.ids[d.ids].Index == i; d.ids++ {
		if id := from.ids[d.ids]; !gone {
			id.Index = at
			to.ids = append(to.ids, id)
		}
	}
	d.multi(message.FlagsOf(record), gone)
}

// multi has what is left of an MPUB begin and end where it does.
func (d *dropping) multi(flags message.Flags, gone bool) {
	if flags&message.FlagBatch == 0 {
		return
	}
	to := d.to
	last := len(to.offsets) - 1
	if flags&message.FlagBatchFirst != 0 {
		d.begun = false
	}
	if !gone && !d.begun {
		message.SetFlags(to.buf[to.offsets[last]:], message.FlagBatchFirst)
		d.begun = true
	}
	if flags&message.FlagBatchLast != 0 && d.begun {
		message.SetFlags(to.buf[to.offsets[last]:], message.FlagBatchLast)
	}
}

// record is the i-th record, without its body if that is long.
func (b *Batch) record(i int) []byte {
	end := len(b.buf)
	if i+1 < len(b.offsets) {
		end = int(b.offsets[i+1])
	}
	return b.buf[b.offsets[i]:end]
}
