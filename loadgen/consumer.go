package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"qmq/protocol"
)

// consumer is one connection that consumes. Its goroutine takes all that one
// read brings, checks it, answers with one write and counts.
type consumer struct {
	conn     *conn
	tally    *tally
	schedule *atomic.Pointer[schedule] // nil inside: latency is not measured
	out      []byte                    // FINs that are not written yet
	late     int64                     // FINs that the server refused: the message had timed out

	received histogram // from when a message was due to when it was read
}

// newConsumer connects and subscribes, with RDY 0.
func newConsumer(ctx context.Context, t Target, e Encoding, topic, channel string, l *ledger, s *atomic.Pointer[schedule]) (*consumer, error) {
	c, _, err := dial(ctx, t.TCP, 0, e)
	if err != nil {
		return nil, err
	}
	if err := subscribe(c, topic, channel); err != nil {
		c.Close()
		return nil, err
	}
	return &consumer{conn: c, tally: newTally(l), schedule: s}, nil
}

func subscribe(c *conn, topic, channel string) error {
	if _, err := fmt.Fprintf(c, "SUB %s %s\n", topic, channel); err != nil {
		return err
	}
	_, err := c.response()
	return err
}

// ready sets how many messages the server may have in flight to c. Any
// goroutine may call it.
func (c *consumer) ready(n int) error {
	_, err := fmt.Fprintf(c.conn, "RDY %d\n", n)
	return err
}

// consume ends when the connection is closed on this side.
func (c *consumer) consume() error {
	now := time.Now()
	for {
		kind, data, ok, err := c.conn.frame()
		if err != nil {
			return err
		}
		if ok {
			if err := c.take(kind, data, now); err != nil {
				return err
			}
			continue
		}
		if err := c.answer(now); err != nil {
			return err
		}
		if err := c.conn.fill(); errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return fmt.Errorf("consumer: %w", err)
		}
		now = time.Now()
	}
}

// take handles a frame that was read at now.
func (c *consumer) take(kind protocol.FrameType, data []byte, now time.Time) error {
	const head = protocol.MessageFrameOverhead - protocol.FrameOverhead
	switch {
	case kind == protocol.FrameMessage && len(data) >= head:
		publisher, number, ok := c.tally.take(data[head:], binary.BigEndian.Uint16(data[8:]))
		if s := c.schedule.Load(); ok && s != nil {
			if at, ok := s.deliverable(publisher, number); ok {
				c.received.add(now.Sub(at))
			}
		}
		c.out = append(c.out, "FIN "...)
		c.out = append(c.out, data[10:head]...)
		c.out = append(c.out, '\n')
	case kind == protocol.FrameResponse && string(data) == heartbeat:
		c.out = append(c.out, "NOP\n"...)
	case kind == protocol.FrameError && strings.HasPrefix(string(data), "E_FIN_FAILED"):
		c.late++
	default:
		return fmt.Errorf("consumer: the server sends a frame of type %d: %q", kind, data[:min(len(data), 512)])
	}
	return nil
}

// answer writes the FINs and makes the deliveries known.
func (c *consumer) answer(now time.Time) error {
	if len(c.out) == 0 {
		return nil
	}
	// First the server, which waits for it, then the bookkeeping. A connection
	// that was closed meanwhile ends the next read.
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	c.tally.flush(now)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
