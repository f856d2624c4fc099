package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
)

// layerBuffer is how many bytes of an encoding are read and written at once.
const layerBuffer = 256 << 10

// unparsed is what the connection brings from now on, beginning with what was read
// already and not parsed.
func (c *conn) unparsed() io.Reader {
	read := bytes.Clone(c.in[c.r:c.w])
	c.r, c.w = 0, 0
	return io.MultiReader(bytes.NewReader(read), c.from)
}

// encrypt puts TLS on the connection.
func (c *conn) encrypt(ctx context.Context) error {
	below := lower{c.Conn, bufio.NewReaderSize(c.unparsed(), layerBuffer)}
	t := tls.Client(below, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	c.from, c.to = t, t
	return t.HandshakeContext(ctx)
}

// lower is what TLS reads from and writes to.
type lower struct {
	net.Conn
	in *bufio.Reader
}

func (l lower) Read(p []byte) (int, error) { return l.in.Read(p) }

// compressed is a connection under a compression. One goroutine may read,
// others may write.
type compressed struct {
	in     patient
	buf    *bufio.Reader // of in
	unpack io.Reader     // of buf
	full   bool          // the last read had no room for more

	mu   sync.Mutex // guards what follows
	out  *bufio.Writer
	pack flusher // to out
}

type flusher interface {
	io.Writer
	Flush() error
}

// codec makes both sides of a compression.
type codec func(from io.Reader, to io.Writer) (unpack io.Reader, pack flusher, err error)

func newSnappy(from io.Reader, to io.Writer) (io.Reader, flusher, error) {
	const block = 64 << 10 // the longest that snappy allows
	pack := s2.NewWriter(to, s2.WriterSnappyCompat(), s2.WriterConcurrency(1), s2.WriterBlockSize(block))
	return s2.NewReader(from, s2.ReaderMaxBlockSize(block)), pack, nil
}

func newDeflate(level int) codec {
	return func(from io.Reader, to io.Writer) (io.Reader, flusher, error) {
		pack, err := flate.NewWriter(to, level)
		return flate.NewReader(from), pack, err
	}
}

// compress puts a compression on the connection.
func (c *conn) compress(by codec) (err error) {
	l := &compressed{in: patient{from: c.unparsed(), conn: c.Conn}, out: bufio.NewWriterSize(c.to, layerBuffer)}
	l.buf = bufio.NewReaderSize(&l.in, layerBuffer)
	c.from, c.to = l, l
	l.unpack, l.pack, err = by(l.buf, l.out)
	return err
}

// Read unpacks what came. A deadline ends only the wait for more: after it
// reading can go on.
func (l *compressed) Read(p []byte) (int, error) {
	if !l.full && l.buf.Buffered() == 0 {
		l.in.calm = true
		_, err := l.buf.Peek(1)
		l.in.calm = false
		if err != nil {
			return 0, err
		}
	}
	n, err := l.unpack.Read(p)
	l.full = n == len(p)
	return n, err
}

// Write sends all of p.
func (l *compressed) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.pack.Write(p); err != nil {
		return 0, err
	}
	if err := l.pack.Flush(); err != nil {
		return 0, err
	}
	return len(p), l.out.Flush()
}

// patient reads on after a deadline, which those who unpack do not survive,
// except while it is calm, when they are not reading.
type patient struct {
	from io.Reader
	conn net.Conn
	calm bool
}

func (r *patient) Read(p []byte) (int, error) {
	for {
		n, err := r.from.Read(p)
		if n > 0 || r.calm || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		// The deadline was to end the wait, and something has come.
		if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
}
