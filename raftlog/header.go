package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qmq/internal/crc32c"
)

// A segment starts with a header of 64 bytes, little-endian:
//
//	 0       4         8         16     24       32     36         40     48         60    64
//	┌───────┬─────────┬─────────┬──────┬────────┬──────┬──────────┬──────┬──────────┬─────┐
//	│ magic │ version │ cluster │ node │ number │ salt │ reserved │ size │ reserved │ crc │
//	│ QWAL  │ u32 = 1 │ u64     │ u64  │ u64    │ u32  │          │ i64  │          │ u32 │
//	└───────┴─────────┴─────────┴──────┴────────┴──────┴──────────┴──────┴──────────┴─────┘
//
// A second copy stands at offset 4096, and the records start at 8192: no write
// of theirs touches a sector or a page of the header, which is synced before the
// file gets its name. So a file of that name has a good header or was damaged.
// Cluster and node are whose log it is, number is that in the file's name. The
// salt is random and new each time the file is put to use: records of a former
// use do not verify under it. size is how long the file was made: it is never
// made shorter. crc is the CRC-32C of the 60 bytes before.
const (
	headerSize    = 64
	secondHeader  = 4096
	firstRecord   = 8192 // offset
	segmentMagic  = "QWAL"
	formatVersion = 1
)

type header struct {
	cluster, node uint64
	number        uint64
	salt          uint32
	size          int64
}

var (
	errNoHeader      = errors.New("not a file of a raft log")
	errDamagedHeader = errors.New("the header is damaged")
)

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[4:], formatVersion)
	binary.LittleEndian.PutUint64(b[8:], h.cluster)
	binary.LittleEndian.PutUint64(b[16:], h.node)
	binary.LittleEndian.PutUint64(b[24:], h.number)
	binary.LittleEndian.PutUint32(b[32:], h.salt)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.size))
	binary.LittleEndian.PutUint32(b[60:], crc32c.Sum(b[:60]))
	return b
}

// head is all that stands before the first record, and the end behind it: what
// is left of a former use begins after that.
func (h *header) head() []byte {
	b := make([]byte, firstRecord+recordHeader)
	copy(b, h.encode())
	copy(b[secondHeader:], h.encode())
	return b
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < headerSize || string(b[:4]) != segmentMagic {
		return header{}, errNoHeader
	}
	if crc32c.Sum(b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return header{}, errDamagedHeader
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != formatVersion {
		return header{}, fmt.Errorf("%w: format %d, known here is %d", ErrNewer, v, formatVersion)
	}
	h := header{
		cluster: binary.LittleEndian.Uint64(b[8:]),
		node:    binary.LittleEndian.Uint64(b[16:]),
		number:  binary.LittleEndian.Uint64(b[24:]),
		salt:    binary.LittleEndian.Uint32(b[32:]),
		size:    int64(binary.LittleEndian.Uint64(b[40:])),
	}
	if h.size < firstRecord {
		return header{}, errDamagedHeader
	}
	return h, nil
}

// readHeader takes the first copy, or else the second. flaw says what is wrong
// with one copy while the other is good.
func readHeader(f io.ReaderAt) (h header, flaw, err error) {
	h, err = readCopy(f, 0)
	if errors.Is(err, ErrNewer) || isMedium(err) {
		return h, nil, err
	}
	second, secondErr := readCopy(f, secondHeader)
	switch {
	case err == nil && secondErr == nil && h != second:
		return h, errors.New("the two copies of the header differ"), nil
	case err == nil && secondErr != nil:
		return h, fmt.Errorf("second copy of the header: %w", secondErr), nil
	case err != nil && secondErr == nil:
		return second, fmt.Errorf("first copy of the header: %w", err), nil
	}
	return h, nil, err
}

func readCopy(f io.ReaderAt, at int64) (header, error) {
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, at)
	if n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return header{}, &mediumError{err}
	}
	return decodeHeader(b[:n])
}

// mediumError is one of the file system, not of what it gave.
type mediumError struct{ error }

func (e *mediumError) Unwrap() error { return e.error }

func isMedium(err error) bool {
	var m *mediumError
	return errors.As(err, &m)
}
