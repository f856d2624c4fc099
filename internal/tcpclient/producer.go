package tcpclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"qmq/protocol"
)

// MaxBatch is how many bytes of bodies one command should carry, so that nodes
// with the usual limits take it. A larger body goes alone.
const MaxBatch = 1 << 20

// window is how many commands of a producer may be unanswered.
const window = 32

// UnansweredError means that a publish was sent and the connection ended before
// its answer: its messages may be stored or not.
type UnansweredError struct{ Err error }

func (e *UnansweredError) Error() string {
	return "no answer to a publish, whose messages may be stored or not: " + e.Err.Error()
}

// Unwrap returns why the connection ended.
func (e *UnansweredError) Unwrap() error { return e.Err }

// ErrClosed means that a producer was closed before.
var ErrClosed = errors.New("producer is closed")

// Producer publishes to one node. It connects when there is something to
// publish, and again after a connection has ended. Its methods may be called
// concurrently.
type Producer struct {
	address string
	o       Options

	// sending has room for the one who sends: who holds it may use buf, and adds
	// commands in the order of their acks.
	sending chan struct{}
	buf     []byte

	mu     sync.Mutex    // guards what follows
	link   *producerConn // nil: none
	closed bool
}

// producerConn is one connection of a producer.
type producerConn struct {
	conn *conn
	// waiting are the publishes that are sent and unanswered, in their order. Only
	// who holds sending adds to it, and none once it is closed.
	waiting chan *Ack
	ended   chan struct{} // closed when the reader has ended; then err is set
	err     error
}

// Ack is the answer to a publish that is still to come.
type Ack struct {
	done chan struct{}
	err  error
}

// Wait waits for the answer: nil when the node has OK'd the publish, a
// *RefusedError when it has refused it, an *UnansweredError when the answer is
// not to be had.
func (a *Ack) Wait() error {
	<-a.done
	return a.err
}

// WaitUntil is Wait until ctx is done: then the answer is not waited for, and the
// error is an *UnansweredError.
func (a *Ack) WaitUntil(ctx context.Context) error {
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
	}
	select {
	case <-a.done: // what is known counts
		return a.err
	default:
		return &UnansweredError{ctx.Err()}
	}
}

func failed(err error) *Ack {
	a := &Ack{done: make(chan struct{}), err: err}
	close(a.done)
	return a
}

// NewProducer makes a producer for the node with that TCP address.
func NewProducer(address string, o Options) *Producer {
	return &Producer{address: address, o: o, sending: make(chan struct{}, 1)}
}

// Address is the node's, as it was given.
func (p *Producer) Address() string { return p.address }

// Connect connects now, so that a node that cannot be reached is known before
// anything is published.
func (p *Producer) Connect(ctx context.Context) error {
	if err := p.acquire(ctx); err != nil {
		return err
	}
	defer p.release()
	_, err := p.connected(ctx)
	return err
}

// acquire waits until nobody else sends. What is over by then is not sent.
func (p *Producer) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.sending <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Producer) release() { <-p.sending }

// Publish sends the bodies in one command, all or none of which are stored, and
// returns without waiting for the answer unless many are unanswered. Empty
// bodies are refused by nodes. The bodies may be used again when it has returned.
func (p *Producer) Publish(ctx context.Context, topic string, bodies ...[]byte) *Ack {
	return p.send(ctx, func(dst []byte) []byte { return appendPublish(dst, topic, bodies) })
}

// Defer is Publish of one body that is to be delivered after a delay.
func (p *Producer) Defer(ctx context.Context, topic string, delay time.Duration, body []byte) *Ack {
	return p.send(ctx, func(dst []byte) []byte {
		return command(dst, "DPUB "+topic+" "+strconv.FormatInt(delay.Milliseconds(), 10)+"\n", body)
	})
}

// ErrNoHeaders means that the node takes messages without headers alone. Nothing was sent.
var ErrNoHeaders = errors.New("the node knows no headers of messages (it is no qd, or an older one)")

// Outgoing is a message that is to be published.
type Outgoing struct {
	Headers []byte // encoded, see message.AttrHeaders; nil: none
	Body    []byte
}

// TakesHeaders tells whether the node takes messages with headers. It connects if need be.
func (p *Producer) TakesHeaders(ctx context.Context) (bool, error) {
	if err := p.acquire(ctx); err != nil {
		return false, err
	}
	defer p.release()
	l, err := p.connected(ctx)
	if err != nil {
		return false, err
	}
	return l.conn.agreed.Headers, nil
}

// PublishHeaded is Publish of messages with headers, after a delay if there is one. Several
// with a delay are not possible. The error is also ErrNoHeaders.
func (p *Producer) PublishHeaded(ctx context.Context, topic string, delay time.Duration, messages ...Outgoing) *Ack {
	return p.sendIf(ctx, func(agreed *protocol.IdentifyResponse) error {
		if !agreed.Headers {
			return fmt.Errorf("%s: %w", p.address, ErrNoHeaders)
		}
		return nil
	}, func(dst []byte) []byte { return appendHeaded(dst, topic, delay, messages) })
}

