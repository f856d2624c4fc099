package server

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"qmq/protocol"
)

// pair is both ends of a TCP connection, the first one inside an input.
func pair(t *testing.T, limit int) (*input, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		here.Close()
		there.Close()
	})
	in := new(input)
	in.init(here, limit, nil, nil)
	return in, there
}

// TestErrorBehindBytesIsNotForgotten: a layer that unpacks finds out that a piece
// is damaged while it still has good bytes to give.
func TestErrorBehindBytesIsNotForgotten(t *testing.T) {
	damaged := errors.New("damaged")
	results := []error{damaged, nil, nil}
	in := &input{limit: 100, want: smallestBuffer, from: readerFunc(func(p []byte) (int, error) {
		err := results[0]
		results = results[1:]
		return copy(p, "abc"), err
	})}
	if err := in.fill(); err != nil || string(in.bytes()) != "abc" {
		t.Fatalf("%q, %v", in.bytes(), err)
	}
	in.consume(3)
	for range 2 {
		if err := in.fill(); err != damaged || len(in.bytes()) != 0 {
			t.Fatalf("%q, %v", in.bytes(), err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDamagedChunkEndsTheConnection: what is behind it is not taken for what
// follows the good one.
func TestDamagedChunkEndsTheConnection(t *testing.T) {
	r := start(t)
	c := r.connect()
	c.negotiate(`"snappy":true`)
	raw := c.Conn
	c.snappy()
	c.expect("OK")
	chunk := func(data string) []byte {
		return appendChunk(make([]byte, 0, chunkHead+chunkSum+s2.MaxEncodedLen(len(data))), []byte(data))
	}
	all := []byte(streamIdentifier)
	all = append(all, chunk(pub("t", "x"))...)
	bad := chunk(pub("t", "y"))
	bad[chunkHead] ^= 1
	all = append(append(all, bad...), chunk(pub("t", "z"))...)
	if _, err := raw.Write(all); err != nil {
		t.Fatal(err)
	}
	c.expect("OK")
	if _, data, err := c.tryFrame(); err == nil {
		t.Errorf("got %q", data)
	}
	topic, _ := r.broker.Existing("t")
	if n := topic.Stats().MessageCount; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestIdleInputHoldsNoBuffer(t *testing.T) {
	in, there := pair(t, 1<<20)
	there.Write([]byte("abc"))
	if err := in.fill(); err != nil || string(in.bytes()) != "abc" {
		t.Fatalf("%q, %v", in.bytes(), err)
	}
	in.consume(1)
	in.park()
	if string(in.bytes()) != "bc" || len(in.buf.b) != smallestBuffer {
		t.Fatalf("%q in %d bytes", in.bytes(), len(in.buf.b))
	}
	there.Write([]byte("de"))
	if err := in.fill(); err != nil || string(in.bytes()) != "bcde" {
		t.Fatalf("%q, %v", in.bytes(), err)
	}
	in.consume(4)
	if in.buf != nil || in.bytes() != nil {
		t.Fatal("an empty input has a buffer")
	}
	there.Close()
	if err := in.fill(); err != io.EOF {
		t.Fatalf("got %v at the end", err)
	}
}

func TestInputGrowsWithWhatCame(t *testing.T) {
	const limit = 1 << 20
	in, there := pair(t, limit)
	go there.Write(make([]byte, limit+1))
	for in.n < limit {
		if err := in.fill(); err != nil {
			t.Fatal(err)
		}
		if most := max(4*readBuffer, 2*in.n); len(in.buf.b) > most {
			t.Fatalf("%d bytes are in a buffer of %d", in.n, len(in.buf.b))
		}
	}
	if err := in.fill(); err != errCommandTooBig {
		t.Fatalf("got %v beyond the limit", err)
	}
	in.release()
}

// TestLongCommandsFindRoomAtOnce: but only for a client that has sent one, and
// what follows a long command is not read with it.
func TestLongCommandsFindRoomAtOnce(t *testing.T) {
	const long = 1 << 20
	in, there := pair(t, 2*long)
	go there.Write(make([]byte, 4*long))
	read := func(wanted int) (moves int) {
		for before := 0; in.n < wanted; before = len(in.buf.b) {
			if err := in.fill(); err != nil {
				t.Fatal(err)
			}
			if before > 0 && before != len(in.buf.b) {
				moves++
			}
			in.expect(0, long)
		}
		if in.n != wanted {
			t.Fatalf("read %d bytes, want %d", in.n, wanted)
		}
		in.consume(wanted)
		in.expect(wanted, 0)
		return moves
	}
	if moves := read(long); moves == 0 {
		t.Error("a client's first long command finds room at once")
	}
	for range 2 {
		if moves := read(long); moves > 0 {
			t.Errorf("a later one is moved %d times", moves)
		}
	}
	in.expect(100, 0)
	if in.fill(); len(in.buf.b) > 4*readBuffer {
		t.Errorf("%d bytes for a client that sends short ones again", len(in.buf.b))
	}
	in.release()
}

func TestBuffersFitTheNextUser(t *testing.T) {
	for _, n := range []int{1, smallestBuffer, smallestBuffer + 1, readBuffer, 3 << 20, largestPooled, largestPooled + 1} {
		b := takeBuffer(n)
		if len(b.b) < n {
			t.Errorf("%d bytes, want %d", len(b.b), n)
		}
		b.give()
	}
	odd := &buffer{b: make([]byte, 5000)}
	odd.give()
	if len(odd.b) != smallestBuffer {
		t.Errorf("an odd buffer has %d bytes", len(odd.b))
	}
	(*buffer)(nil).give()
}

func TestSessionOverAConnectionWithoutDescriptor(t *testing.T) {
	r := start(t)
	here, there := net.Pipe()
	r.tcp.start(here)
	c := &client{t, there}
	defer c.Close()
	c.send(protocol.Magic)
	c.send(pub("t", "x"))
	c.expect("OK")
	c.send("SUB t ch\nRDY 1\n")
	c.expect("OK")
	c.message()
}

// TestAnnouncedSizesCostNothing: many connections announce all they may and
// send nothing of it.
func TestAnnouncedSizesCostNothing(t *testing.T) {
	const connections = 500
	r := start(t)
	before := heap()
	var clients []*client
	for i := range connections {
		c := r.connect(pub("t", "x"), [...]string{
			"PUB t\n" + size(1<<20),
			"MPUB t\n" + size(5<<20) + size(1048575),
			"IDENTIFY\n" + size(5<<20) + "{",
			"MPUB t\n" + size(5<<20) + size(2) + size(1<<20) + strings.Repeat("x", 1000),
		}[i%4])
		c.expect("OK")
		clients = append(clients, c)
	}
	eventually(t, func() bool { return int64(heap())-int64(before) < connections*16<<10 })
	for _, c := range clients {
		c.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the second one drops what pools have given up
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
