package loadgen

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"qmq/protocol"
)

// dealer gives a stream in pieces as a socket may.
type dealer struct {
	net.Conn
	stream io.Reader
	piece  func(room int) int
	reads  int
}

func (d *dealer) Read(p []byte) (int, error) {
	d.reads++
	return d.stream.Read(p[:min(len(p), max(1, d.piece(len(p))))])
}

func TestFramesOfAllSizesAreFoundHoweverTheyArrive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var frames [][]byte
	var stream []byte
	for i := range 400 {
		size := random.IntN(300)
		if i%7 == 0 {
			size = random.IntN(1 << 20)
		}
		data := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2)
		frames = append(frames, data)
		stream = protocol.AppendFrame(stream, protocol.FrameMessage, string(data))
	}
	for name, piece := range map[string]func(int) int{
		"whole reads":  func(room int) int { return room },
		"in pieces":    func(room int) int { return random.IntN(100_000) },
		"byte by byte": func(int) int { return 1 + random.IntN(2)*50_000 },
	} {
		t.Run(name, func(t *testing.T) {
			c := newConn(&dealer{stream: bytes.NewReader(stream), piece: piece})
			for i := 0; ; {
				_, data, ok, err := c.frame()
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					if !bytes.Equal(data, frames[i]) {
						t.Fatalf("frame %d has %d bytes, want %d, or others", i, len(data), len(frames[i]))
					}
					i++
					continue
				}
				if err := c.fill(); errors.Is(err, io.EOF) && i == len(frames) {
					return
				} else if err != nil {
					t.Fatalf("after %d frames: %v", i, err)
				}
			}
		})
	}
}

// Reads that end where a frame ends leave nothing that the next one must move.
func TestLongFramesOfOneSizeAreNotMoved(t *testing.T) {
	const size = 200_000
	var stream []byte
	for range 50 {
		stream = protocol.AppendFrame(stream, protocol.FrameMessage, string(make([]byte, size)))
	}
	d := &dealer{stream: bytes.NewReader(stream), piece: func(room int) int { return room }}
	c := newConn(d)
	for taken := 0; taken < 50; {
		_, _, ok, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			taken++
			continue
		}
		if taken > 5 && c.r != c.w {
			t.Fatalf("%d bytes of frame %d are left after a read and must move", c.w-c.r, taken)
		}
		if err := c.fill(); err != nil {
			t.Fatal(err)
		}
	}
	if d.reads > 50 {
		t.Errorf("%d reads for 50 frames", d.reads)
	}
}
