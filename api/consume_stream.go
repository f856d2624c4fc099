package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"qmq/channel"
	"qmq/internal/httpapi"
	"qmq/lease"
)

// signOfLife is how often a stream says that it is alive where there are no messages.
const signOfLife = 15 * time.Second

// eventSink makes an event of each message.
type eventSink struct {
	bytes.Buffer
	n int
}

// Put is part of channel.Sink.
func (s *eventSink) Put(m *channel.Message) bool {
	if s.n > 0 && s.Len()+len(m.Body)+len(m.Attrs) > answerBytes {
		return false
	}
	s.n++
	fmt.Fprintf(s, "event: message\nid: %s\ndata: ", m.ID.String())
	encoder := json.NewEncoder(&s.Buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(leased(m)) // into memory, of what always marshals
	s.WriteByte('\n')
	return true
}

// streamMessages answers with server-sent events, for as long as the client reads them or,
// with wait, until for so long there was no message. Events are
//
//	lease     {"receipt":"…","lease_ms":N}, the first
//	message   LeasedMessage, with its id
//	end       {"message":"CODE","why":"…"}, the last, as a refusal; NO_MESSAGE after wait,
//	          and BUSY where nobody could look for a message then
//
// and comments every 15 s where there is none. No more than max messages are leased at a
// time: others come as some are answered, on other connections. What is leased when the
// client has gone stays so.
func streamMessages(k *lease.Holder, wait time.Duration, w http.ResponseWriter, r *http.Request) (any, error) {
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // a proxy is to pass events on as they come
	s := stream{k, w, wait}
	s.send([]byte(fmt.Sprintf("event: lease\ndata: {\"receipt\":\"%016x\",\"lease_ms\":%d}\n\n", k.Receipt(), k.Lease().Milliseconds())), 0)
	quiet := time.Duration(0)
	for wait == 0 || quiet < wait {
		next := signOfLife
		if wait > 0 {
			next = min(next, wait-quiet)
		}
		events := new(eventSink)
		n, err := k.Take(r.Context(), events, next)
		switch {
		case errors.Is(err, context.Canceled):
			return httpapi.Answered, nil
		case errors.Is(err, lease.ErrNoRoom) && (wait == 0 || quiet+next < wait): // it says that it is alive, which needs none
			quiet += next
			events.WriteString(":\n\n")
		case err != nil:
			s.end(consumeError(err))
			return httpapi.Answered, nil
		case n == 0:
			quiet += next
			events.WriteString(":\n\n")
		default:
			quiet = 0
		}
		s.send(events.Bytes(), n)
	}
	s.end(errNoMessage)
	return httpapi.Answered, nil
}

// stream is an answer of events.
type stream struct {
	holder *lease.Holder
	w      http.ResponseWriter
	wait   time.Duration
}

// send sends events of n messages, and gives these back where that fails.
func (s *stream) send(events []byte, n int) {
	_, err := s.w.Write(events)
	if err == nil {
		err = http.NewResponseController(s.w).Flush()
	}
	if err != nil {
		if n > 0 {
			s.holder.Return()
		}
		panic(http.ErrAbortHandler)
	}
	s.holder.Sent()
}

// errNoMessage ends a stream that was to end when there is no message for a while.
var errNoMessage = &httpapi.Error{Code: "NO_MESSAGE", Why: "there was no message for as long as was to be waited"}

// end says why the stream ends.
func (s *stream) end(why error) {
	s.send([]byte(fmt.Sprintf("event: end\ndata: %s\n\n", httpapi.Text(why))), 0)
}
