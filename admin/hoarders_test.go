package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuck is a viewer who takes nothing of an answer until let go.
type stuck struct {
	http.ResponseWriter
	begun, leave chan struct{}
}

func (s *stuck) Write(b []byte) (int, error) {
	s.begun <- struct{}{}
	<-s.leave
	return len(b), nil
}

// TestMessagesOfTwoLooksAreHeldAtATime, until they are read: a look at many nodes
// takes megabytes.
func TestMessagesOfTwoLooksAreHeldAtATime(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3, aChannel("c", 3, 0)))
	a.set(func(n *fakeNode) {
		n.peek = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"messages":[],"total":0}`)) }
	})
	s, _ := startServer(t, Options{Nodes: []string{a.address()}, Peek: true})
	look := func(ctx context.Context, w http.ResponseWriter) {
		s.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/q/peek?topic=t&channel=c", nil))
	}
	begun, leave := make(chan struct{}), make(chan struct{})
	var looking sync.WaitGroup
	for range peeksOnce {
		looking.Go(func() { look(t.Context(), &stuck{httptest.NewRecorder(), begun, leave}) })
		<-begun
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	look(impatient, w)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"BUSY"`) {
		t.Errorf("a third one is answered %d %s", w.Code, w.Body)
	}
	close(leave)
	looking.Wait()
	w = httptest.NewRecorder()
	look(t.Context(), w)
	if w.Code != http.StatusOK {
		t.Errorf("when they have gone, one is answered %d %s", w.Code, w.Body)
	}
}

// TestBodiesThatDoNotComeToAnEndShareABudget: nobody can fill the memory with
// messages to publish.
func TestBodiesThatDoNotComeToAnEndShareABudget(t *testing.T) {
	a := startNode(t, "a", aTopic("t", 3))
	s, base := startServer(t, Options{Nodes: []string{a.address()}})
	for _, path := range []string{"/api/q/publish", "/api/topics"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		const most = 1 << 20
		io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n")
		io.WriteString(conn, strings.Repeat("x", most/2))
		for deadline := time.Now().Add(time.Minute); s.bodies.Used() < most/2; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bytes are counted", path, s.bodies.Used())
			}
		}
		conn.Close()
		for deadline := time.Now().Add(time.Minute); s.bodies.Used() > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d bytes are still counted", path, s.bodies.Used())
			}
		}
	}
}
