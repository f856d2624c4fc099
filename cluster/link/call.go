package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// ErrNoConnection means that there is no connection to the member, or that it was
// lost before the answer: what was asked for may have been done.
var ErrNoConnection = errors.New("no connection to the member")

// ErrBusy means that more waits for the member than may; nothing was sent.
var ErrBusy = errors.New("too much waits for the member")

// RemoteError is the error with which the other side has answered a call.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return e.Text }

// A call goes over the bulk lane:
//
//	call:   id u64, timeout in ms u32 (0: none), kind u8, body
//	answer: id u64, status u8, body, or with statusFailed the error's text
const (
	callHeader   = 8 + 4 + 1
	answerHeader = 8 + 1

	statusOK     = 0
	statusFailed = 1
	statusLate   = 2 // the time that the call had is over

	// maxServed is how many calls of a peer are served at a time.
	maxServed = 256
)

var errTooMany = errors.New("too many calls at a time")

// calls are those of a session, in both directions.
type calls struct {
	s       *session
	ctx     context.Context // of those that are served
	cancel  context.CancelFunc
	serving sync.WaitGroup
	places  chan struct{}

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan<- answer // nil: the session has ended
}

type answer struct {
	body []byte
	err  error
}

func (c *calls) init(s *session) {
	c.s, c.places, c.waiting = s, make(chan struct{}, maxServed), make(map[uint64]chan<- answer)
	c.ctx, c.cancel = context.WithCancel(context.Background())
}

// call asks and waits.
func (c *calls) call(ctx context.Context, kind byte, body []byte) ([]byte, error) {
	result := make(chan answer, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return nil, ErrNoConnection
	}
	c.last++
	id := c.last
	c.waiting[id] = result
	c.mu.Unlock()
	header := binary.LittleEndian.AppendUint64(make([]byte, 0, callHeader), id)
	header = append(binary.LittleEndian.AppendUint32(header, milliseconds(ctx)), kind)
	if len(header)+len(body) > c.s.links.o.MaxFrame {
		c.forget(id)
		return nil, fmt.Errorf("a call of %d bytes: the limit is %d", len(body), c.s.links.o.MaxFrame)
	}
	if !c.s.lanes[Bulk].out.put(c.s.lanes[Bulk].out.limit, kindCall, header, body) {
		c.forget(id)
		return nil, ErrBusy
	}
	select {
	case a := <-result:
		return a.body, a.err
	case <-ctx.Done():
		c.forget(id)
		return nil, ctx.Err()
	}
}

// milliseconds are those that a context has left, at least one; 0: there is no end.
func milliseconds(ctx context.Context) uint32 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return uint32(min(max(time.Until(deadline).Milliseconds(), 1), math.MaxUint32))
}

func (c *calls) forget(id uint64) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

// answer gives an answer, whose memory is left to it, to who waits for it.
func (c *calls) answer(frame []byte) error {
	if len(frame) < answerHeader {
		return fmt.Errorf("%w: an answer of %d bytes", ErrFrame, len(frame))
	}
	id := binary.LittleEndian.Uint64(frame)
	c.mu.Lock()
	result := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if result == nil {
		return nil // nobody waits any more
	}
	switch frame[8] {
	case statusOK:
		result <- answer{body: frame[answerHeader:]}
	case statusLate:
		result <- answer{err: context.DeadlineExceeded}
	default:
		result <- answer{err: &RemoteError{Text: quotedText(frame[answerHeader:])}}
	}
	return nil
}

// serve has the handler answer a call, on a goroutine of its own.
func (c *calls) serve(frame []byte) error {
	if len(frame) < callHeader {
		return fmt.Errorf("%w: a call of %d bytes", ErrFrame, len(frame))
	}
	id := binary.LittleEndian.Uint64(frame)
	timeout := time.Duration(binary.LittleEndian.Uint32(frame[8:])) * time.Millisecond
	h, sent := c.s.links.callHandlers[frame[12]], c.s.links.answered[frame[12]]
	if h == nil {
		c.reply(id, nil, fmt.Errorf("there is no call of kind %d in this version", frame[12]))
		return nil
	}
	select {
	case c.places <- struct{}{}:
	default:
		c.reply(id, nil, errTooMany)
		return nil
	}
	body := append([]byte(nil), frame[callHeader:]...)
	c.serving.Go(func() {
		defer func() { <-c.places }()
		ctx, cancel := c.ctx, context.CancelFunc(func() {})
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, timeout)
		}
		defer cancel()
		body, err := h(ctx, c.s.hello.Member, body)
		c.reply(id, body, err)
		if sent != nil {
			sent(body)
		}
	})
	return nil
}

// reply answers a call, whatever waits already: there are only so many calls.
func (c *calls) reply(id uint64, body []byte, err error) {
	header := binary.LittleEndian.AppendUint64(make([]byte, 0, answerHeader), id)
	if err == nil && answerHeader+len(body) > c.s.links.o.MaxFrame {
		err = fmt.Errorf("an answer of %d bytes: the limit is %d", len(body), c.s.links.o.MaxFrame)
	}
	switch {
	case err == nil:
		header = append(header, statusOK)
	case errors.Is(err, context.DeadlineExceeded):
		header, body = append(header, statusLate), nil
	default:
		text := err.Error()
		header, body = append(header, statusFailed), []byte(text[:min(len(text), maxRefusal)])
	}
	c.s.lanes[Bulk].out.put(math.MaxInt, kindAnswer, header, body)
}

// fail ends all calls: the session has ended.
func (c *calls) fail() {
	c.cancel()
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, result := range waiting {
		result <- answer{err: ErrNoConnection}
	}
}

// wait waits for the handlers that serve calls.
func (c *calls) wait() { c.serving.Wait() }
