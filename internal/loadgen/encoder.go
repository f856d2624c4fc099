package loadgen

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

// encoder writes the commands of one publisher. All have the same length.
type encoder struct {
	head      []byte // what all commands begin with
	framed    bool   // each body has its length before it
	batch     int
	bodies    *bodies
	publisher uint32
}

// newEncoder is for the commands of a load; host is what an HTTP request calls
// the server.
func newEncoder(l *Load, topic, host string, bodies *bodies, publisher uint32) encoder {
	e := encoder{framed: l.Batch > 1, batch: l.Batch, bodies: bodies, publisher: publisher}
	payload := l.Body
	if e.framed {
		payload = 4 + l.Batch*(4+l.Body)
	}
	switch {
	case l.HTTP:
		e.head = httpHead(l, topic, host, payload)
	case e.framed:
		e.head = binary.BigEndian.AppendUint32([]byte("MPUB "+topic+"\n"), uint32(payload))
	case l.Defer > 0:
		e.head = fmt.Appendf(nil, "DPUB %s %d\n", topic, l.Defer.Milliseconds())
		e.head = binary.BigEndian.AppendUint32(e.head, uint32(payload))
	default:
		e.head = binary.BigEndian.AppendUint32([]byte("PUB "+topic+"\n"), uint32(payload))
	}
	if e.framed {
		e.head = binary.BigEndian.AppendUint32(e.head, uint32(l.Batch))
	}
	return e
}

func httpHead(l *Load, topic, host string, payload int) []byte {
	path := "/pub?topic=" + url.QueryEscape(topic)
	if l.Batch > 1 {
		path = "/mpub?binary=true&topic=" + url.QueryEscape(topic)
	}
	if l.Defer > 0 {
		path += fmt.Sprintf("&defer=%d", l.Defer/time.Millisecond)
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Length: %d\r\n\r\n", path, host, userAgent, payload)
}

// append appends the command whose first message has that number.
func (e *encoder) append(dst []byte, first uint64) []byte {
	dst = append(dst, e.head...)
	if !e.framed {
		return e.bodies.append(dst, e.publisher, first)
	}
	for i := range uint64(e.batch) {
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.bodies.size))
		dst = e.bodies.append(dst, e.publisher, first+i)
	}
	return dst
}
