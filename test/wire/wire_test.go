package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// frame is one as a daemon sends it.
func frame(kind int, data string) string { return Size(4+len(data)) + Size(kind) + data }

// served is a client whose daemon has sent these bytes, one at a time, and
// closed.
func served(t *testing.T, sent string) (*Conn, *recording) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close() })
	go func() {
		defer there.Close()
		for i := range len(sent) {
			if _, err := there.Write([]byte(sent[i : i+1])); err != nil {
				return
			}
		}
	}()
	r := &recording{Conn: here}
	return NewConn(t, r), r
}

// recording takes what is written.
type recording struct {
	net.Conn
	heard bytes.Buffer
}

func (r *recording) Write(b []byte) (int, error) { return r.heard.Write(b) }

func TestFramesAreTakenApart(t *testing.T) {
	message := "\x00\x00\x00\x00\x00\x00\x01\x02\x00\x030123456789abcdefbody"
	long := strings.Repeat("x", 100_000)
	for _, exact := range []bool{false, true} {
		c, sent := served(t, frame(Response, "OK")+frame(Response, Heartbeat)+frame(Delivery, message)+frame(Error, "E_BAD")+frame(Response, long)+frame(Response, Heartbeat))
		c.Exact = exact
		c.Expect("OK")
		if m := c.Message(); m != (Message{0x102, 3, "0123456789abcdef", "body"}) {
			t.Errorf("%+v", m)
		}
		c.ExpectError("E_BAD")
		c.Expect(long)
		c.ExpectEnd()
		if heard := sent.heard.String(); heard != "NOP\n" {
			t.Errorf("heartbeats were answered with %q", heard)
		}
	}
}

func TestExactClientLeavesWhatFollowsAFrame(t *testing.T) {
	for _, exact := range []bool{true, false} {
		c, _ := served(t, frame(Response, "OK")+"another layer")
		c.Exact = exact
		c.Expect("OK")
		if exact && c.from != c.to {
			t.Errorf("%q was read", c.in[c.from:c.to])
		}
		if rest, err := io.ReadAll(c); err != nil || string(rest) != "another layer" {
			t.Errorf("%q, %v", rest, err)
		}
	}
}

func TestCommandsAreCollectedAndRefusalsAreErrors(t *testing.T) {
	c, sent := served(t, frame(Response, "{}")+frame(Response, "OK")+frame(Error, "E_INVALID no"))
	deadline := time.Now().Add(Timeout)
	if err := c.Subscribe(`{"a":1}`, "t", "ch", deadline); err != nil {
		t.Fatal(err)
	}
	id := ID([]byte("0123456789abcdef"))
	c.Ready(7)
	c.Answer("FIN", &id)
	c.Requeue(&id, 2*time.Second)
	_, err := c.Command(deadline)
	var refused Refusal
	if !errors.As(err, &refused) || refused != "E_INVALID no" {
		t.Errorf("%v", err)
	}
	want := Identify(`{"a":1}`) + "SUB t ch\nRDY 7\nFIN 0123456789abcdef\nREQ 0123456789abcdef 2000\n"
	if heard := sent.heard.String(); heard != want {
		t.Errorf("%q", heard)
	}
}

func TestSenselessFramesAreErrors(t *testing.T) {
	for _, bytes := range []string{Size(3) + Size(0), Size(maxFrame+1) + Size(0), "\xff\xff\xff\xff" + Size(0)} {
		c, _ := served(t, bytes)
		if _, _, err := c.AnyFrame(); err == nil {
			t.Errorf("%x is taken", bytes)
		}
	}
	if _, err := ParseMessage("too short"); err == nil {
		t.Error("a message without an id is taken")
	}
}

// delivered is the data of a message frame.
func delivered(id, body string) string {
	return "\x00\x00\x00\x00\x00\x00\x00\x09\x00\x01" + id + body
}

func TestStepsSayWhatTheySay(t *testing.T) {
	const a, b = "000000000000000a", "000000000000000b"
	c, sent := served(t, frame(Response, "OK")+frame(Response, "OK")+frame(Response, "OK")+
		frame(Delivery, delivered(a, "one"))+frame(Delivery, delivered(b, "two"))+frame(Response, "OK"))
	c.Consume("t", "ch", 7)
	c.Publish("t", "one", "two")
	m := c.Messages("one", "two")
	c.Fin(m[0])
	c.Req(m[1], 30)
	c.ExpectOpen()
	want := "SUB t ch\nRDY 7\nPUB t\n\x00\x00\x00\x03onePUB t\n\x00\x00\x00\x03twoFIN " + a + "\nREQ " + b + " 30\nPUB still.open\n\x00\x00\x00\x01x"
	if heard := sent.heard.String(); heard != want {
		t.Errorf("%q, want %q", heard, want)
	}
	if text, want := MPub("t", "a", "bc")+DPub("t", 5, "x"), "MPUB t\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02bcDPUB t 5\n\x00\x00\x00\x01x"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestConnectionsBeginWithTheMagic(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 2)
	go func() {
		for range 2 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			text, err := io.ReadAll(conn)
			heard <- string(text)
			if err != nil {
				heard <- "reset"
			}
			conn.Close()
		}
	}()
	Connect(t, l.Addr().String(), "NOP\n").Close()
	if got := <-heard; got != "  V2NOP\n" {
		t.Errorf("%q", got)
	}
	c, err := Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.Abort()
	if got := <-heard; got != "  V2" && got != "" { // a reset may overtake it
		t.Errorf("%q", got)
	}
	if got := <-heard; got != "reset" {
		t.Errorf("%q", got)
	}
}
