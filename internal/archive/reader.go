package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTorn means that a file ends in the middle of a line, as one does whose
// writer was killed; ErrCut that its compressed data does, of which nothing more
// can be read. What was before is good, and Rest is what there is of a last line.
var (
	ErrTorn = errors.New("the file ends in the middle of a message")
	ErrCut  = errors.New("the compressed file is cut short")
)

// maxLine bounds a message that is read back, in bytes.
const maxLine = 256 << 20

// Reader reads a file back, line by line.
type Reader struct {
	file  *os.File
	count counted
	r     *bufio.Reader
	line  []byte
}

// counted counts what is read of a file.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Open opens a file of messages; the end of its name tells its compression.
func Open(path string) (*Reader, error) { return openAs(path, path) }

// openAs opens a file whose compression another name tells.
func openAs(name, path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{file: file, count: counted{r: file}}
	from, err := decompress(name, &r.count)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		from, err = ended{err}, nil
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.r = bufio.NewReaderSize(from, 256<<10)
	return r, nil
}

// ended is a file that has no beginning.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }

// Size is that of the file, in bytes; Position how much of it was read.
func (r *Reader) Size() int64 {
	info, err := r.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// Position is how many bytes of the file were read.
func (r *Reader) Position() int64 { return r.count.n }

// Next returns a line without its newline, valid until the next call. At the end
// the error is io.EOF, ErrTorn or ErrCut; any other one is the disk's, or a damage.
func (r *Reader) Next() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case err == nil:
			return r.line[:len(r.line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
			if len(r.line) > maxLine {
				return nil, fmt.Errorf("%s: a line is longer than 256 MiB", r.file.Name())
			}
		case errors.Is(err, io.EOF) && len(r.line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, ErrTorn
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, ErrCut
		default:
			return nil, fmt.Errorf("%s: %w", r.file.Name(), err)
		}
	}
}

// Rest is what there is of the last line after ErrTorn or ErrCut.
func (r *Reader) Rest() []byte { return r.line }

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
