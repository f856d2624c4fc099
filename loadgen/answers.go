package loadgen

import (
	"bytes"
	"fmt"
	"strconv"

	"qmq/protocol"
)

// answers reads what the server says to publishes.
type answers interface {
	// await waits for an answer and takes all that have come. It returns how
	// many there were; an answer other than OK is an error.
	await() (int, error)
}

// tcpAnswers are frames.
type tcpAnswers struct{ *conn }

func (t tcpAnswers) await() (n int, err error) {
	for {
		kind, data, ok, err := t.frame()
		switch {
		case err != nil:
			return n, err
		case !ok && n > 0:
			return n, nil
		case !ok:
			if err := t.fill(); err != nil {
				return n, err
			}
		case kind == protocol.FrameResponse && string(data) == "OK":
			n++
		case kind != protocol.FrameResponse || string(data) != heartbeat:
			return n, fmt.Errorf("the answer to a publish is %q", data)
		}
	}
}

// httpAnswers are HTTP/1.1 responses. Only what the daemons send is
// understood: a length in advance, and the connection stays open.
type httpAnswers struct{ *conn }

func (h httpAnswers) await() (int, error) {
	for {
		size, err := responseSize(h.in[h.r:h.w])
		if err != nil {
			return 0, err
		}
		if size > 0 && h.w-h.r >= size {
			h.r += size
			return 1, nil
		}
		if err := h.fill(); err != nil {
			return 0, err
		}
	}
}

var (
	headEnd       = []byte("\r\n\r\n")
	lineEnd       = []byte("\r\n")
	contentLength = []byte("content-length")
	statusOK      = []byte("HTTP/1.1 200 ")
)

// responseSize is the length of the response that b begins with; 0 while its
// head is not complete.
func responseSize(b []byte) (int, error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(b, statusOK) {
		return 0, fmt.Errorf("the answer to a publish is %q", b[:min(len(b), 512)])
	}
	_, fields, _ := bytes.Cut(b[:end], lineEnd)
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, lineEnd)
		name, value, _ := bytes.Cut(field, []byte(":"))
		if !bytes.EqualFold(name, contentLength) {
			continue
		}
		length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || length < 0 {
			return 0, fmt.Errorf("an answer has the length %q", value)
		}
		if length > maxInput {
			return 0, fmt.Errorf("an answer of %d bytes is too long", length)
		}
		return end + len(headEnd) + length, nil
	}
	return 0, fmt.Errorf("an answer does not tell its length: %q", b[:end])
}
