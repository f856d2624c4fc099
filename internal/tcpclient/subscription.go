package tcpclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"qmq/protocol"
)

// ID is a message's id: sixteen characters.
type ID [16]byte

// Message is one delivery of a message. Its body's memory is its own until nobody
// holds it.
type Message struct {
	ID        ID
	Timestamp int64 // of the publish, ns since 1970
	Attempts  uint16
	Headers   []byte // encoded, see message.AttrHeaders: also key and priority; nil: none
	Body      []byte
	From      *Subscription // whom it is to be answered to
}

// Time is when the message was published.
func (m *Message) Time() time.Time { return time.Unix(0, m.Timestamp) }

// Subscription is one connection that consumes a channel. What answers messages
// may be called concurrently; answers are kept until Flush, or until there are
// many. Each message is answered once.
type Subscription struct {
	conn *conn
	late atomic.Int64 // answers that the node did not take: the message had timed out

	// due tells attend that there is something to send that whoever asked for it
	// does not send itself.
	due chan struct{}
	// sending is held while out is taken and written, so that what is in it is sent
	// in its order. It is taken before mu.
	sending sync.Mutex

	mu   sync.Mutex // guards what follows; held for moments, across no I/O
	out  []byte     // answers that are not sent
	sent []byte     // memory of out, to be used again; nil while it is being sent
	open int        // messages that are neither answered nor given up
	none chan struct{}
	left bool // CLS is sent
	most int  // messages that may be unanswered
}

// flushAt is how many bytes of answers are sent without being asked to.
const flushAt = 16 << 10

func newSubscription(c *conn) *Subscription {
	return &Subscription{conn: c, due: make(chan struct{}, 1)}
}

// subscribe connects and becomes a consumer that is ready for nothing.
func subscribe(ctx context.Context, at string, o *Options, topic, channel string) (*Subscription, error) {
	c, err := dial(ctx, at, o)
	if err != nil {
		return nil, err
	}
	if o.Tail && !c.agreed.Tail {
		c.net.Close()
		return nil, fmt.Errorf("%s: %w", at, ErrNoTail)
	}
	s := newSubscription(c)
	stop := context.AfterFunc(ctx, func() { c.net.Close() })
	defer stop()
	err = c.write([]byte("SUB " + topic + " " + channel + "\n"))
	if err == nil {
		_, err = c.response()
	}
	if err != nil {
		c.net.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return s, nil
}

// ErrNoTail means that a node cannot promise that a subscription takes nothing
// away from others.
var ErrNoTail = errors.New("the node does not know tails (it is no qd): a subscription might take what waits for a first channel")

// Address is the node's.
func (s *Subscription) Address() string { return s.conn.address }

// Late counts the answers that the node did not take, because the message had
// timed out before: it is delivered again.
func (s *Subscription) Late() int64 { return s.late.Load() }

// Starved tells whether so many messages are unanswered that the node is about to
// send no more: who keeps answers back gives them now.
func (s *Subscription) Starved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open*8 >= s.most*7
}

// MsgTimeout is how long the node waits for the answer to a message.
func (s *Subscription) MsgTimeout() time.Duration {
	return time.Duration(s.conn.agreed.MsgTimeout) * time.Millisecond
}

// Finish says that a message is done with.
func (s *Subscription) Finish(id ID) { s.answer("FIN ", id, "") }

// Requeue gives a message back, to be delivered again after a delay.
func (s *Subscription) Requeue(id ID, delay time.Duration) {
	s.answer("REQ ", id, " "+strconv.FormatInt(max(0, delay.Milliseconds()), 10))
}

func (s *Subscription) answer(verb string, id ID, rest string) {
	s.mu.Lock()
	s.out = append(append(append(append(s.out, verb...), id[:]...), rest...), '\n')
	full := len(s.out) >= flushAt
	s.closeOne()
	s.mu.Unlock()
	if full {
		s.Flush()
	}
}

// Drop says that a message will not be answered: the node has it back when the
// connection ends.
func (s *Subscription) Drop() {
	s.mu.Lock()
	s.closeOne()
	s.mu.Unlock()
}

