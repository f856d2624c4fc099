package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestNoHeartbeatComesWhileTheyAreMuted(t *testing.T) {
	const heartbeat, answer = "heartbeat", "answer"
	here, there := net.Pipe()
	defer here.Close()
	o := Output{wire: wire{conn: here}}
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(there)
		got <- string(all)
	}()
	for _, err := range []error{
		o.Heartbeat(heartbeat),
		func() error { o.MuteHeartbeats(); return nil }(),
		o.Heartbeat(heartbeat),
		o.WriteAndUnmute([]byte(answer), time.Second),
		o.Heartbeat(heartbeat),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	here.Close()
	if all := <-got; all != heartbeat+answer+heartbeat {
		t.Errorf("got %q", all)
	}
}

// TestNothingFollowsAFrameThatWasCutShort: what another goroutine writes after
// a write failed would be taken for the rest of the frame.
func TestNothingFollowsAFrameThatWasCutShort(t *testing.T) {
	cut := errors.New("cut")
	writes := 0
	o := Output{wire: wire{conn: watchedConn{write: func(b []byte) (int, error) {
		writes++
		if writes == 1 {
			return 3, cut
		}
		return len(b), nil
	}}}}
	for range 2 {
		if err := o.Write([]byte("frame")); err != cut {
			t.Errorf("got %v", err)
		}
	}
	if err := o.Heartbeat("heartbeat"); err != cut || writes != 1 {
		t.Errorf("%d writes, %v", writes, err)
	}
}

// watchedConn calls write for each Write.
type watchedConn struct {
	net.Conn
	write func(b []byte) (int, error)
}

func (c watchedConn) Write(b []byte) (int, error) { return c.write(b) }

// TestNothingIsSentWhereThereIsNothingToSend, through a compression: what unpacks
// to nothing ends the connection for some clients.
func TestNothingIsSentWhereThereIsNothingToSend(t *testing.T) {
	var sent bytes.Buffer
	o := &Output{layer: &deflateWriter{to: &sent, level: 6}}
	if err := o.Flush(); err != nil || sent.Len() > 0 {
		t.Errorf("flush sends %x, %v", sent.Bytes(), err)
	}
	if err := o.Write([]byte("frame")); err != nil || sent.Len() == 0 {
		t.Errorf("write sends %x, %v", sent.Bytes(), err)
	}
}
