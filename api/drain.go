package api

import (
	"errors"
	"net/http"
	"time"

	"qmq/broker"
	"qmq/internal/httpapi"
)

// Drain empties the node before it leaves. Its methods may be called concurrently.
type Drain interface {
	// Begin refuses publishes from now on, and ends the process in good order once
	// consumers have emptied what they can, or the time for that is over. Where that is
	// under way it changes nothing.
	Begin()
	// End takes publishes again; false: the node is about to stop, and it is too late.
	End() bool
	// Until is when the time is over; false: the node is not drained.
	Until() (time.Time, bool)
}

// drainAnswer is the answer to /drain.
type drainAnswer struct {
	Draining bool  `json:"draining"`
	Until    int64 `json:"until,omitempty"` // seconds since 1970, when it stops at the latest
	// Waiting is what consumers are about to empty, Left what nobody waits for.
	Waiting []broker.Waiting `json:"waiting"`
	Left    []broker.Waiting `json:"left"`
}

func (h *HTTP) routesOfDrain(r *httpapi.Router) {
	if h.o.Drain == nil {
		return
	}
	r.Handle("GET", "/drain", httpapi.Knows(func(http.ResponseWriter, *http.Request) (any, error) { return h.drained(), nil }))
	r.Handle("POST", "/drain", httpapi.Knows(func(http.ResponseWriter, *http.Request) (any, error) {
		h.o.Drain.Begin()
		return h.drained(), nil
	}))
	r.Handle("POST", "/undrain", httpapi.Knows(func(http.ResponseWriter, *http.Request) (any, error) {
		if !h.o.Drain.End() {
			return nil, refused(errStopping)
		}
		return h.drained(), nil
	}))
}

var errStopping = errors.New("the node is drained and about to stop")

// drained says how far it is.
func (h *HTTP) drained() drainAnswer {
	a := drainAnswer{Waiting: []broker.Waiting{}, Left: []broker.Waiting{}}
	var until time.Time
	if until, a.Draining = h.o.Drain.Until(); a.Draining {
		a.Until = until.Unix()
	}
	awaited, left := h.broker.Waiting()
	a.Waiting, a.Left = append(a.Waiting, awaited...), append(a.Left, left...)
	return a
}
