package diskqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/message"
)

// drawRecords is a batch of publishes, some of them MPUBs, with short and long
// bodies.
func drawRecords(t *rapid.T) *Batch {
	b := new(Batch)
	for range rapid.IntRange(0, 5).Draw(t, "publishes") {
		multi := rapid.Bool().Draw(t, "multi")
		if multi {
			b.BeginMulti()
		}
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			m := message.Meta{Timestamp: rapid.Int64().Draw(t, "time"), DeliverAt: rapid.Int64Range(0, 2).Draw(t, "due")}
			b.Add(&m, bytes.Repeat([]byte{'x'}, rapid.SampledFrom([]int{0, 9, minLong - 1, minLong, 3 * minLong}).Draw(t, "size")))
		}
		if multi {
			b.EndMulti()
		}
	}
	return b
}

func TestRecordsOfABatchTravelAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, got := drawRecords(t), new(Batch)
		records := b.AppendRecords([]byte("before"))[len("before"):]
		if len(records) != b.Bytes() {
			t.Fatalf("%d bytes, not %d", len(records), b.Bytes())
		}
		if err := got.ParseRecords(records); err != nil {
			t.Fatal(err)
		}
		one, oneAt := b.seal(nil, nil, 5, 7, new(noting))
		other, otherAt := got.seal(nil, nil, 5, 7, new(noting))
		if !bytes.Equal(one, other) || !slices.Equal(oneAt, otherAt) || !slices.Equal(b.Marks(5), got.Marks(5)) || b.BodyBytes() != got.BodyBytes() {
			t.Fatal("the batch is another")
		}
		kept := bytes.Clone(records)
		got.Reset()
		got.Add(&message.Meta{}, []byte("body of somebody else"))
		if !bytes.Equal(records, kept) {
			t.Fatal("a batch that was reset writes into memory that is not its own")
		}
	})
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	whole := func(change func(b []byte)) []byte {
		b := single([]byte("one"), []byte("two")).AppendRecords(nil)
		change(b)
		return b
	}
	flags := func(list ...message.Flags) []byte {
		b := new(Batch)
		for _, f := range list {
			b.AddView(message.View{Flags: f})
		}
		return b.AppendRecords(nil)
	}
	const part, first, last = message.FlagBatch, message.FlagBatch | message.FlagBatchFirst, message.FlagBatch | message.FlagBatchLast
	for name, b := range map[string][]byte{
		"a byte":                 {1},
		"a record cut":           whole(func([]byte) {})[:40],
		"a byte behind":          append(whole(func([]byte) {}), 0),
		"length too small":       whole(func(b []byte) { binary.LittleEndian.PutUint32(b, 19) }),
		"length too large":       whole(func(b []byte) { binary.LittleEndian.PutUint32(b, 1<<31) }),
		"length of another":      whole(func(b []byte) { b[0]++ }),
		"attributes too long":    whole(func(b []byte) { b[26] = 4 }),
		"a number":               whole(func(b []byte) { b[8] = 1 }),
		"a checksum":             whole(func(b []byte) { b[4] = 1 }),
		"an MPUB without end":    flags(first, part),
		"an MPUB without start":  flags(0, part, last),
		"an MPUB within another": flags(first, first, last),
		"a message within":       flags(first, 0, last),
		"marks of no part":       flags(message.FlagBatchFirst),
		"an end behind an MPUB":  flags(first, last, last),
	} {
		got := single([]byte("before"))
		if err := got.ParseRecords(b); !errors.Is(err, ErrRecords) || got.Len() != 0 || got.Bytes() != 0 {
			t.Errorf("%s: %v, %d messages", name, err, got.Len())
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "an MPUB of one": flags(first | last), "MPUBs": flags(first, part, last, 0, first, last)} {
		if err := new(Batch).ParseRecords(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecords(f *testing.F) {
	f.Add(multi([]byte("one"), []byte("two")).AppendRecords(nil))
	f.Add(single([]byte("one")).AppendRecords(nil))
	f.Fuzz(func(t *testing.T, records []byte) {
		b := new(Batch)
		if b.ParseRecords(records) != nil {
			return
		}
		if got := b.AppendRecords(nil); !bytes.Equal(got, records) {
			t.Fatal("other bytes come back")
		}
		sealed, starts := b.seal(nil, nil, 1, 1, new(noting))
		for i, at := range starts {
			if _, err := message.Verify(sealed[at:], 1); err != nil || message.SeqOf(sealed[at:]) != uint64(i+1) {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	})
}
