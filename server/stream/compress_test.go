package stream

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
)

// chunks are pieces of data of all kinds and sizes.
func chunks() [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	var all [][]byte
	for _, n := range []int{0, 1, 7, 100, 4096, 65535, 65536, 65537, 300_000} {
		noise := make([]byte, n)
		random.Read(noise)
		all = append(all, noise, bytes.Repeat([]byte{'x'}, n), noise[:n/2])
	}
	return all
}

func TestSnappyIsWhatOthersRead(t *testing.T) {
	var wire, want bytes.Buffer
	w := &snappyWriter{to: &wire}
	for _, b := range chunks() {
		want.Write(b)
		if n, err := w.Write(b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
	}
	got, err := io.ReadAll(snappy.NewReader(&wire))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes of %d, %v", len(got), want.Len(), err)
	}
}

func TestDeflateIsWhatOthersReadAfterEachWrite(t *testing.T) {
	for level := 1; level <= 9; level++ {
		var wire bytes.Buffer
		w := &deflateWriter{to: &wire, level: level}
		r := stdflate.NewReader(bufio.NewReader(&wire))
		for _, b := range chunks() {
			if n, err := w.Write(b); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
			got := make([]byte, len(b))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("level %d: %d bytes are other ones, %v", level, len(b), err)
			}
		}
	}
}

// TestSingleMessagesGetShorter: what came before makes up for how short they
// are.
func TestSingleMessagesGetShorter(t *testing.T) {
	for level := 1; level <= 9; level++ {
		var wire bytes.Buffer
		w := &deflateWriter{to: &wire, level: level}
		length := 0
		for i := range 1000 {
			b := fmt.Appendf(nil, `{"id":%d,"user":"u%d","action":"view","path":"/articles/%d","agent":"Mozilla/5.0 (X11; Linux x86_64)","referer":"https://example.org/start","country":"NL"}`, i, i*7919%1000, i*104729%5000)
			length += len(b)
			if _, err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if ratio := float64(wire.Len()) / float64(length); ratio > 0.4 {
			t.Errorf("level %d: they are %.2f times as long", level, ratio)
		}
		if len(w.last) > maxDeflateMemory || cap(w.last) > 2*maxDeflateMemory {
			t.Errorf("%d bytes are kept", cap(w.last))
		}
		got, _ := io.ReadAll(stdflate.NewReader(&wire)) // the stream has no end
		if len(got) != length {
			t.Errorf("level %d: %d bytes of %d", level, len(got), length)
		}
	}
}

func TestCompressedWriteReportsFailure(t *testing.T) {
	broken := errors.New("broken")
	to := writerFunc(func([]byte) (int, error) { return 0, broken })
	for _, w := range []io.Writer{&snappyWriter{to: to}, &deflateWriter{to: to, level: 1}, &deflateWriter{to: to, level: 9}} {
		if _, err := w.Write(make([]byte, 1_000_000)); err != broken {
			t.Errorf("%T: %v", w, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
