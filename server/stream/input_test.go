package stream

import (
	"errors"
	"io"
	"net"
	"testing"
)

// pair is both ends of a TCP connection, the first one inside an input.
func pair(t testing.TB, limit int) (*Input, net.Conn) {
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
	in := new(Input)
	in.init(here, Options{MaxCommand: limit})
	return in, there
}

// TestErrorBehindBytesIsNotForgotten: a layer that unpacks finds out that a piece
// is damaged while it still has good bytes to give.
func TestErrorBehindBytesIsNotForgotten(t *testing.T) {
	damaged := errors.New("damaged")
	results := []error{damaged, nil, nil}
	in := &Input{limit: 100, readSize: minBuffer, from: readerFunc(func(p []byte) (int, error) {
		err := results[0]
		results = results[1:]
		return copy(p, "abc"), err
	})}
	if err := in.Fill(); err != nil || string(in.Bytes()) != "abc" {
		t.Fatalf("%q, %v", in.Bytes(), err)
	}
	in.Consume(3)
	for range 2 {
		if err := in.Fill(); err != damaged || len(in.Bytes()) != 0 {
			t.Fatalf("%q, %v", in.Bytes(), err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestIdleInputHoldsNoBuffer(t *testing.T) {
	in, there := pair(t, 1<<20)
	there.Write([]byte("abc"))
	if err := in.Fill(); err != nil || string(in.Bytes()) != "abc" {
		t.Fatalf("%q, %v", in.Bytes(), err)
	}
	in.Consume(1)
	in.park()
	if string(in.Bytes()) != "bc" || len(in.buf.B) != minBuffer {
		t.Fatalf("%q in %d bytes", in.Bytes(), len(in.buf.B))
	}
	there.Write([]byte("de"))
	if err := in.Fill(); err != nil || string(in.Bytes()) != "bcde" {
		t.Fatalf("%q, %v", in.Bytes(), err)
	}
	in.Consume(4)
	if in.buf != nil || in.Bytes() != nil {
		t.Fatal("an empty input has a buffer")
	}
	there.Close()
	if err := in.Fill(); err != io.EOF {
		t.Fatalf("got %v at the end", err)
	}
}

func TestInputGrowsWithWhatCame(t *testing.T) {
	const limit = 1 << 20
	in, there := pair(t, limit)
	go there.Write(make([]byte, limit+1))
	for in.n < limit {
		if err := in.Fill(); err != nil {
			t.Fatal(err)
		}
		if most := max(4*ReadBuffer, 2*in.n); len(in.buf.B) > most {
			t.Fatalf("%d bytes are in a buffer of %d", in.n, len(in.buf.B))
		}
	}
	if err := in.Fill(); err != errCommandTooBig {
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
		for before := 0; in.n < wanted; before = len(in.buf.B) {
			if err := in.Fill(); err != nil {
				t.Fatal(err)
			}
			if before > 0 && before != len(in.buf.B) {
				moves++
			}
			in.Expect(0, long)
		}
		if in.n != wanted {
			t.Fatalf("read %d bytes, want %d", in.n, wanted)
		}
		in.Consume(wanted)
		in.Expect(wanted, 0)
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
	in.Expect(100, 0)
	if in.Fill(); len(in.buf.B) > 4*ReadBuffer {
		t.Errorf("%d bytes for a client that sends short ones again", len(in.buf.B))
	}
	in.release()
}

func TestBuffersFitTheNextUser(t *testing.T) {
	for _, n := range []int{1, minBuffer, minBuffer + 1, ReadBuffer, 3 << 20, maxPooled, maxPooled + 1} {
		b := TakeBuffer(n)
		if len(b.B) < n {
			t.Errorf("%d bytes, want %d", len(b.B), n)
		}
		b.Give()
	}
	odd := &Buffer{B: make([]byte, 5000)}
	odd.Give()
	if len(odd.B) != minBuffer {
		t.Errorf("an odd buffer has %d bytes", len(odd.B))
	}
	(*Buffer)(nil).Give()
}
