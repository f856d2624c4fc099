package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
)

// client is a raw V2 connection.
type client struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

func dial(addr string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: conn, r: bufio.NewReaderSize(conn, 256<<10), w: bufio.NewWriterSize(conn, 256<<10)}
	_, err = c.w.WriteString("  V2")
	return c, err
}

const (
	frameResponse = 0
	frameMessage  = 2
)

// frame reads one frame's type and size and leaves its data to be read.
func (c *client) frame() (kind, size int, err error) {
	head, err := c.r.Peek(8)
	if err != nil {
		return 0, 0, err
	}
	size = int(binary.BigEndian.Uint32(head)) - 4
	kind = int(binary.BigEndian.Uint32(head[4:]))
	_, err = c.r.Discard(8)
	return kind, size, err
}

// expectOK reads one answer, passing over heartbeats.
func (c *client) expectOK() error {
	for {
		kind, size, err := c.frame()
		if err != nil {
			return err
		}
		data, err := c.r.Peek(size)
		if err != nil {
			return err
		}
		c.r.Discard(size) // data stays valid until the next read
		switch {
		case kind == frameResponse && string(data) == "OK":
			return nil
		case kind == frameResponse && string(data) == "_heartbeat_":
			c.w.WriteString("NOP\n")
		default:
			return fmt.Errorf("frame %d: %q", kind, data)
		}
	}
}

// publish sends total messages in commands of per messages each (PUB when per
// is 1) with at most window commands unanswered.
func (c *client) publish(topic string, total, per, window int, body []byte) error {
	cmd := pubCommand(topic, per, body)
	commands := total / per
	sent, answered := 0, 0
	for answered < commands {
		for sent < commands && sent-answered < window {
			if _, err := c.w.Write(cmd); err != nil {
				return err
			}
			sent++
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		// Take every answer that is there, at least one.
		for first := true; first || c.r.Buffered() >= 10 && answered < sent; first = false {
			if err := c.expectOK(); err != nil {
				return err
			}
			answered++
		}
	}
	return nil
}

func pubCommand(topic string, per int, body []byte) []byte {
	var cmd []byte
	if per == 1 {
		cmd = append(cmd, "PUB "+topic+"\n"...)
		cmd = binary.BigEndian.AppendUint32(cmd, uint32(len(body)))
		return append(cmd, body...)
	}
	cmd = append(cmd, "MPUB "+topic+"\n"...)
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(4+per*(4+len(body))))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(per))
	for range per {
		cmd = binary.BigEndian.AppendUint32(cmd, uint32(len(body)))
		cmd = append(cmd, body...)
	}
	return cmd
}

// subscribe starts consuming with a ready count of 2,500.
func (c *client) subscribe(topic, channel string) error {
	fmt.Fprintf(c.w, "SUB %s %s\nRDY 2500\n", topic, channel)
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.expectOK()
}

// consume finishes messages until the connection ends and reports to counts
// how many, each time it has answered what had come.
func (c *client) consume(counts chan<- int) error {
	fin := []byte("FIN 0123456789abcdef\n")
	n := 0
	for {
		kind, size, err := c.frame()
		if err != nil {
			return err
		}
		if kind != frameMessage {
			c.r.Discard(size)
			c.w.WriteString("NOP\n")
		} else {
			head, err := c.r.Peek(26)
			if err != nil {
				return err
			}
			copy(fin[4:], head[10:26])
			c.r.Discard(size)
			c.w.Write(fin)
			n++
		}
		if c.r.Buffered() < 8 || c.w.Buffered() > 32<<10 {
			if err := c.w.Flush(); err != nil {
				return err
			}
			counts <- n
			n = 0
		}
	}
}
