package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame:
//
//	┌────────────┬──────────┬───────────┬───────────────────────────┐
//	│ length u32 │ kind u8  │ body      │ CRC-32C u32, or tag of 16 │
//	└────────────┴──────────┴───────────┴───────────────────────────┘
//	             └─────── length ───────┘
//
// Numbers are little-endian. The CRC is of all before it; with a secret, kind and
// body are encrypted and the tag covers the length too (seal.go).
const (
	lengthBytes = 4
	kindBytes   = 1
)

// Kinds of frames that are the package's own; those of its users begin at
// [FirstKind].
const (
	kindHello  byte = iota + 1 // greeting, in the handshake
	kindProof                  // proofs, in the handshake
	kindRefuse                 // why the connection ends, in the handshake
	kindPing                   // steady time u64, wall time u64
	kindPong                   // the ping's steady time u64, own wall time u64
	kindCall                   // id u64, timeout in ms u32, kind u8, body
	kindAnswer                 // id u64, status u8, body or the error's text
)

// FirstKind is the lowest kind of frames that users of the package may have.
const FirstKind = 16

// appendFrame adds a frame that is not sealed yet.
func appendFrame(dst []byte, kind byte, overhead int, body ...[]byte) []byte {
	length := kindBytes
	for _, part := range body {
		length += len(part)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(length))
	dst = append(dst, kind)
	for _, part := range body {
		dst = append(dst, part...)
	}
	var room [16]byte
	return append(dst, room[:overhead]...)
}

// sealAll seals the frames that buf holds.
func sealAll(s *sealer, buf []byte) {
	for len(buf) > 0 {
		size := lengthBytes + int(binary.LittleEndian.Uint32(buf)) + s.overhead()
		s.seal(buf[:size])
		buf = buf[size:]
	}
}

// ErrFrame means that what came is no frame of the protocol.
var ErrFrame = errors.New("what came is no frame")

// firstGrowth is how much room a frame that is longer than the buffer gets at first.
const firstGrowth = 1 << 20

// frameReader reads frames. It has one user at a time.
type frameReader struct {
	r       io.Reader
	s       *sealer
	most    int // longest kind and body, in bytes
	buf     []byte
	at, end int // what of buf is not given out
	least   int // length of buf
	largest int // frame since rest
	spares  *spares
}

func newFrameReader(r io.Reader, buffer, most int) *frameReader {
	return &frameReader{r: r, s: new(sealer), most: most, least: buffer, buf: make([]byte, buffer), spares: new(spares)}
}

// next returns a frame; the body is good until the next call.
func (f *frameReader) next() (kind byte, body []byte, err error) {
	if err := f.fill(lengthBytes); err != nil {
		return 0, nil, err
	}
	length := binary.LittleEndian.Uint32(f.buf[f.at:])
	if length < kindBytes || int64(length) > int64(f.most) {
		return 0, nil, fmt.Errorf("%w: it says that it has %d bytes, of %d at most", ErrFrame, length, f.most)
	}
	size := lengthBytes + int(length) + f.s.overhead()
	if err := f.fill(size); err != nil {
		return 0, nil, err
	}
	frame := f.buf[f.at : f.at+size]
	f.at += size
	f.largest = max(f.largest, size)
	if err := f.s.open(frame); err != nil {
		return 0, nil, err
	}
	return frame[lengthBytes], frame[lengthBytes+kindBytes : lengthBytes+int(length)], nil
}

// fill makes sure that n bytes have come.
func (f *frameReader) fill(n int) error {
	if f.at == f.end {
		f.at, f.end = 0, 0
	}
	for f.end-f.at < n {
		f.makeRoom(n)
		got, err := f.r.Read(f.buf[f.end:])
		f.end += got
		if err != nil && f.end-f.at < n {
			if errors.Is(err, io.EOF) && f.end > f.at {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// makeRoom makes room for more of n bytes, though not for all at once when they are
// many: whoever says so has to send them.
func (f *frameReader) makeRoom(n int) {
	have := f.end - f.at
	switch {
	case f.at+n <= len(f.buf):
		return
	case have == len(f.buf):
		grown := f.spares.get(min(n, max(2*have, firstGrowth)))
		copy(grown, f.buf)
		f.buf = grown
	case f.at > 0:
		copy(f.buf, f.buf[f.at:f.end])
		f.at, f.end = 0, have
	}
}

// keep is the body of the last frame in memory that is left to whoever has it: where it
// was read, unless much else would stay with it.
func (f *frameReader) keep(body []byte) []byte {
	if len(f.buf) > 2*len(body) {
		return bytes.Clone(body)
	}
	rest := f.buf[f.at:f.end]
	f.buf = f.spares.get(max(f.least, len(rest)))
	f.at, f.end = 0, copy(f.buf, rest)
	return body
}

// own is the body of the last frame in memory that is left to whoever has it.
func (f *frameReader) own(body []byte) []byte {
	if len(body) < KeptBytes {
		return bytes.Clone(body)
	}
	return f.keep(body)
}

// shrink gives memory back that frames since the last shrink did not need.
func (f *frameReader) shrink() {
	if f.at == f.end && len(f.buf) > f.least && f.largest < len(f.buf)/4 {
		f.buf, f.at, f.end = make([]byte, max(f.least, f.largest)), 0, 0
	}
	f.largest = 0
}
