package stream

import (
	"errors"
	"io"
	"net"
	"syscall"

	"qmq/internal/budget"
)

// errCommandTooBig cannot happen as long as the parser refuses what does not
// fit the limits; it keeps a mistake there from growing a buffer for ever.
var errCommandTooBig = errors.New("command exceeds every limit")

// Input is the reading side of a connection: the bytes that came and are not
// carried out yet. While a connection is idle it holds no buffer; a buffer
// grows only when bytes really came, whatever size they announce, or to what
// the command before it really took. It belongs to the goroutine that reads.
//
// Without TLS and compression the bytes come from the socket itself; with
// them from a layer, below which another input reads the socket.
type Input struct {
	from  io.Reader             // the socket or a layer above it
	layer layer                 // the same as from when that is a layer, else nil
	raw   syscall.RawConn       // nil when from has no descriptor of its own
	try   func(fd uintptr) bool // tryRead, bound once
	limit int                   // the longest command in bytes

	below    *Input          // what a layer reads; nil without
	claim    budget.Claim    // to the memory of what is unfinished
	reserved int             // of it for what is made of what came, bytes
	stop     <-chan struct{} // closed when nobody is to wait for memory any more

	buf      *Buffer // nil while idle
	n        int     // buf.B[:n] came and is not carried out
	consumed bool    // since Consumed was called last
	err      error   // of the last tryRead, or that came with bytes from a layer
	spin     spinner

	// What is learnt of the client; lengths in bytes.
	readSize    int // how much to read at once, follows what comes
	announced   int // how long the command at the front of buf is said to be; 0 when it is not known
	longCommand int // of the last command if it was longer than readSize; its like find space at once
}

func (in *Input) init(conn net.Conn, o Options) {
	in.from, in.limit, in.readSize, in.stop = conn, o.MaxCommand, ReadBuffer, o.Stop
	in.claim.From(o.Unfinished)
	in.try = in.tryRead
	if sc, ok := conn.(syscall.Conn); ok && rawIO {
		if raw, err := sc.SyscallConn(); err == nil {
			in.raw = raw
		}
	}
}

// insert puts a layer between the socket and whoever reads: what came and is
// not carried out yet belongs to the layer, which gets the input that has it.
// readThrough must follow.
func (in *Input) insert() (below *Input) {
	below = new(Input)
	*below = *in
	below.announced, below.longCommand = 0, 0
	below.try = below.tryRead
	below.limit = max(below.limit, maxSnappyChunk)
	*in = Input{limit: in.limit, readSize: minBuffer, below: below, stop: in.stop}
	in.claim.From(below.claim.Budget())
	return below
}

// readThrough is the second half of insert.
func (in *Input) readThrough(l layer) { in.from, in.layer = l, l }

// Bytes is what came and is not carried out yet. It is valid until the next
// call of Consume or Fill.
func (in *Input) Bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.B[:in.n]
}

// Fill waits for bytes and adds to Bytes what there is, at least one. At the
// end of the stream it returns io.EOF, at a deadline os.ErrDeadlineExceeded.
func (in *Input) Fill() error {
	if in.raw == nil {
		return in.fillFromReader()
	}
	if err := in.raw.Read(in.try); err != nil {
		return err
	}
	return in.err
}

func (in *Input) fillFromReader() error {
	if in.err != nil {
		return in.err
	}
	if in.n == 0 && in.layer != nil {
		if err := in.layer.wait(); err != nil {
			return err
		}
	}
	if err := in.makeSpace(); err != nil {
		return err
	}
	in.account()
	n, err := in.from.Read(in.space())
	in.received(n)
	switch {
	case n > 0:
		in.err = err // what came before it is carried out first
		return nil
	case in.n == 0:
		in.release()
	}
	return err
}

// Consume drops the first n bytes. What is left moves to the front, which
// happens at most once per buffer because only half a command is ever left.
func (in *Input) Consume(n int) {
	in.consumed = in.consumed || n > 0
	if n == in.n {
		in.release()
		return
	}
	in.n = copy(in.buf.B, in.buf.B[n:in.n])
}

// Consumed tells whether anything was consumed since it was called last.
func (in *Input) Consumed() bool {
	consumed := in.consumed
	in.consumed = false
	return consumed
}

// Expect tells what is known of the commands: the longest of those that were
// consumed took longest bytes, the one at the front will take announced, if not
// 0.
func (in *Input) Expect(longest, announced int) {
	in.announced = announced
	switch {
	case longest > in.readSize:
		in.longCommand = min(longest, maxPooled)
	case longest > 0:
		in.longCommand = 0
	}
}

