package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestRecordComesBackAsItWasSealed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seq := rapid.Uint64Max(MaxSeq).Draw(t, "seq")
		salt := rapid.Uint32().Draw(t, "salt")
		ts := rapid.Int64().Draw(t, "timestamp")
		flags := Flags(rapid.Uint16().Draw(t, "flags"))
		body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		attrs := AppendAttr(nil, 77, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "unknown attribute"))
		at := rapid.Int64().Draw(t, "deliver at")
		attrs = AppendDeliverAt(attrs, at)
		before := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "before")

		buf := AppendRecord(before, ts, 0, attrs, body)
		rec := buf[len(before):]
		SetFlags(rec, flags)
		if n := Seal(rec, seq, salt); n != len(rec) {
			t.Fatalf("sealed %d bytes of %d", n, len(rec))
		}
		n, err := Verify(append(rec, "behind"...), salt)
		if n != len(rec) || err != nil {
			t.Fatalf("Verify = %d, %v, want %d", n, err, len(rec))
		}
		v := Decode(rec)
		if v.Seq != seq || SeqOf(rec) != seq || v.Timestamp != ts || v.Flags != flags || !bytes.Equal(v.Body, body) || !bytes.Equal(v.Attrs, attrs) {
			t.Fatalf("got %+v", v)
		}
		if ms, ok := v.DeliverAt(); !ok || ms != at {
			t.Fatalf("deliver at %d, %v, want %d", ms, ok, at)
		}
		if _, err := Verify(rec, salt+1); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("under another salt: %v", err)
		}
		if _, err := Verify(rec[:rapid.IntRange(0, len(rec)-1).Draw(t, "cut")], salt); !errors.Is(err, ErrShort) {
			t.Fatalf("cut short: %v", err)
		}
	})
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	rec := AppendRecord(nil, 5, FlagBatch, AppendDeliverAt(nil, 9), []byte("body of a message"))
	Seal(rec, 7, 42)
	for bit := range 8 * len(rec) {
		rec[bit/8] ^= 1 << (bit % 8)
		if _, err := Verify(rec, 42); err == nil {
			t.Errorf("bit %d of byte %d flipped and not noticed", bit%8, bit/8)
		}
		rec[bit/8] ^= 1 << (bit % 8)
	}
}

func TestHostileLengthsAreRefused(t *testing.T) {
	for _, l := range []uint32{0, 1, HeaderSize - crcStart - 1, MaxRecordSize - crcStart + 1, 1 << 31, 1<<32 - 1} {
		buf := make([]byte, 64)
		binary.LittleEndian.PutUint32(buf, l)
		if _, ok := Size(buf); ok {
			t.Errorf("length %d passes for one", l)
		}
		if _, err := Verify(buf, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("length %d: %v", l, err)
		}
	}
	if _, ok := Size([]byte{30, 0, 0}); ok {
		t.Error("three bytes pass for a length")
	}
}

func TestAttributesLongerThanTheRecordAreDamage(t *testing.T) {
	rec := AppendRecord(nil, 1, 0, nil, []byte("abc"))
	binary.LittleEndian.PutUint16(rec[26:], 4)
	Seal(rec, 1, 1)
	if _, err := Verify(rec, 1); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestVerifyOfAnyBytesDoesNotPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		buf := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "bytes")
		if len(buf) >= 4 {
			binary.LittleEndian.PutUint32(buf, uint32(rapid.IntRange(0, 100).Draw(t, "length")))
		}
		if n, err := Verify(buf, 3); err == nil {
			t.Fatalf("%d bytes of noise are a record", n)
		}
	})
}

func TestMalformedAttributesHaveNoValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		Attr(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"), AttrDeliverAt)
	})
	for name, attrs := range map[string][]byte{
		"header cut":  {1, 0, 8},
		"value cut":   AppendDeliverAt(nil, 5)[:9],
		"wrong size":  AppendAttr(nil, AttrDeliverAt, []byte{1, 2}),
		"another tag": AppendAttr(nil, 9, make([]byte, 8)),
	} {
		v := View{Attrs: attrs}
		if at, ok := v.DeliverAt(); ok {
			t.Errorf("%s: due at %d", name, at)
		}
	}
}

func TestIDIsNodeAndSequenceNumberInHex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.Uint16Max(MaxNodeID).Draw(t, "node")
		seq := rapid.Uint64Max(MaxSeq).Draw(t, "seq")
		id := MakeID(node, seq)
		n, s, ok := id.Split()
		if !ok || n != node || s != seq {
			t.Fatalf("%s is %d, %d, %v", id, n, s, ok)
		}
	})
	if id := MakeID(MaxNodeID, MaxSeq); id.String() != "ffffffffffffffff" {
		t.Errorf("the largest is %s", id)
	}
	if id := MakeID(0, 0xabc); id.String() != "0000000000000abc" {
		t.Errorf("got %s", id)
	}
}

func TestNoMessageHasAnIDThatIsNotLowercaseHex(t *testing.T) {
	for _, s := range []string{"0000000000000ABC", "000000000000000g", "000000000000000/", "000000000000000:", "000000000000000`", "\x00000000000000000"} {
		id := ID([]byte(s))
		if _, _, ok := id.Split(); ok {
			t.Errorf("%q passes", s)
		}
		if len(id.String()) != 32 {
			t.Errorf("%q is shown as %q", s, id.String())
		}
	}
}

func BenchmarkEncodeAndSeal228Bytes(b *testing.B) {
	body, buf := make([]byte, 200), make([]byte, 0, 1<<20)
	b.ReportAllocs()
	b.SetBytes(228)
	for i := 0; b.Loop(); i++ {
		if len(buf) > 1<<19 {
			buf = buf[:0]
		}
		at := len(buf)
		buf = AppendRecord(buf, 1, 0, nil, body)
		Seal(buf[at:], uint64(i), 7)
	}
}

func BenchmarkVerifyAndDecode228Bytes(b *testing.B) {
	rec := AppendRecord(nil, 1, 0, nil, make([]byte, 200))
	Seal(rec, 1, 7)
	b.ReportAllocs()
	b.SetBytes(228)
	for b.Loop() {
		if _, err := Verify(rec, 7); err != nil {
			b.Fatal(err)
		}
		if v := Decode(rec); v.Seq != 1 {
			b.Fatal(v.Seq)
		}
	}
}
