package diskqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qmq/internal/crc32c"
	"qmq/message"
)

// A segment starts with a header of 64 bytes, little-endian:
//
//	 0       4         8             16     24     28      32        40        48         60     64
//	┌───────┬─────────┬─────────────┬──────┬──────┬───────┬─────────┬─────────┬──────────┬──────┐
//	│ magic │ version │ incarnation │ base │ salt │ flags │ created │ prevEnd │ reserved │ crc  │
//	│ QSEG  │ u32 = 2 │ u64         │ u64  │ u32  │ u32   │ i64 ns  │ u64     │          │ u32  │
//	└───────┴─────────┴─────────────┴──────┴──────┴───────┴─────────┴─────────┴──────────┴──────┘
//
// A second copy of it stands at offset 4096, in another sector and page, and
// the records start behind that one. The salt is random and new each time the
// file is put to use: records of a former use do not verify under it. prevEnd
// is one past the last record before this segment, if flag 1 is set: the
// numbers from there to base were never given to a record, and those below it
// were. Flag 2 says that the file had another use before, whose bytes may stand
// behind the last record. crc is the CRC-32C of the 60 bytes before.
//
// A carry segment has version 3 and says more:
//
//	48        56      60
//	┌─────────┬───────┐
//	│ end     │ count │   one past the last number that it stands for,
//	│ u64     │ u32   │   and how many records it holds
//	└─────────┴───────┘
//
// Segments of version 1 have no flags, no prevEnd and no second copy; their
// records start at 64.
const (
	headerSize     = 64
	secondHeader   = 4096 // offset of the second copy
	segmentHead    = secondHeader + headerSize
	segmentHeadV1  = headerSize
	segmentMagic   = "QSEG"
	segmentVersion = 2
	carryVersion   = 3
)

const (
	flagPrevEnd  = 1 << iota // prevEnd is known
	flagRecycled             // the file had another use before
)

type segmentHeader struct {
	version     uint32
	incarnation uint64
	base        uint64
	salt        uint32
	created     int64
	prevEnd     uint64
	prevKnown   bool
	recycled    bool   // also where that is not known
	end         uint64 // of a carry segment, as count
	count       uint32
}

var (
	errNoHeader      = errors.New("not a segment file")
	errDamagedHeader = errors.New("segment header is damaged")
	errNewerSegment  = errors.New("segment is of a newer format")
)

// start is the offset of the first record.
func (h *segmentHeader) start() int64 {
	if h.version == 1 {
		return segmentHeadV1
	}
	return segmentHead
}

func (h *segmentHeader) flags() (flags uint32) {
	if h.prevKnown {
		flags |= flagPrevEnd
	}
	if h.recycled {
		flags |= flagRecycled
	}
	return flags
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[4:], h.version)
	binary.LittleEndian.PutUint64(b[8:], h.incarnation)
	binary.LittleEndian.PutUint64(b[16:], h.base)
	binary.LittleEndian.PutUint32(b[24:], h.salt)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.created))
	if h.version > 1 {
		binary.LittleEndian.PutUint32(b[28:], h.flags())
		binary.LittleEndian.PutUint64(b[40:], h.prevEnd)
	}
	if h.version == carryVersion {
		binary.LittleEndian.PutUint64(b[48:], h.end)
		binary.LittleEndian.PutUint32(b[56:], h.count)
	}
	binary.LittleEndian.PutUint32(b[60:], crc32c.Sum(b[:60]))
	return b
}

// head is all that stands before the first record.
func (h *segmentHeader) head() []byte {
	one := h.encode()
	if h.version == 1 {
		return one
	}
	b := make([]byte, segmentHead)
	copy(b, one)
	copy(b[secondHeader:], one)
	return b
}

func decodeSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < headerSize || string(b[:4]) != segmentMagic {
		return segmentHeader{}, errNoHeader
	}
	if crc32c.Sum(b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return segmentHeader{}, errDamagedHeader
	}
	h := segmentHeader{
		version:     binary.LittleEndian.Uint32(b[4:]),
		incarnation: binary.LittleEndian.Uint64(b[8:]),
		base:        binary.LittleEndian.Uint64(b[16:]),
		salt:        binary.LittleEndian.Uint32(b[24:]),
		created:     int64(binary.LittleEndian.Uint64(b[32:])),
	}
	if h.version == 0 || h.version > carryVersion {
		return segmentHeader{}, fmt.Errorf("%w: %d, known here is %d", errNewerSegment, h.version, carryVersion)
	}
	if h.version == carryVersion {
		h.end, h.count = binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint32(b[56:])
		if h.end <= h.base || h.end > message.MaxSeq {
			return segmentHeader{}, errDamagedHeader
		}
	}
	if h.recycled = true; h.version > 1 {
		flags := binary.LittleEndian.Uint32(b[28:])
		h.prevEnd = binary.LittleEndian.Uint64(b[40:])
		h.prevKnown, h.recycled = flags&flagPrevEnd != 0, flags&flagRecycled != 0
	}
	return h, nil
}

// readHead reads the header of the segment whose name says base, from the second
// copy if the first is damaged or says otherwise. flaw says what is wrong with a
// copy, if anything is; err that neither can be used.
func readHead(f io.ReaderAt, base uint64) (h segmentHeader, flaw, err error) {
	h, err = readHeader(f, 0)
	if err == nil && h.version == 1 {
		return h, nil, nil
	}
	second, secondErr := readHeader(f, secondHeader)
	switch {
	case err == nil && secondErr == nil && h == second:
		return h, nil, nil
	case err == nil && secondErr == nil:
		// The beginning of a recycled file's next use was torn by a loss of power.
		if second.base == base {
			h = second
		}
		return h, errors.New("the two copies of the segment header differ"), nil
	case err == nil:
		return h, fmt.Errorf("second copy of the header: %w", secondErr), nil
	case secondErr == nil && second.version > 1:
		return second, fmt.Errorf("first copy of the header: %w", err), nil
	case ofMedium(secondErr): // it may be read later
		err = secondErr
	}
	return segmentHeader{}, nil, err
}

func readHeader(f io.ReaderAt, at int64) (segmentHeader, error) {
	b := make([]byte, headerSize)
	n, err := readFull(f, b, at)
	if err != nil && !isEnd(err) {
		return segmentHeader{}, err
	}
	return decodeSegmentHeader(b[:n])
}