func appendHeaded(dst []byte, topic string, delay time.Duration, messages []Outgoing) []byte {
	if len(messages) > 1 {
		dst = append(append(append(dst, "HMPUB "...), topic...), '\n')
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(messages)))
		for i := range messages {
			dst = messages[i].appendTo(dst)
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
		return dst
	}
	dst = append(append(dst, "HPUB "...), topic...)
	if delay > 0 {
		dst = strconv.AppendInt(append(dst, ' '), delay.Milliseconds(), 10)
	}
	return messages[0].appendTo(append(dst, '\n'))
}

// appendTo appends the message behind its size.
func (m *Outgoing) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(2+len(m.Headers)+len(m.Body)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Headers)))
	return append(append(dst, m.Headers...), m.Body...)
}

func appendPublish(dst []byte, topic string, bodies [][]byte) []byte {
	if len(bodies) == 1 {
		return command(dst, "PUB "+topic+"\n", bodies[0])
	}
	size := 4
	for _, b := range bodies {
		size += 4 + len(b)
	}
	dst = append(append(append(dst, "MPUB "...), topic...), '\n')
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(bodies)))
	for _, b := range bodies {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
		dst = append(dst, b...)
	}
	return dst
}

// keptBuffer is how large a buffer may be to be kept, in bytes.
const keptBuffer = 4 << 20

func (p *Producer) send(ctx context.Context, encode func([]byte) []byte) *Ack {
	return p.sendIf(ctx, func(*protocol.IdentifyResponse) error { return nil }, encode)
}

// sendIf sends a command, unless may says of what is agreed on why it cannot be.
func (p *Producer) sendIf(ctx context.Context, may func(*protocol.IdentifyResponse) error, encode func([]byte) []byte) *Ack {
	if err := p.acquire(ctx); err != nil {
		return failed(err)
	}
	defer p.release()
	l, err := p.connected(ctx)
	if err == nil {
		err = may(&l.conn.agreed)
	}
	if err != nil {
		return failed(err)
	}
	ack := &Ack{done: make(chan struct{})}
	select {
	case l.waiting <- ack:
	case <-l.ended:
		return failed(fmt.Errorf("%s: %w", p.address, l.err)) // nothing of it was sent
	case <-ctx.Done():
		return failed(ctx.Err())
	}
	p.buf = encode(p.buf[:0])
	if err := l.conn.write(p.buf); err != nil {
		l.conn.net.Close() // the reader ends, and tells all that wait
	}
	if cap(p.buf) > keptBuffer {
		p.buf = nil
	}
	select {
	case <-l.ended:
		l.fail() // it may have ended before the ack was added
	default:
	}
	return ack
}

// connected is the connection, which is made if there is none. The caller holds
// p.sending.
func (p *Producer) connected(ctx context.Context) (*producerConn, error) {
	p.mu.Lock()
	l, closed := p.link, p.closed
	p.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if l != nil {
		select {
		case <-l.ended:
		default:
			return l, nil
		}
	}
	c, err := dial(ctx, p.address, &p.o)
	if err != nil {
		return nil, err
	}
	l = &producerConn{conn: c, waiting: make(chan *Ack, window), ended: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.net.Close()
		return nil, ErrClosed
	}
	p.link = l
	go l.read()
	return l, nil
}

// read takes the answers until the connection ends.
func (l *producerConn) read() {
	for {
		kind, data, err := l.conn.next()
		if err == nil && kind == protocol.FrameMessage {
			err = errors.New("the node sends a message to a producer")
		}
		if err != nil {
			l.err = err
			break
		}
		var answer error
		if kind == protocol.FrameError {
			answer = refusal(data)
		}
		select {
		case ack := <-l.waiting:
			ack.err = answer
			if endsConnection(answer) { // what is sent by whoever is told goes over another one
				l.err = answer
				l.conn.net.Close()
				close(l.ended)
				close(ack.done)
				l.fail()
				return
			}
			close(ack.done)
			continue
		default:
		}
		l.err = answer // a node that ends the connection says why
		if answer == nil {
			l.err = errors.New("the node answers what nobody asked")
		}
		break
	}
	l.conn.net.Close()
	close(l.ended)
	l.fail()
}

// endsConnection tells whether a node closes the connection after an answer to a publish:
// after all refusals but those by which a command failed and the next may not.
func endsConnection(answer error) bool {
	var refused *RefusedError
	return errors.As(answer, &refused) && !strings.HasSuffix(string(refused.Code), "_FAILED")
}

// fail tells all that wait that there is no answer. It is called once the link
// has ended.
func (l *producerConn) fail() {
	for {
		select {
		case ack := <-l.waiting:
			ack.err = &UnansweredError{fmt.Errorf("%s: %w", l.conn.address, l.err)}
			close(ack.done)
		default:
			return
		}
	}
}

// Close ends the connection. What is unanswered stays so.
func (p *Producer) Close() {
	p.mu.Lock()
	l := p.link
	p.closed = true
	p.mu.Unlock()
	if l == nil {
		return
	}
	l.conn.net.Close()
	<-l.ended
}
