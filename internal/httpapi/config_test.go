package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

// twoOptions are options for tests: a text that cannot be changed, and a level
// that can.
type twoOptions struct{ level string }

func (o *twoOptions) Lookup(key string) (any, bool) {
	switch key {
	case "text":
		return "a b", true
	case "empty":
		return "", true
	case "level":
		return json.RawMessage(o.level), true
	}
	return nil, false
}

func (o *twoOptions) Keys() []string { return []string{"empty", "level", "text"} }

func (o *twoOptions) Changeable(key string) bool { return key == "level" }

func (o *twoOptions) Set(_ string, value []byte) error {
	if !json.Valid(value) {
		return errors.New("it must be JSON")
	}
	o.level = string(value)
	return nil
}

func TestConfigTable(t *testing.T) {
	var log strings.Builder
	r := NewRouter(slog.New(slog.NewTextHandler(&log, nil)))
	r.Config(&twoOptions{level: `["x"]`}, 10)
	const text, object = "text/plain; charset=utf-8", "application/json; charset=utf-8"
	for _, test := range []struct {
		method, option, body string
		status               int
		kind, want           string
	}{
		{"GET", "text", "", 200, text, "a b"},
		{"GET", "empty", "", 200, text, ""},
		{"GET", "level", "", 200, object, `["x"]`},
		{"GET", "nonsense", "", 400, object, `{"message":"INVALID_OPTION","why":"there is no option \"nonsense\""}`},
		{"GET", "levl", "", 400, object, `{"message":"INVALID_OPTION","why":"there is no option \"levl\"; did you mean level?"}`},
		{"GET", "text?x=%", "", 200, text, "a b"},
		{"GET", "te%78t", "", 200, text, "a b"},
		{"GET", "text/more", "", 404, object, `{"message":"NOT_FOUND"}`},

		{"PUT", "level", "7", 200, object, "7"},
		{"PUT", "level", "0123456789", 400, object, `{"message":"INVALID_VALUE","why":"it must be JSON"}`},
		{"PUT", "level", "01234567890", 413, object, `{"message":"INVALID_VALUE"}`},
		{"PUT", "level", "", 413, object, `{"message":"INVALID_VALUE"}`},
		{"PUT", "text", "", 413, object, `{"message":"INVALID_VALUE"}`},
		{"PUT", "text", "new", 400, object, `{"message":"INVALID_OPTION","why":"text cannot be changed while the daemon runs; what can be is level"}`},
		{"PUT", "nonsense", "new", 400, object, `{"message":"INVALID_OPTION","why":"there is no option \"nonsense\""}`},
		{"GET", "level", "", 200, object, "7"},

		{"POST", "level", "7", 405, object, `{"message":"METHOD_NOT_ALLOWED","why":"/config/level takes GET or PUT, not POST"}`},
		{"HEAD", "level", "", 405, object, `{"message":"METHOD_NOT_ALLOWED","why":"/config/level takes GET or PUT, not HEAD"}`},
	} {
		w := call(r, test.method, "/config/"+test.option, strings.NewReader(test.body))
		head := w.Header()
		if w.Code != test.status || w.Body.String() != test.want || head.Get("Content-Type") != test.kind || head.Get("X-NSQ-Content-Type") != "nsq; version=1.0" {
			t.Errorf("%s %s %q: %d %s, %v; want %d %s, %s", test.method, test.option, test.body, w.Code, w.Body, head, test.status, test.want, test.kind)
		}
	}
	if !strings.Contains(log.String(), `INVALID_VALUE: it must be JSON`) {
		t.Errorf("the reason is not in\n%s", log.String())
	}
}

func TestUnreadableConfigValueIsAnInternalError(t *testing.T) {
	r := NewRouter(slog.New(slog.DiscardHandler))
	r.Config(&twoOptions{}, 10)
	w := call(r, "PUT", "/config/level", io.MultiReader(strings.NewReader("half"), broken{}))
	if w.Code != 500 || w.Body.String() != `{"message":"INTERNAL_ERROR"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// call sends a request to the router, without a socket.
func call(r *Router, method, target string, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(method, target, body))
	return w
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }
