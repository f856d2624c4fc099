package archive

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression is how files are compressed. A file is a series of whole gzip
// members or zstd frames, one for each sync, so that what was synced can be read
// whatever happened to the rest.
type Compression string

// The compressions, each with the end of the names of its files.
const (
	None Compression = ""
	Gzip Compression = ".gz"
	Zstd Compression = ".zst"
)

// ParseCompression reads a compression by its name: none, gzip or zstd.
func ParseCompression(name string) (Compression, error) {
	switch name {
	case "", "none":
		return None, nil
	case "gzip":
		return Gzip, nil
	case "zstd":
		return Zstd, nil
	}
	return None, fmt.Errorf("compression %q is none of none, gzip, zstd", name)
}

// compressor writes members.
type compressor interface {
	io.Writer
	Close() error // ends the member
	Reset(io.Writer)
}

// plain is no compression.
type plain struct{ w io.Writer }

func (p *plain) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *plain) Close() error                { return nil }
func (p *plain) Reset(w io.Writer)           { p.w = w }

// newCompressor makes one; level 0 is the usual one.
func newCompressor(c Compression, level int) (compressor, error) {
	switch c {
	case Gzip:
		if level == 0 {
			level = gzip.DefaultCompression
		}
		return gzip.NewWriterLevel(io.Discard, level)
	case Zstd:
		o := []zstd.EOption{zstd.WithEncoderConcurrency(1)}
		if level != 0 {
			o = append(o, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
		}
		return zstd.NewWriter(nil, o...)
	}
	return &plain{io.Discard}, nil
}

// decompress reads a file of that name.
func decompress(name string, r io.Reader) (io.Reader, error) {
	r = bufio.NewReaderSize(r, 256<<10)
	switch {
	case strings.HasSuffix(name, string(Gzip)):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, string(Zstd)):
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return r, nil
}
