package diskqueue

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"qmq/message"
)

func exampleIndex() (*segment, []message.Mark) {
	s := &segment{salt: 77, layout: layout{base: 1000, end: 1100, size: 90_000,
		index:   []indexEntry{{0, 64}, {40, 20_000}, {99, 80_000}},
		times:   times{latest: []int64{50, 60}, newest: 60},
		damaged: []damage{{from: 1003, to: 1004, offset: 300, resume: 400}, {from: 1090, to: 1100, offset: 70_000, resume: 90_000}},
	}}
	return s, []message.Mark{{Seq: 1000, DeliverAt: -5}, {Seq: 1099, DeliverAt: 1 << 60}}
}

func exampleLists(delayed []message.Mark) sidelists {
	return sidelists{slices.Collect(slices.Chunk(delayed, 2)), []message.Only{{Seq: 1001, Channel: "a"}, {Seq: 1002, Channel: "a"}, {Seq: 1099, Channel: "bc"}}}
}

func TestIndexComesBackAsItWasDrawn(t *testing.T) {
	s, delayed := exampleIndex()
	got, err := decodeIndex(encodeIndex(s, exampleLists(delayed)), s.base)
	want := decodedIndex{salt: s.salt, end: s.end, size: s.size, index: s.index, times: s.times, marks: delayed, damaged: s.damaged, only: exampleLists(nil).only}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestIndexWithAnyBitFlippedIsRefused(t *testing.T) {
	s, delayed := exampleIndex()
	b := encodeIndex(s, exampleLists(delayed))
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		// A flipped salt is not noticed here but by the one who compares it.
		if d, err := decodeIndex(b, s.base); err == nil && d.salt == s.salt {
			t.Errorf("bit %d flipped and not noticed", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

// What passes the checksum is still within the segment.
func TestIndexThatPointsOutOfItsSegmentIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*segment, []message.Mark){
		"end before base":           func(s *segment, _ []message.Mark) { s.end = 999 },
		"end too high":              func(s *segment, _ []message.Mark) { s.end = 1 << 60 },
		"negative size":             func(s *segment, _ []message.Mark) { s.size = -1 },
		"size beyond 32 bits":       func(s *segment, _ []message.Mark) { s.size = 1 << 40 },
		"entry behind the end":      func(s *segment, _ []message.Mark) { s.index[2].rel = 100 },
		"offset behind the end":     func(s *segment, _ []message.Mark) { s.index[2].offset = 90_000 },
		"offset within the header":  func(s *segment, _ []message.Mark) { s.index[0].offset = 3 },
		"entries out of order":      func(s *segment, _ []message.Mark) { s.index[1].rel = 99 },
		"offsets out of order":      func(s *segment, _ []message.Mark) { s.index[1].offset = 80_000 },
		"delayed before base":       func(_ *segment, d []message.Mark) { d[0].Seq = 5 },
		"delayed behind the end":    func(_ *segment, d []message.Mark) { d[1].Seq = 1100 },
		"delayed twice":             func(_ *segment, d []message.Mark) { d[1].Seq = 1000 },
		"damage backwards":          func(s *segment, _ []message.Mark) { s.damaged[0].to = 1003 },
		"damage behind the end":     func(s *segment, _ []message.Mark) { s.damaged[1].to = 1101 },
		"damage at no offset":       func(s *segment, _ []message.Mark) { s.damaged[0].offset = -9 },
		"damage that ends too soon": func(s *segment, _ []message.Mark) { s.damaged[0].resume = 299 },
		"damage that ends too late": func(s *segment, _ []message.Mark) { s.damaged[1].resume = 90_001 },
	} {
		s, delayed := exampleIndex()
		spoil(s, delayed)
		if d, err := decodeIndex(encodeIndex(s, exampleLists(delayed)), 1000); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestIndexOfHostileBytesIsRefusedWithoutHarm(t *testing.T) {
	s, delayed := exampleIndex()
	good := encodeIndex(s, exampleLists(delayed))
	rapid.Check(t, func(t *rapid.T) {
		b := append([]byte(nil), good...)
		for range rapid.IntRange(1, 4).Draw(t, "words") {
			at := rapid.IntRange(0, (len(b)-4)/4).Draw(t, "at") * 4
			binary.LittleEndian.PutUint32(b[at:], rapid.SampledFrom([]uint32{0, 1, 63, 1 << 16, 1 << 31, 1<<32 - 1}).Draw(t, "value"))
		}
		b = b[:rapid.IntRange(0, len(b)).Draw(t, "length")]
		if len(b) >= indexHeaderSize {
			binary.LittleEndian.PutUint32(b[12:], indexSum(b))
		}
		d, err := decodeIndex(b, s.base)
		if err == nil && !d.fits(s.base) {
			t.Fatalf("%+v passes", d)
		}
	})
}

func TestSegmentNamesHaveOneForm(t *testing.T) {
	for name, want := range map[string]bool{
		"000000000000abcd.seg": true, "0040000000000000.seg": false, "003fffffffffffff.seg": true,
		"000000000000ABCD.seg": false, "+00000000000abcd.seg": false, "abcd.seg": false, "000000000000abcd.idx": false,
		"000000000000abcd.seg.tmp": false, "00000000000_abcd.seg": false,
	} {
		if _, ok := parseSegmentName(name); ok != want {
			t.Errorf("%s is a segment: %v", name, ok)
		}
	}
}
