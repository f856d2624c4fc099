package diskqueue

import (
	"bytes"
	"encoding/binary"
	"testing"

	"qmq/message"
)

// A publisher may fill bodies with what looks like records that go on for
// long; looking for good records behind damage must not take hours for it.
func TestLookingForRecordsTakesBoundedWorkInHostileBytes(t *testing.T) {
	const size = 8 << 20
	b := make([]byte, size, size+100)
	for at := 0; at+message.HeaderSize < size; at += message.HeaderSize {
		binary.LittleEndian.PutUint32(b[at:], 2<<20)
		binary.LittleEndian.PutUint64(b[at+8:], 1010)
	}
	good := message.AppendRecord(nil, 1, 0, nil, []byte("good"))
	message.Seal(good, 1005, 7)
	b = append(b, good...)
	sc := scanner{f: bytes.NewReader(b), salt: 7, limit: int64(len(b))}
	at, seq, found, err := sc.next(1, 1001, 2000)
	if at != size || seq != 1005 || !found || err != nil {
		t.Errorf("found %v at %d: message %d, %v", found, at, seq, err)
	}
	if sc.wasted > maxWasted+4<<20 {
		t.Errorf("%d bytes were looked at in vain", sc.wasted)
	}
}

// Good records behind a window's border, and longer than one, are found.
func TestLookingForRecordsCrossesWindows(t *testing.T) {
	for _, at := range []int{0, 1, scanWindow - 30, scanWindow - 28, scanWindow - 27, scanWindow - 1, scanWindow, 2*scanWindow - 5} {
		for _, body := range []int{0, 1000, 3 * scanWindow} {
			b := append(bytes.Repeat([]byte{0xff}, at), message.AppendRecord(nil, 1, 0, nil, make([]byte, body))...)
			message.Seal(b[at:], 50, 9)
			sc := scanner{f: bytes.NewReader(b), salt: 9, limit: int64(len(b))}
			if got, seq, found, err := sc.next(0, 50, 60); int(got) != at || seq != 50 || !found || err != nil {
				t.Errorf("%d bytes at %d: found %v at %d, %d, %v", body, at, found, got, seq, err)
			}
		}
	}
}