// closeOne counts a message as answered. The caller holds s.mu.
func (s *Subscription) closeOne() {
	s.open--
	if s.open == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// Touch asks for more time for a message.
func (s *Subscription) Touch(id ID) {
	s.mu.Lock()
	s.out = append(append(append(s.out, "TOUCH "...), id[:]...), '\n')
	s.mu.Unlock()
}

// Flush sends the answers that were kept. An error is the connection's, and shows
// there: what was not sent is delivered again.
func (s *Subscription) Flush() {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	out := s.out
	s.out, s.sent = s.sent[:0], nil
	s.mu.Unlock()
	if len(out) > 0 && s.conn.write(out) != nil {
		s.conn.net.Close()
	}
	s.mu.Lock()
	if s.sent = out; cap(out) > keptBuffer {
		s.sent = nil
	}
	s.mu.Unlock()
}

// ready sets how many messages may be unanswered at a time. It waits for nobody:
// attend tells the node.
func (s *Subscription) ready(n int) {
	if most := int(s.conn.agreed.MaxRdyCount); most > 0 {
		n = min(n, most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = n
	if s.left {
		return
	}
	s.out = append(strconv.AppendInt(append(s.out, "RDY "...), int64(n), 10), '\n')
	select {
	case s.due <- struct{}{}:
	default: // what is due is sent already, and this with it
	}
}

// attend sends what is due, and when ctx is done asks for no more messages: a node
// that then says nothing for the time of grace is left. It returns when ended is
// closed, or when it has closed the connection.
func (s *Subscription) attend(ctx context.Context, grace time.Duration, ended <-chan struct{}) {
	for {
		select {
		case <-s.due:
			s.Flush()
		case <-ended:
			return
		case <-ctx.Done():
			s.leave()
			timeout := time.NewTimer(grace)
			defer timeout.Stop()
			select {
			case <-timeout.C:
				s.conn.net.Close()
			case <-ended:
			}
			return
		}
	}
}

// leave asks for no more messages.
func (s *Subscription) leave() {
	s.mu.Lock()
	s.left = true
	s.out = append(s.out, "CLS\n"...)
	s.mu.Unlock()
	s.Flush()
}

// answered is closed when every message so far is answered.
func (s *Subscription) answered() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	if s.open == 0 {
		close(done)
		return done
	}
	if s.none == nil {
		s.none = done
	}
	return s.none
}

// read hands over what comes, batch by batch, until the connection ends or the
// node has said that no more comes.
func (s *Subscription) read(handle func([]Message)) error {
	var batch []Message
	for {
		kind, data, ok, err := s.conn.frame()
		if err != nil {
			return err
		}
		if ok && (kind == protocol.FrameMessage || kind == protocol.FrameHeaders) {
			m, err := s.message(kind, data)
			if err != nil {
				return err
			}
			batch = append(batch, m)
			continue
		}
		if len(batch) > 0 {
			s.mu.Lock()
			s.open += len(batch)
			s.mu.Unlock()
			handle(batch)
			batch = nil
		}
		switch {
		case !ok:
			err = s.conn.fill()
		case kind == protocol.FrameError:
			err = s.refused(refusal(data))
		case string(data) == heartbeat:
			err = s.conn.write([]byte("NOP\n"))
		case string(data) == closeWait:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

const closeWait = "CLOSE_WAIT"

// message takes a message frame apart.
func (s *Subscription) message(kind protocol.FrameType, data []byte) (Message, error) {
	if len(data) < 26 {
		return Message{}, fmt.Errorf("the node sends a message of %d bytes", len(data))
	}
	m := Message{
		Timestamp: int64(binary.BigEndian.Uint64(data)),
		Attempts:  binary.BigEndian.Uint16(data[8:]),
		Body:      data[26:],
		From:      s,
	}
	copy(m.ID[:], data[10:26])
	if kind == protocol.FrameHeaders {
		if len(m.Body) < 2 || len(m.Body)-2 < int(binary.BigEndian.Uint16(m.Body)) {
			return m, errors.New("the node sends a message with headers that are cut short")
		}
		at := 2 + int(binary.BigEndian.Uint16(m.Body))
		m.Headers, m.Body = m.Body[2:at:at], m.Body[at:]
	}
	return m, nil
}

// refused takes a node's error: one about a single message leaves the connection
// as it is.
func (s *Subscription) refused(err *RefusedError) error {
	switch err.Code {
	case protocol.CodeFinFailed, protocol.CodeReqFailed, protocol.CodeTouchFailed:
		s.late.Add(1)
		return nil
	}
	return err
}
