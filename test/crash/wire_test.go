package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// Frame types of the protocol.
const (
	frameResponse = 0
	frameError    = 1
	frameMessage  = 2
)

// maxFrame is above anything the daemon may send us.
const maxFrame = 8 << 20

// messageHead is what precedes a message's body in its frame: timestamp,
// attempts, id.
const messageHead = 8 + 2 + 16

// wire is one raw connection: it reads frames out of one buffer and collects
// commands in another. It is used by one goroutine.
type wire struct {
	conn     *net.TCPConn
	in       []byte // in[from:to] is read and not yet taken
	from, to int
	out      []byte // commands not yet written
}

func dialWire(ctx context.Context, addr string) (*wire, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wire{conn: c.(*net.TCPConn), in: make([]byte, 256<<10), out: append(make([]byte, 0, 128<<10), "  V2"...)}, nil
}

// close ends the connection in an orderly way.
func (w *wire) close() { w.conn.Close() }

// abort ends the connection with a reset: what the daemon has not read is gone.
func (w *wire) abort() {
	w.conn.SetLinger(0)
	w.conn.Close()
}

// flush writes the collected commands.
func (w *wire) flush(deadline time.Time) error {
	if len(w.out) == 0 {
		return nil
	}
	if err := w.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return err
}

// buffered takes the next frame out of the buffer; ok is false when none is
// whole. data is valid until fill is called.
func (w *wire) buffered() (frame int32, data []byte, ok bool, err error) {
	b := w.in[w.from:w.to]
	if len(b) < 8 {
		return 0, nil, false, nil
	}
	size := int(int32(binary.BigEndian.Uint32(b)))
	if size < 4 || size > maxFrame {
		return 0, nil, false, fmt.Errorf("frame of %d bytes", size)
	}
	if len(b) < 4+size {
		return 0, nil, false, nil
	}
	w.from += 4 + size
	return int32(binary.BigEndian.Uint32(b[4:])), b[8 : 4+size], true, nil
}

// fill reads once.
func (w *wire) fill(deadline time.Time) error {
	switch {
	case w.from == w.to:
		w.from, w.to = 0, 0
	case w.from > 0:
		w.to = copy(w.in, w.in[w.from:w.to])
		w.from = 0
	}
	if w.to == len(w.in) {
		w.in = append(w.in, make([]byte, len(w.in))...)
	}
	if err := w.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	n, err := w.conn.Read(w.in[w.to:])
	w.to += n
	return err
}

// next waits for a frame that is no heartbeat; heartbeats are answered.
func (w *wire) next(deadline time.Time) (frame int32, data []byte, err error) {
	for {
		frame, data, ok, err := w.buffered()
		if err != nil {
			return 0, nil, err
		}
		if !ok {
			if err := w.fill(deadline); err != nil {
				return 0, nil, err
			}
			continue
		}
		if frame == frameResponse && string(data) == "_heartbeat_" {
			w.out = append(w.out, "NOP\n"...)
			if err := w.flush(deadline); err != nil {
				return 0, nil, err
			}
			continue
		}
		return frame, data, nil
	}
}

// command sends what is collected and expects one response.
func (w *wire) command(deadline time.Time) (string, error) {
	if err := w.flush(deadline); err != nil {
		return "", err
	}
	frame, data, err := w.next(deadline)
	if err != nil {
		return "", err
	}
	if frame != frameResponse {
		return "", refusal(data)
	}
	return string(data), nil
}

// refusal is an error frame.
type refusal string

func (r refusal) Error() string { return string(r) }

func (w *wire) sized(n int) { w.out = binary.BigEndian.AppendUint32(w.out, uint32(n)) }

// subscribe makes the connection a consumer's.
func (w *wire) subscribe(topic, channel string, deadline time.Time) error {
	const identify = `{"client_id":"crash","hostname":"crash","user_agent":"crash/1","feature_negotiation":true,` +
		`"heartbeat_interval":5000,"output_buffer_timeout":25}`
	w.out = append(w.out, "IDENTIFY\n"...)
	w.sized(len(identify))
	w.out = append(w.out, identify...)
	if _, err := w.command(deadline); err != nil {
		return fmt.Errorf("IDENTIFY: %w", err)
	}
	w.out = fmt.Appendf(w.out, "SUB %s %s\n", topic, channel)
	answer, err := w.command(deadline)
	if err == nil && answer != "OK" {
		err = refusal(answer)
	}
	if err != nil {
		return fmt.Errorf("SUB: %w", err)
	}
	return nil
}

func (w *wire) ready(n int) { w.out = fmt.Appendf(w.out, "RDY %d\n", n) }

// messageID is an id as it stands on the wire.
type messageID [16]byte

func (w *wire) answer(verb string, id *messageID) {
	w.out = append(w.out, verb...)
	w.out = append(w.out, ' ')
	w.out = append(w.out, id[:]...)
	w.out = append(w.out, '\n')
}

func (w *wire) requeue(id *messageID, delay time.Duration) {
	w.out = append(w.out, "REQ "...)
	w.out = append(w.out, id[:]...)
	w.out = fmt.Appendf(w.out, " %d\n", delay.Milliseconds())
}
