package stream

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/s2"

	"qmq/internal/crc32c"
)

// The framing of snappy streams: chunks of a type, a length of three bytes and
// as many bytes of data. See
// https://github.com/google/snappy/blob/main/framing_format.txt.
const (
	chunkHead       = 4
	chunkSum        = 4
	chunkCompressed = 0x00
	chunkPlain      = 0x01
	chunkSkippable  = 0x80 // this type and all above may be skipped
	chunkStream     = 0xff // begins a stream; may come again at any time

	streamIdentifier = "\xff\x06\x00\x00sNaPpY"

	// maxSnappyBlock is the most data in a chunk, before compression, in bytes.
	maxSnappyBlock = 64 << 10
	// maxSnappyPacked is the most that so much data may take compressed.
	maxSnappyPacked = 76490
	// maxSnappyChunk is the longest chunk.
	maxSnappyChunk = chunkHead + chunkSum + maxSnappyPacked
)

var errSnappy = errors.New("snappy: corrupt input")

// maskedSum is the checksum of a chunk's data.
func maskedSum(data []byte) uint32 {
	sum := crc32c.Sum(data)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// snappyWriter compresses whole frames. It has no state but whether it has
// begun, so that an idle connection holds no memory for it.
type snappyWriter struct {
	to    io.Writer
	begun bool
}

// Write sends b in chunks of its own, so that nothing of it is held back.
func (w *snappyWriter) Write(b []byte) (written int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	buf := TakeBuffer(len(streamIdentifier) + chunkHead + chunkSum + s2.MaxEncodedLen(min(len(b), maxSnappyBlock)))
	defer buf.Give()
	out := buf.B[:0]
	if !w.begun {
		w.begun = true
		out = append(out, streamIdentifier...)
	}
	for len(b) > 0 {
		n := min(len(b), maxSnappyBlock)
		out = appendChunk(out, b[:n])
		if _, err := w.to.Write(out); err != nil {
			return written, err
		}
		written, b, out = written+n, b[n:], out[:0]
	}
	return written, nil
}

// appendChunk appends a chunk with data, compressed if that makes it shorter.
// out has the capacity.
func appendChunk(out, data []byte) []byte {
	start := len(out)
	out = out[:start+chunkHead+chunkSum]
	binary.LittleEndian.PutUint32(out[start+chunkHead:], maskedSum(data))
	body := s2.EncodeSnappy(out[len(out):cap(out)], data)
	kind := uint32(chunkCompressed)
	if len(body) >= len(data)-len(data)/8 {
		kind, body = chunkPlain, data
	}
	out = append(out, body...)
	binary.LittleEndian.PutUint32(out[start:], kind|uint32(len(out)-start-chunkHead)<<8)
	return out
}

// snappyReader reads a stream of chunks. Between chunks it holds no memory; the
// data of one is at most maxSnappyBlock, whatever it says of itself.
type snappyReader struct {
	from  layerReader
	begun bool
	skip  int // bytes of a chunk that are not wanted

	pending *Buffer // data that had no space in the last Read, or nil
	unread  []byte  // of it
}

func (r *snappyReader) wait() error {
	if r.pending == nil && r.from.buffered() == 0 {
		return r.from.more()
	}
	return nil
}

// Read returns the data of what has come: some clients send chunks of a few
// bytes, and a lot of them. It may return nothing.
func (r *snappyReader) Read(p []byte) (n int, err error) {
	for {
		got, err := r.readSome(p[n:])
		n += got
		if err != nil || !r.fits(len(p)-n) {
			return n, err
		}
	}
}

// fits tells whether the next chunk is there and its data takes no more than
// space bytes.
func (r *snappyReader) fits(space int) bool {
	if r.pending != nil || r.skip > 0 || r.from.buffered() < chunkHead {
		return false
	}
	next := r.from.bytes()
	word := binary.LittleEndian.Uint32(next)
	size := int(word >> 8)
	if byte(word) > chunkPlain || size < chunkSum || len(next) < chunkHead+size {
		return false
	}
	body := next[chunkHead+chunkSum : chunkHead+size]
	data := len(body)
	if byte(word) == chunkCompressed {
		var err error
		if data, err = s2.DecodedLen(body); err != nil {
			return false // the next Read says so
		}
	}
	return data <= space
}

// readSome returns the data of at most one chunk.
func (r *snappyReader) readSome(p []byte) (int, error) {
	if r.pending != nil {
		return r.readPending(p), nil
	}
	if r.skip > 0 {
		b, err := r.from.peek(1)
		if err != nil {
			return 0, err
		}
		n := min(len(b), r.skip)
		r.skip -= n
		r.from.use(n)
		return 0, nil
	}
	head, err := r.from.peek(chunkHead)
	if err != nil {
		return 0, err
	}
	word := binary.LittleEndian.Uint32(head)
	return r.readChunk(p, byte(word), int(word>>8))
}

// readChunk reads the chunk whose head is next. Heads stay until their chunk is
// used, so that a wait that a deadline ends can be taken up again.
func (r *snappyReader) readChunk(p []byte, kind byte, size int) (int, error) {
	switch {
	case kind == chunkStream:
		return 0, r.readIdentifier(size)
	case !r.begun:
		return 0, errSnappy
	case kind >= chunkSkippable:
		r.from.use(chunkHead)
		r.skip = size
		return 0, nil
	case kind > chunkPlain || size < chunkSum || size > chunkSum+maxSnappyPacked:
		return 0, errSnappy
	}
	chunk, err := r.from.peek(chunkHead + size)
	if err != nil {
		return 0, err
	}
	n, err := r.readData(p, kind, chunk[chunkHead:chunkHead+size])
	r.from.use(chunkHead + size)
	return n, err
}

func (r *snappyReader) readIdentifier(size int) error {
	if size != len(streamIdentifier)-chunkHead {
		return errSnappy
	}
	chunk, err := r.from.peek(len(streamIdentifier))
	if err != nil {
		return err
	}
	if string(chunk[:len(streamIdentifier)]) != streamIdentifier {
		return errSnappy
	}
	r.begun = true
	r.from.use(len(streamIdentifier))
	return nil
}

// readData unpacks a chunk: into p when it fits, else by way of pending.
func (r *snappyReader) readData(p []byte, kind byte, chunk []byte) (int, error) {
	sum, body := binary.LittleEndian.Uint32(chunk), chunk[chunkSum:]
	size := len(body)
	if kind == chunkCompressed {
		var err error
		if size, err = s2.DecodedLen(body); err != nil {
			return 0, errSnappy
		}
	}
	if size > maxSnappyBlock {
		return 0, errSnappy
	}
	to := p
	if size > len(p) {
		r.pending = TakeBuffer(size)
		to = r.pending.B
	}
	data := to[:size]
	if kind == chunkPlain {
		copy(data, body)
	} else if got, err := s2.Decode(data, body); err != nil || len(got) != size {
		return 0, errSnappy
	}
	if maskedSum(data) != sum {
		return 0, errSnappy
	}
	if r.pending == nil {
		return size, nil
	}
	r.unread = data
	return r.readPending(p), nil
}

func (r *snappyReader) readPending(p []byte) int {
	n := copy(p, r.unread)
	if r.unread = r.unread[n:]; len(r.unread) == 0 {
		r.pending.Give()
		r.pending, r.unread = nil, nil
	}
	return n
}
