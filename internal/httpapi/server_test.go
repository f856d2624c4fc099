package httpapi

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// TestRequestWhoseBodyNeverComesIsEnded also where nobody asks for the body.
func TestRequestWhoseBodyNeverComesIsEnded(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	routes := NewRouter(log)
	routes.Handle("POST", "/read", func(w http.ResponseWriter, r *http.Request) (any, error) {
		body, err := ReadBody(w, r, 1000, "TOO_BIG")
		defer body.Release()
		return body.Bytes(), err
	})
	routes.Handle("POST", "/unread", func(http.ResponseWriter, *http.Request) (any, error) { return nil, nil })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	was := bodyPatience
	bodyPatience = 50 * time.Millisecond
	s := NewServer(routes, log)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for _, target := range []string{"/read", "/unread", "/none"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(conn, "POST "+target+" HTTP/1.1\r\nHost: q\r\nContent-Length: 100\r\n\r\nhalf")
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		conn.Close()
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	bodyPatience = was
}

// TestNoAnswerIsGuessedAt by browsers, refusals and errors of the server included.
func TestNoAnswerIsGuessedAt(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	routes := NewRouter(log)
	routes.Handle("GET", "/fine", func(http.ResponseWriter, *http.Request) (any, error) { return "OK", nil })
	routes.Handle("GET", "/crash", func(http.ResponseWriter, *http.Request) (any, error) { panic("crash") })
	routes.Debug()
	s := NewServer(routes, log)
	for _, path := range []string{"/fine", "/crash", "/none", "/debug/pprof/cmdline", "/debug/pprof/"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := w.Result().Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestCommandLineIsShownWithoutSecrets(t *testing.T) {
	was := os.Args
	defer func() { os.Args = was }()
	os.Args = []string{"/bin/qd", "--auth-http-address=http://ann:s3cret@h:1/auth", "--auth-http-address", "https://h/T0KEN", "--data-path=/data"}
	routes := NewRouter(slog.New(slog.DiscardHandler))
	routes.Debug()
	w := httptest.NewRecorder()
	routes.ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/cmdline", nil))
	want := "/bin/qd\x00--auth-http-address=http://redacted@h:1/auth\x00--auth-http-address\x00https://h/redacted\x00--data-path=/data"
	if got := w.Body.String(); got != want {
		t.Errorf("got %q", got)
	}
}
