package httpapi

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailedHandshakesAreLoggedOnceASecond: whoever cannot connect over TLS is
// told nothing of why, so the log has to.
func TestFailedHandshakesAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text lockedBuffer
		logger := slog.New(slog.NewTextHandler(&text, nil))
		s := NewServer(NewRouter(logger), Options{Logger: logger})
		ended := make(chan struct{})
		l := &pipes{make(chan net.Conn), sync.OnceFunc(func() { close(ended) }), ended}
		served := make(chan error, 1)
		go func() { served <- s.Serve(tls.NewListener(l, &tls.Config{})) }() // no certificate: all handshakes fail
		connect := func() net.Conn {
			here, there := net.Pipe()
			l.conns <- there
			return here
		}
		refused := func() {
			conn := tls.Client(connect(), &tls.Config{InsecureSkipVerify: true})
			if conn.Handshake() == nil {
				t.Error("the handshake succeeded")
			}
			conn.Close()
			synctest.Wait()
		}
		connect().Close() // a health check
		synctest.Wait()
		for range 3 {
			refused()
		}
		time.Sleep(time.Second)
		refused()
		if n := strings.Count(text.String(), "level=WARN msg=\"http: TLS handshake error"); n != 2 || strings.Contains(text.String(), "EOF") {
			t.Errorf("%d warnings: %s", n, text.String())
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-served
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
