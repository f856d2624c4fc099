package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"qmq/broker"
	"qmq/internal/redact"
)

// Directories are the lookup directories that a node registers with. Its methods may be
// called concurrently.
type Directories interface {
	// Registered says with how many directories all that the node has is registered, of
	// how many.
	Registered() (with, of int)
}

// isProbe says whether a request asks for the life of the node alone, which everybody
// may, in clear too: who asks has neither a credential nor a certificate, as a supervisor.
func isProbe(r *http.Request) bool {
	return r.Method == http.MethodGet && (r.URL.Path == "/livez" || r.URL.Path == "/readyz")
}

// livez is GET /livez: the process answers, and its locks can be had.
func (h *HTTP) livez(w http.ResponseWriter, _ *http.Request) {
	_, _ = h.broker.Existing("") // it takes the broker's lock
	answerProbe(w, nil)
}

// readyz is GET /readyz: whether clients are to be sent here.
func (h *HTTP) readyz(w http.ResponseWriter, _ *http.Request) { answerProbe(w, h.unready()) }

// unready is why clients are not to be sent here, all reasons at once; nil if they are.
// That the data directory is this process's alone needs no look: nothing is served before.
func (h *HTTP) unready() error {
	var why []error
	if h.broker.Draining() {
		why = append(why, broker.ErrDraining)
	}
	if err := h.broker.Health(); err != nil {
		why = append(why, errors.New(redact.Paths(err)))
	}
	if h.o.Directories != nil {
		if with, of := h.o.Directories.Registered(); with == 0 && of > 0 {
			why = append(why, fmt.Errorf("registered with none of %d lookup directories", of))
		}
	}
	return errors.Join(why...)
}

// answerProbe answers in a line of text, so that a supervisor's log says why.
func answerProbe(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "NOK - %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	w.Write([]byte("OK"))
}
