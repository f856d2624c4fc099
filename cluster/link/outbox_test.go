package link

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// TestFramesAreWrittenAsTheyWereSentWhateverTheirLength puts frames of all lengths, some of
// them while others are being written, and reads what comes of it.
func TestFramesAreWrittenAsTheyWereSentWhateverTheirLength(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	out := newOutbox(64<<20, crcBytes)
	lengths := []int{0, 1, 100, shortBuffer - 20, shortBuffer, 64 << 10, longBuffer / 2, longBuffer - 9, longBuffer, 2 * longBuffer}
	var seal sealer
	var sent [][]byte
	var wire bytes.Buffer
	for range 60 {
		var written [][]byte
		for i := range 1 + random.IntN(5) {
			body := bytes.Repeat([]byte{byte(len(sent))}, lengths[random.IntN(len(lengths))])
			if !out.put(out.limit, FirstKind, body[:len(body)/2], body[len(body)/2:]) {
				t.Fatal("there was no room")
			}
			sent = append(sent, body)
			if i == 0 {
				written = out.take(nil)
			}
		}
		for _, buffers := range [][][]byte{written, out.take(nil)} {
			for _, b := range buffers {
				sealAll(&seal, b)
				wire.Write(b)
			}
			out.giveBack(buffers)
		}
		if out.bytes != 0 || len(out.long) > maxLong {
			t.Fatalf("%d bytes wait, %d buffers are kept", out.bytes, len(out.long))
		}
	}
	in := newFrameReader(&wire, 8<<10, 4*longBuffer)
	for i, want := range sent {
		kind, body, err := in.next()
		if err != nil || kind != FirstKind || !bytes.Equal(body, want) {
			t.Fatalf("frame %d: kind %d, %d bytes, %v; want %d bytes", i, kind, len(body), err, len(want))
		}
	}
	if _, _, err := in.next(); err != io.EOF {
		t.Errorf("behind the last frame: %v", err)
	}
}

func TestTheMemoryThatWasUsedLastIsUsedNext(t *testing.T) {
	out := newOutbox(64<<20, crcBytes)
	var first *byte
	for range 3 {
		out.put(out.limit, FirstKind, make([]byte, 700<<10))
		taken := out.take(nil)
		if at := &taken[0][0]; first == nil {
			first = at
		} else if at != first {
			t.Fatal("a frame is put in new memory")
		}
		out.giveBack(taken)
	}
}
