package server

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

// input is the reading side of a connection: the bytes that came and are not
// carried out yet. While a connection is idle it holds no buffer; a buffer
// grows only when bytes really came, whatever size they announce, or to what
// the command before it really took. It belongs to the session's reading
// goroutine.
//
// Without TLS and compression the bytes come from the connection itself; with
// them from a layer, below which another input reads the connection.
type input struct {
	from  io.Reader             // the connection or a layer above it
	ahead func() error          // waits until a layer has something to read; may be nil
	raw   syscall.RawConn       // nil when from has no descriptor of its own
	try   func(fd uintptr) bool // tryRead, bound once
	limit int                   // the longest command in bytes

	below *input          // what a layer reads; nil without
	claim budget.Claim    // to the memory of what is unfinished
	spent int             // of it what is made of what came
	stop  <-chan struct{} // closed when nobody is to wait for memory any more

	buf *buffer // nil while idle
	n   int     // buf.b[:n] came and is not carried out
	// consumed says that something was since the session last looked.
	consumed bool
	want     int   // how much to read at once, follows what comes
	need     int   // how long the command at the front of buf is said to be; 0 when it is not known
	long     int   // of the last command if it was longer than want; its like find room at once
	err      error // of the last tryRead, or that came with bytes from a layer
	spin     spinner
}

func (in *input) init(conn net.Conn, limit int, unfinished *budget.Budget, stop <-chan struct{}) {
	in.from, in.limit, in.want, in.stop = conn, limit, readBuffer, stop
	in.claim.From(unfinished)
	in.try = in.tryRead
	if sc, ok := conn.(syscall.Conn); ok && rawIO {
		if raw, err := sc.SyscallConn(); err == nil {
			in.raw = raw
		}
	}
}

// bytes is what came and is not carried out yet. It is valid until the next
// call of consume or fill.
func (in *input) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.b[:in.n]
}

// fill waits for bytes and adds to bytes what there is, at least one. At the
// end of the stream it returns io.EOF, at a deadline os.ErrDeadlineExceeded.
func (in *input) fill() error {
	if in.raw == nil {
		return in.fillFromReader()
	}
	if err := in.raw.Read(in.try); err != nil {
		return err
	}
	return in.err
}

func (in *input) fillFromReader() error {
	if in.err != nil {
		return in.err
	}
	if in.n == 0 && in.ahead != nil {
		if err := in.ahead(); err != nil {
			return err
		}
	}
	if err := in.makeRoom(); err != nil {
		return err
	}
	in.hold()
	n, err := in.from.Read(in.room())
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

// insert puts a layer between the connection and the session: what came and is
// not carried out yet belongs to the layer, which gets the input that has it.
func (in *input) insert() (below *input) {
	below = new(input)
	*below = *in
	below.need, below.long = 0, 0
	below.try = below.tryRead
	below.limit = max(below.limit, snappyLongest+chunkHead+chunkSum)
	*in = input{limit: in.limit, want: smallestBuffer, below: below, stop: in.stop}
	in.claim.From(below.claim.Budget())
	return below
}

// expect tells what is known of the commands: the longest of those that were
// consumed took longest bytes, the one at the front will take need, if not 0.
func (in *input) expect(longest, need int) {
	in.need = need
	switch {
	case longest > in.want:
		in.long = min(longest, largestPooled)
	case longest > 0:
		in.long = 0
	}
}

// consume drops the first n bytes. What is left moves to the front, which
// happens at most once per buffer because only half a command is ever left.
func (in *input) consume(n int) {
	in.consumed = in.consumed || n > 0
	if n == in.n {
		in.release()
		return
	}
	in.n = copy(in.buf.b, in.buf.b[n:in.n])
}

// release gives the buffer up and with it the bytes in it.
func (in *input) release() {
	in.buf.give()
	in.buf, in.n = nil, 0
	in.claim.Set(0)
}

// askForRoom waits, where the memory for what is unfinished is short, until the
// buffer may become longer. Meanwhile nothing is read.
func (in *input) askForRoom() error {
	if in.buf == nil || in.n < len(in.buf.b) {
		return nil
	}
	next := in.longer()
	if next <= readBuffer && !in.claim.Budget().Tight() || in.claim.Grow(int64(next), in.stop) {
		return nil
	}
	return errStopping
}

// hold counts the buffer before a wait with it in hands.
func (in *input) hold() {
	if in.n > 0 || in.buf != nil && len(in.buf.b) > readBuffer {
		in.claim.Set(int64(len(in.buf.b)))
	}
}

// spend waits for n bytes of memory for what is made of the commands that came;
// saved gives them back. It returns false when nobody is to wait any more.
func (in *input) spend(n int) bool {
	in.spent += n
	return in.claim.Grow(int64(len(in.buf.b)+in.spent), in.stop)
}

func (in *input) saved() {
	if in.spent > 0 {
		in.spent = 0
		in.claim.Set(int64(len(in.buf.b)))
	}
}

// unfinished is how many bytes have come of what is not complete, also in the
// layers below.
func (in *input) unfinished() (n int) {
	for ; in != nil; in = in.below {
		n += in.n
	}
	return n
}

// received counts the bytes of a read, and learns from it how much to read at
// once: a connection that fills its buffer gets a longer one next time.
func (in *input) received(n int) {
	in.n += n
	switch {
	case in.n == len(in.buf.b) && in.want < 4*readBuffer:
		in.want *= 2
	case n < in.want/4 && in.want > in.least():
		in.want /= 2
	}
}

// least is the shortest buffer for a wait. One that waits with a buffer in its
// hands takes a short one.
func (in *input) least() int {
	if in.raw != nil {
		return readBuffer
	}
	return smallestBuffer
}

// makeRoom sees to it that there is a buffer with room in it. What a command
// claims counts only for a client that has just sent one as long, and only while
// there is memory enough.
func (in *input) makeRoom() error {
	tight := in.claim.Budget().Tight()
	switch {
	case in.buf == nil && tight:
		in.buf = takeBuffer(smallestBuffer)
	case in.buf == nil:
		in.buf = takeBuffer(max(in.want, in.long))
	case len(in.buf.b) < min(in.want, readBuffer) && !tight:
		in.move(in.want)
	case in.n == len(in.buf.b):
		if in.n >= in.limit {
			return errCommandTooBig
		}
		in.move(in.longer())
	}
	return nil
}

// longer is how long a buffer that is full is going to be.
func (in *input) longer() int { return bufferSize(max(2*in.n, min(in.need, in.long))) }

// room is where the next read goes. It ends with a long command: what follows
// would have to be moved to the front of the buffer. A layer gets all there is:
// a read that fills its room makes it look for more before it waits.
func (in *input) room() []byte {
	end := len(in.buf.b)
	switch {
	case in.raw == nil:
	case in.n == 0 && in.long > 0:
		end = min(end, in.long)
	case in.need > max(in.n+smallestBuffer, in.want):
		end = min(end, in.need)
	}
	return in.buf.b[in.n:end]
}

// park gives up what memory it can before a wait: all of it when nothing is
// left over, all but a small buffer when only a little is.
func (in *input) park() {
	switch {
	case in.n == 0:
		in.release()
	case in.n <= smallestBuffer/2 && len(in.buf.b) > smallestBuffer:
		in.move(smallestBuffer)
	}
	in.hold()
}

// move puts the bytes into a buffer of the given size.
func (in *input) move(size int) {
	to := takeBuffer(size)
	copy(to.b, in.buf.b[:in.n])
	in.buf.give()
	in.buf = to
}
