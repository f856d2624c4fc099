package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// wholeLines tells how far a file consists of whole lines in whole members or
// frames, and how many lines that are. What comes behind is torn or damaged. An
// error is the disk's.
func wholeLines(from io.ReaderAt, size int64, c Compression) (end, lines int64, err error) {
	disk := &readable{ReaderAt: from}
	s := wholeScan{from: disk, size: size}
	switch c {
	case Gzip:
		s.gzip()
	case Zstd:
		s.zstd()
	default:
		s.plain()
	}
	return s.end, s.endLines, disk.failed
}

// readable keeps what the disk says.
type readable struct {
	io.ReaderAt
	failed error
}

func (r *readable) ReadAt(p []byte, at int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
	return n, err
}

// wholeScan looks for the end of what is whole. As a writer it counts lines.
type wholeScan struct {
	from io.ReaderAt
	size int64

	lines    int64
	last     byte
	end      int64 // of what is whole
	endLines int64
}

func (s *wholeScan) Write(p []byte) (int, error) {
	s.lines += int64(bytes.Count(p, []byte{'\n'}))
	if len(p) > 0 {
		s.last = p[len(p)-1]
	}
	return len(p), nil
}

// member notes that a member ends at an offset; what ends with a line is whole.
func (s *wholeScan) member(end int64) {
	if s.last == '\n' {
		s.end, s.endLines = end, s.lines
	}
}

func (s *wholeScan) plain() {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < s.size; {
		n, err := s.from.ReadAt(buf[:min(int64(len(buf)), s.size-at)], at)
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			s.end = at + int64(i) + 1
		}
		s.Write(buf[:n])
		at += int64(n)
		if err != nil {
			break
		}
	}
	s.endLines = s.lines
}

func (s *wholeScan) gzip() {
	section := io.NewSectionReader(s.from, 0, s.size)
	in := bufio.NewReaderSize(section, 256<<10) // of which gzip takes a member and no more
	var z gzip.Reader
	for {
		if err := z.Reset(in); err != nil {
			return
		}
		z.Multistream(false)
		if _, err := io.Copy(s, &z); err != nil {
			return
		}
		read, _ := section.Seek(0, io.SeekCurrent)
		s.member(read - int64(in.Buffered()))
	}
}

func (s *wholeScan) zstd() {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return
	}
	defer d.Close()
	for at := int64(0); at < s.size; {
		end, ok := s.frame(at)
		if !ok || d.Reset(io.NewSectionReader(s.from, at, end-at)) != nil {
			return
		}
		if _, err := io.Copy(s, d); err != nil {
			return
		}
		s.member(end)
		at = end
	}
}

// frame is where a zstd frame ends that begins at an offset:
//
//	header | blocks, each: 3 bytes, little endian (bit 0: the last; bits 1, 2: type; the others: size) and its content | checksum, 4 bytes, if the header says so
func (s *wholeScan) frame(at int64) (end int64, ok bool) {
	const runLength = 1 // the type of blocks that are a byte, whatever their size
	head := make([]byte, zstd.HeaderMaxSize)
	n, _ := s.from.ReadAt(head, at)
	var h zstd.Header
	if err := h.Decode(head[:n]); err != nil || h.Skippable {
		return 0, false
	}
	for at += int64(h.HeaderSize); ; {
		var b [3]byte
		if _, err := s.from.ReadAt(b[:], at); err != nil {
			return 0, false
		}
		block := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		at += 3
		if block>>1&3 == runLength {
			at++
		} else {
			at += int64(block >> 3)
		}
		if block&1 != 0 {
			break
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	return at, at <= s.size
}
