package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
)

// refusing is a set that refuses everything.
type refusing struct{ err error }

func (refusing) View() any                                        { return nil }
func (refusing) Views() any                                       { return nil }
func (s refusing) Move(context.Context, uint32, string) error     { return s.err }
func (s refusing) Balance(context.Context) error                  { return s.err }
func (s refusing) Add(_ context.Context, address, _ string) error { return s.err }
func (s refusing) Remove(_ context.Context, member string) error  { return s.err }
func (s refusing) Backup(io.Writer) error                         { return s.err }
func (s refusing) Adopt(_ context.Context, topic string) error    { return s.err }

// passing is an error that may be over in a moment.
type passing struct{ error }

func (passing) Again() bool { return true }

// What passes is told from what is refused for good, by status, code and Retry-After.
func TestSetSaysWhetherTheSameMayBeAskedForAgain(t *testing.T) {
	why := errors.New("a reason")
	for _, c := range []struct {
		err           error
		status        int
		body, asAgain string
	}{
		{why, http.StatusConflict, `{"message":"REFUSED","why":"a reason"}`, ""},
		{passing{why}, http.StatusServiceUnavailable, `{"message":"UNAVAILABLE","why":"a reason"}`, "1"},
	} {
		r := start(t, func(o *options) { o.Cluster = refusing{c.err} })
		for _, target := range []string{"/cluster/move?shard=1&to=a:1", "/cluster/balance", "/cluster/add?address=a:1", "/cluster/adopt?topic=t", "/cluster/remove?member=a:1"} {
			w := r.call("POST", target, "")
			if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("Retry-After") != c.asAgain {
				t.Errorf("%s: %d %s, Retry-After %q", target, w.Code, w.Body, w.Header().Get("Retry-After"))
			}
		}
	}
}
