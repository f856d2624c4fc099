package api

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/test/wire"
)

// stuck is a client that takes the beginning of an answer and no more until it
// is let go.
type stuck struct {
	head  http.Header
	begun chan struct{}
	leave chan struct{}
	once  sync.Once
}

func (s *stuck) Header() http.Header { return s.head }
func (s *stuck) WriteHeader(int)     {}

func (s *stuck) Write([]byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.leave
	return 0, io.ErrClosedPipe
}

// TestAnswersThatNobodyReadsHoldLittle of what they would come to.
func TestAnswersThatNobodyReadsHoldLittle(t *testing.T) {
	const requests, topics = 40, 2000
	r := start(t)
	for i := range topics {
		r.must("POST", fmt.Sprintf("/topic/create?topic=a-topic-with-a-long-name-%d", i), "")
	}
	for _, format := range []string{"json", "text"} {
		target := "/stats?include_mem=false&format=" + format
		whole := len(r.must("GET", target, ""))
		leave := make(chan struct{})
		var asking sync.WaitGroup
		before := heapInUse()
		for range requests {
			w := &stuck{head: make(http.Header), begun: make(chan struct{}), leave: leave}
			asking.Go(func() {
				defer func() { recover() }() // the answer is given up
				r.http.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			})
			<-w.begun
		}
		if each := (heapInUse() - before) / requests; each > int64(whole)*3/4 { // the list of topics is held, 40 bytes each
			t.Errorf("%s: %d bytes are held for an answer of %d", format, each, whole)
		}
		close(leave)
		asking.Wait()
	}
}

// TestTwoPeeksAtATime: others wait, for a while, and clients that do not read go.
func TestTwoPeeksAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pipeAPI(t)
		h.o.Peek = true // a pipe is not known to be of this machine
		r := &rig{t: t, broker: h.broker, http: h}
		l := wire.NewPipeListener()
		served := make(chan error)
		go func() { served <- r.http.Serve(l) }()
		r.must("POST", "/topic/create?topic=t", "")
		r.must("POST", "/channel/create?topic=t&channel=ch", "")
		for range 20 {
			r.must("POST", "/pub?topic=t", strings.Repeat("x", 64<<10))
		}
		ask := func() net.Conn {
			conn := l.Dial()
			go io.WriteString(conn, "GET /channel/peek?topic=t&channel=ch&limit=20 HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n")
			return conn
		}
		first, second := ask(), ask()
		synctest.Wait()
		began := time.Now()
		answer, _ := io.ReadAll(ask())
		if took := time.Since(began); took != peekWait || !strings.HasSuffix(string(answer), `{"message":"TOO_MANY_PEEKS","why":"2 look at messages at a time, and another one waits for 5s"}`) {
			t.Errorf("a third is answered %.200q after %v", answer, took)
		}
		third := ask()
		synctest.Wait()
		go io.Copy(io.Discard, first)
		if answer, _ := io.ReadAll(third); !strings.Contains(string(answer), `"total":20}`) {
			t.Errorf("once one has ended, the next is answered %.200q", answer)
		}
		time.Sleep(40 * time.Second) // of the bubble's clock
		if n := r.http.peeks.Taken(); n != 0 {
			t.Errorf("%d peeks are under way although nobody reads", n)
		}
		if answer, _ := io.ReadAll(second); strings.Contains(string(answer), "total") {
			t.Error("an answer that was given up looks whole")
		}
		first.Close()
		if err := r.http.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
