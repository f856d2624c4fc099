package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
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
