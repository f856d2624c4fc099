package diskqueue

import (
	"bytes"
	"testing"
)

func exampleHeader() segmentHeader {
	return segmentHeader{version: 2, incarnation: 7, base: 1000, salt: 77, created: 5, prevEnd: 990, prevKnown: true}
}

func TestHeaderComesBackFromEitherCopy(t *testing.T) {
	want := exampleHeader()
	for _, c := range []struct {
		name  string
		spoil func([]byte)
		flaw  bool
	}{
		{"nothing damaged", func([]byte) {}, false},
		{"first copy", func(b []byte) { b[20] ^= 1 }, true},
		{"first copy zeroed", func(b []byte) { clear(b[:headerSize]) }, true},
		{"second copy", func(b []byte) { b[secondHeader+60] ^= 1 }, true},
		{"first copy of another life", func(b []byte) { copy(b, (&segmentHeader{version: 2, base: 5}).encode()) }, true},
		{"second copy of another life", func(b []byte) { copy(b[secondHeader:], (&segmentHeader{version: 2, base: 5}).encode()) }, true},
	} {
		b := want.head()
		c.spoil(b)
		got, flaw, err := readHead(bytes.NewReader(b), want.base)
		if err != nil || got != want || (flaw != nil) != c.flaw {
			t.Errorf("%s: %+v, %v, %v", c.name, got, flaw, err)
		}
	}
}

func TestHeaderOfTheFirstVersionIsRead(t *testing.T) {
	want := segmentHeader{version: 1, incarnation: 7, base: 1000, salt: 77, created: 5, recycled: true}
	b := want.head()
	got, flaw, err := readHead(bytes.NewReader(append(b, make([]byte, 5000)...)), want.base)
	if err != nil || flaw != nil || got != want || got.start() != int64(len(b)) {
		t.Errorf("%+v, %v, %v; records start at %d", got, flaw, err, got.start())
	}
}

func TestHeaderWithAnyBitOfBothCopiesFlippedIsRefused(t *testing.T) {
	h := exampleHeader()
	b := h.head()
	for bit := range 8 * headerSize {
		b[bit/8] ^= 1 << (bit % 8)
		b[secondHeader+bit/8] ^= 1 << (bit % 8)
		if got, _, err := readHead(bytes.NewReader(b), h.base); err == nil {
			t.Errorf("bit %d flipped and not noticed: %+v", bit, got)
		}
		b[bit/8] ^= 1 << (bit % 8)
		b[secondHeader+bit/8] ^= 1 << (bit % 8)
	}
}
