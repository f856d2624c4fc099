package loadgen

import (
	"io"
	"net"
	"strings"
	"testing"
)

// answering is a connection on which each write of the other side is what one
// read brings.
func answering(t *testing.T, pieces ...string) *conn {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close() })
	go func() {
		defer there.Close()
		for _, p := range pieces {
			if _, err := io.WriteString(there, p); err != nil {
				return
			}
		}
	}()
	return newConn(here)
}

func TestHTTPAnswersAreTakenOneByOne(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nDate: today\r\n\r\nOK"
	const lower = "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n"
	h := httpAnswers{answering(t, ok[:5], ok[5:60], ok[60:len(ok)-1], ok[len(ok)-1:]+lower, ok)}
	for i := range 3 {
		if n, err := h.await(); n != 1 || err != nil {
			t.Fatalf("answer %d: %d, %v", i, n, err)
		}
	}
	if n, err := h.await(); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestHTTPAnswersThatAreNotOKAreErrors(t *testing.T) {
	for answer, text := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n":        "400 Bad Request",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":        "does not tell its length",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":                "the length",
		"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n":              "the length",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n": "too long",
		"E_BAD_PROTOCOL\r\n\r\n":                                       "E_BAD_PROTOCOL",
	} {
		if n, err := (httpAnswers{answering(t, answer)}).await(); n != 0 || err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %d, %v", answer, n, err)
		}
	}
}

func TestAllAnswersThatCameTogetherAreTaken(t *testing.T) {
	const ok = "\x00\x00\x00\x06\x00\x00\x00\x00OK"
	const beat = "\x00\x00\x00\x0f\x00\x00\x00\x00_heartbeat_"
	a := tcpAnswers{answering(t, beat, ok+ok+beat+ok+ok[:7], ok[7:]+"\x00\x00\x00\x09\x00\x00\x00\x01E_BAD")}
	if n, err := a.await(); n != 3 || err != nil {
		t.Fatalf("first: %d, %v", n, err)
	}
	if n, err := a.await(); n != 1 || err == nil || !strings.Contains(err.Error(), "E_BAD") {
		t.Errorf("then: %d, %v", n, err)
	}
}
