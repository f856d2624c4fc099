package loadgen

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

// encoder writes the commands of one publisher.
type encoder struct {
	heads     [][]byte // what the commands begin with, by topic, in turn
	framed    bool     // each body has its length before it
	shares    bool     // long bodies are not copied
	batch     int
	bodies    *bodies
	publisher uint32
}

// longBody is from how many bytes on the kernel is given a body where it lies,
// which takes as long as copying a few KiB. An encoding copies anyhow.
const longBody = 8 << 10

// newEncoder is for the commands of a load; host is what an HTTP request calls
// the server.
func newEncoder(l *Load, topic, host string, bodies *bodies, publisher uint32) encoder {
	e := encoder{framed: l.Batch > 1, batch: l.Batch, bodies: bodies, publisher: publisher}
	e.shares = l.Body >= longBody && l.Encoding == (Encoding{})
	for _, name := range l.topics(topic) {
		e.heads = append(e.heads, e.head(l, name, host))
	}
	return e
}

// head is what a command for a topic begins with.
func (e *encoder) head(l *Load, topic, host string) (head []byte) {
	payload := l.Body
	if e.framed {
		payload = 4 + l.Batch*(4+l.Body)
	}
	switch {
	case l.HTTP:
		head = httpHead(l, topic, host, payload)
	case e.framed:
		head = binary.BigEndian.AppendUint32([]byte("MPUB "+topic+"\n"), uint32(payload))
	case l.Defer > 0:
		head = fmt.Appendf(nil, "DPUB %s %d\n", topic, l.Defer.Milliseconds())
		head = binary.BigEndian.AppendUint32(head, uint32(payload))
	default:
		head = binary.BigEndian.AppendUint32([]byte("PUB "+topic+"\n"), uint32(payload))
	}
	if e.framed {
		head = binary.BigEndian.AppendUint32(head, uint32(l.Batch))
	}
	return head
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
func (e *encoder) append(o *output, first uint64) {
	command := first / uint64(e.batch)
	o.own = append(o.own, e.heads[command%uint64(len(e.heads))]...)
	for number := first; number < first+uint64(e.batch); number++ {
		if e.framed {
			o.own = binary.BigEndian.AppendUint32(o.own, uint32(e.bodies.size))
		}
		if e.shares {
			o.own = e.bodies.appendHead(o.own, e.publisher, number)
			o.share(e.bodies.filling(e.publisher, number))
		} else {
			o.own = e.bodies.append(o.own, e.publisher, number)
		}
	}
}
