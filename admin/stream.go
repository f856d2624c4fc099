package admin

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"qmq/admin/cluster"
	"qmq/internal/guess"
)

// How streams behave.
const (
	beatEvery = 15 * time.Second
	frameGap  = 950 * time.Millisecond
	firstWait = 1500 * time.Millisecond // for consumers, with the first frame
)

// stream sends a view again and again, as events. It has a goroutine of its
// own, that of the request, so that a slow viewer slows nobody else down.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	v, err := s.viewOf(r, r.URL.Query().Get("view"))
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	leave, ok := s.collector.enter(guess.Place(s.access.from(r)), s.o.MaxViewers)
	if !ok {
		s.refuse(w, r, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "There are too many viewers. Trying again.", Retry: 5})
		return
	}
	defer leave()
	s.collector.firstUpdate(r.Context())
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	out.write("retry: 2000\n\n")
	s.follow(r, v, out)
}

// follow sends frames until the viewer or the server goes, or the session ends.
func (s *Server) follow(r *http.Request, v cluster.View, out *eventWriter) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	var sent rowsOf
	timeout, first, gone := firstWait, true, false
	for out.err == nil && s.stillIn(r, out) {
		s.frames.look(v, timeout)
		timeout = 0
		m, _, next := s.frames.get(v)
		switch {
		case m.err != nil:
			s.o.Logger.Error("view cannot be shown", "view", v.Kind, "error", m.err)
			return
		case m.json == nil:
			if !gone {
				out.event("gone", notFound(v).json())
			}
			gone = true
		default:
			gone = false
			text := m.json
			if m.rows != nil && !first {
				text, _ = m.after(sent, false) // it is made of what was made before
			}
			out.event("frame", text)
			sent, first = m.rows, false
		}
		since := time.Now()
		for waiting := true; waiting && out.err == nil; {
			select {
			case <-next:
				waiting = false
			case <-beat.C:
				if !s.stillIn(r, out) {
					return
				}
				out.write(": beat\n\n")
			case <-r.Context().Done():
				return
			case <-s.streams.Done():
				out.event("bye", (&failure{Status: http.StatusServiceUnavailable, Code: "STOPPING", Text: "qadmin stops."}).json())
				return
			}
		}
		if !s.pause(r, frameGap-time.Since(since)) {
			return
		}
	}
}

// stillIn tells whether a viewer's session goes on; if not, it tells the viewer.
func (s *Server) stillIn(r *http.Request, out *eventWriter) bool {
	if s.access.login == nil || s.access.who(r).in {
		return true
	}
	out.event("bye", (&failure{Status: http.StatusUnauthorized, Code: "LOGIN_REQUIRED", Text: "Your session has ended. Sign in again."}).json())
	return false
}

// pause keeps frames apart. It tells whether to go on.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-r.Context().Done():
	case <-s.streams.Done():
	}
	return r.Context().Err() == nil // the end is told in follow
}

// eventWriter writes events; after an error it does nothing.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (o *eventWriter) event(name string, data []byte) {
	o.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data)) // JSON has no newlines
}

func (o *eventWriter) write(text string) {
	if o.err != nil {
		return
	}
	if _, o.err = io.WriteString(o.w, text); o.err == nil {
		o.err = o.control.Flush()
	}
}