// Unfinished is how many bytes have come of what is not complete, also in the
// layers below.
func (in *Input) Unfinished() (n int) {
	for ; in != nil; in = in.below {
		n += in.n
	}
	return n
}

// WaitForSpace waits, where the memory for what is unfinished is short, until
// the buffer may become longer. Meanwhile nothing is read. Its error is
// ErrStopping.
func (in *Input) WaitForSpace() error {
	if in.buf == nil || in.n < len(in.buf.B) {
		return nil
	}
	next := in.nextSize()
	if next <= ReadBuffer && !in.claim.Budget().Tight() || in.claim.Grow(int64(next), in.stop) {
		return nil
	}
	return ErrStopping
}

// Reserve waits for n more bytes of memory for what is made of the commands that
// came; Unreserve gives all of them back. Its error is ErrStopping.
func (in *Input) Reserve(n int) error {
	in.reserved += n
	if !in.claim.Grow(int64(len(in.buf.B)+in.reserved), in.stop) {
		return ErrStopping
	}
	return nil
}

// Unreserve gives back what was reserved. The input must not have been consumed
// to its end since.
func (in *Input) Unreserve() {
	if in.reserved > 0 {
		in.reserved = 0
		in.claim.Set(int64(len(in.buf.B)))
	}
}

// account counts the buffer before a wait with it in hands.
func (in *Input) account() {
	if in.n > 0 || in.buf != nil && len(in.buf.B) > ReadBuffer {
		in.claim.Set(int64(len(in.buf.B)))
	}
}

// release gives the buffer up and with it the bytes in it.
func (in *Input) release() {
	in.buf.Give()
	in.buf, in.n = nil, 0
	in.claim.Set(0)
}

// received counts the bytes of a read, and learns from it how much to read at
// once: a connection that fills its buffer gets a longer one next time.
func (in *Input) received(n int) {
	in.n += n
	switch {
	case in.n == len(in.buf.B) && in.readSize < 4*ReadBuffer:
		in.readSize *= 2
	case n < in.readSize/4 && in.readSize > in.minReadSize():
		in.readSize /= 2
	}
}

// minReadSize is the shortest buffer for a wait. One that waits with a buffer in
// its hands takes a short one.
func (in *Input) minReadSize() int {
	if in.raw != nil {
		return ReadBuffer
	}
	return minBuffer
}

// makeSpace sees to it that there is a buffer with space in it. What a command
// claims counts only for a client that has just sent one as long, and only while
// there is memory enough.
func (in *Input) makeSpace() error {
	tight := in.claim.Budget().Tight()
	switch {
	case in.buf == nil && tight:
		in.buf = TakeBuffer(minBuffer)
	case in.buf == nil:
		in.buf = TakeBuffer(max(in.readSize, in.longCommand))
	case len(in.buf.B) < min(in.readSize, ReadBuffer) && !tight:
		in.move(in.readSize)
	case in.n == len(in.buf.B):
		if in.n >= in.limit {
			return errCommandTooBig
		}
		in.move(in.nextSize())
	}
	return nil
}

// nextSize is how long a buffer that is full is going to be.
func (in *Input) nextSize() int {
	return bufferSize(max(2*in.n, min(in.announced, in.longCommand)))
}

// space is where the next read goes. It ends with a long command: what follows
// would have to be moved to the front of the buffer. A layer gets all there is:
// a read that fills its space makes it look for more before it waits.
func (in *Input) space() []byte {
	end := len(in.buf.B)
	switch {
	case in.raw == nil:
	case in.n == 0 && in.longCommand > 0:
		end = min(end, in.longCommand)
	case in.announced > max(in.n+minBuffer, in.readSize):
		end = min(end, in.announced)
	}
	return in.buf.B[in.n:end]
}

// park gives up what memory it can before a wait: all of it when nothing is
// left over, all but a small buffer when only a little is.
func (in *Input) park() {
	switch {
	case in.n == 0:
		in.release()
	case in.n <= minBuffer/2 && len(in.buf.B) > minBuffer:
		in.move(minBuffer)
	}
	in.account()
}

// move puts the bytes into a buffer of the given size.
func (in *Input) move(size int) {
	to := TakeBuffer(size)
	copy(to.B, in.buf.B[:in.n])
	in.buf.Give()
	in.buf = to
}
