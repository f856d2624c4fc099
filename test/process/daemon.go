package process

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Daemon is a daemon at work, which may end and come back on the same
// addresses.
type Daemon struct {
	*Process         // of its last life; nil before the first
	Command  Command // how it is started, each time
	TCP      string  // where it listens; empty when it does not, as qadmin
	HTTP     string
}

// NewDaemon is a daemon on free addresses of this machine; Start starts it.
func NewDaemon(t testing.TB, c Command) *Daemon {
	t.Helper()
	d := &Daemon{TCP: Address(t), HTTP: Address(t)}
	c.Args = append(slices.Clone(c.Args), "--tcp-address="+d.TCP, "--http-address="+d.HTTP)
	d.Command = c
	return d
}

// Start starts the daemon, again when it has ended, and returns when it listens.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	d.Process = Start(t, d.Command)
	if d.TCP != "" {
		d.Await(t, "TCP: listening on ")
	}
	d.Await(t, "HTTP: listening on ")
}

// Ask sends a request to a daemon's HTTP address and returns the answer. A
// status other than 200 is a StatusError.
func Ask(ctx context.Context, c *http.Client, method, address, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = &StatusError{Request: method + " " + path, Status: response.StatusCode, Body: string(answer)}
	}
	return answer, err
}

// StatusError is an answer over HTTP other than 200.
type StatusError struct {
	Request string
	Status  int
	Body    string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.Request, e.Status, http.StatusText(e.Status), strings.TrimSpace(e.Body))
}
