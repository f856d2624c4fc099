package server

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"qmq/protocol"
)

func TestNoHeartbeatBetweenIdentifyAndItsAnswer(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	o := output{wire: wire{conn: here}}
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(there)
		got <- string(all)
	}()
	for _, err := range []error{
		o.heartbeat(),
		func() error { o.silence(); return nil }(),
		o.heartbeat(),
		o.speak([]byte(protocol.OKFrame), time.Second),
		o.heartbeat(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	here.Close()
	if all := next(t, got); all != protocol.HeartbeatFrame+protocol.OKFrame+protocol.HeartbeatFrame {
		t.Errorf("got %q", all)
	}
}

// TestNothingFollowsAFrameThatWasCutShort: what another goroutine writes after
// a write failed would be taken for the rest of the frame.
func TestNothingFollowsAFrameThatWasCutShort(t *testing.T) {
	cut := errors.New("cut")
	writes := 0
	o := output{wire: wire{conn: watchedConn{write: func(b []byte) (int, error) {
		writes++
		if writes == 1 {
			return 3, cut
		}
		return len(b), nil
	}}}}
	for range 2 {
		if err := o.write([]byte(protocol.OKFrame)); err != cut {
			t.Errorf("got %v", err)
		}
	}
	if err := o.heartbeat(); err != cut || writes != 1 {
		t.Errorf("%d writes, %v", writes, err)
	}
}

func TestDeliveryAsksForNoLargerBufferThanItLatelyNeeded(t *testing.T) {
	size := nextFrameSize(readBuffer, 3<<20)
	if size != longestDelivery {
		t.Errorf("%d bytes after a very long one", size)
	}
	for range 10 {
		size = nextFrameSize(size, 100)
	}
	if size != readBuffer {
		t.Errorf("%d bytes after many short ones", size)
	}
}

func TestDeliveryLooksAgainAfterAWakeAtItsEnd(t *testing.T) {
	var d delivery
	if !d.wake() {
		t.Fatal("the first wake does not start it")
	}
	for range 2 {
		if d.wake() {
			t.Fatal("a second goroutine is started")
		}
	}
	if d.rest() {
		t.Fatal("a wake was lost")
	}
	if !d.rest() {
		t.Fatal("it does not end")
	}
	if !d.wake() {
		t.Fatal("it does not start again")
	}
}

// FuzzConnection sends arbitrary bytes, in two pieces: nothing may panic, hang or
// be left behind.
func FuzzConnection(f *testing.F) {
	const id = "0123456789abcdef"
	for _, seed := range []string{
		"", "  V2", "  V1", "  V2\n",
		"  V2" + pub("t", "x") + mpub("t", "a", "b") + dpub("t", 1, "x"),
		"  V2" + identify(`{"feature_negotiation":true,"heartbeat_interval":-1}`) + "SUB t ch\n",
		"  V2SUB t ch\nRDY 5\nFIN " + id + "\nREQ " + id + " 1\nTOUCH " + id + "\nCLS\nNOP\n" + pub("t", "x"),
		"  V2SUB t#ephemeral ch#ephemeral\nRDY\n" + pub("t#ephemeral", "x"),
		"  V2MPUB t\n" + size(5<<20) + size(1048575),
		"  V2AUTH\n" + sized("x"),
	} {
		f.Add([]byte(seed), 7)
	}
	f.Fuzz(func(t *testing.T, sent []byte, cut int) {
		r := start(t)
		here, there := net.Pipe()
		r.tcp.start(here)
		go io.Copy(io.Discard, there)
		cut = min(max(cut, 0), len(sent))
		there.SetWriteDeadline(time.Now().Add(patience))
		for _, piece := range [][]byte{sent[:cut], sent[cut:]} {
			if _, err := there.Write(piece); err != nil {
				break // it was closed for what it said
			}
		}
		there.Close()
		eventually(t, func() bool { return len(r.tcp.all()) == 0 })
	})
}
