package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/acceptloop"
	"qmq/internal/budget"
)

// pipes is a listener without sockets, for use in fake time.
type pipes struct {
	conns chan net.Conn
	end   func()
	ended chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.end()
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inBubble runs f with a server in fake time. dial connects to it.
func inBubble(t *testing.T, o Options, routes func(*Router), f func(t *testing.T, s *Server, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Logger == nil {
			o.Logger = slog.New(slog.DiscardHandler)
		}
		r := NewRouter(o.Logger)
		routes(r)
		s := NewServer(r, o)
		ended := make(chan struct{})
		l := &pipes{make(chan net.Conn), sync.OnceFunc(func() { close(ended) }), ended}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		f(t, s, func() net.Conn {
			here, there := net.Pipe()
			l.conns <- there
			return here
		})
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// reading answers how long the body is.
func reading(r *Router) {
	r.Handle("POST", "/read", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		body, err := ReadBody(r, 100<<20, "TOO_BIG")
		defer body.Release()
		return fmt.Sprint(len(body.Bytes())), err
	})
	r.Handle("POST", "/bits", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		n, err := io.Copy(io.Discard, BodyOf(r))
		return fmt.Sprint(n), err
	})
	r.Handle("POST", "/unread", func(http.ResponseWriter, *http.Request) (any, error) { return nil, nil })
}

// sendBody sends a request with a body in n pieces of size bytes, each pause
// after the one before, and returns how long the answer took and its text.
func sendBody(conn net.Conn, path string, n, size int, pause time.Duration) (took time.Duration, answer string) {
	return sendRequest(conn, "POST "+path+" HTTP/1.1\r\nConnection: close\r\n", n, size, pause)
}

func sendRequest(conn net.Conn, head string, n, size int, pause time.Duration) (took time.Duration, answer string) {
	defer conn.Close()
	began := time.Now()
	text := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(conn)
		text <- string(all)
	}()
	fmt.Fprintf(conn, "%sHost: q\r\nContent-Length: %d\r\n\r\n", head, n*size)
	for range n {
		if _, err := conn.Write(make([]byte, size)); err != nil {
			break
		}
		time.Sleep(pause) // of the bubble's clock
	}
	answer = <-text
	return time.Since(began), answer
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	for _, path := range []string{"/read", "/bits", "/unread", "/none"} {
		inBubble(t, Options{}, reading, func(t *testing.T, _ *Server, dial func() net.Conn) {
			took, _ := sendRequest(dial(), "POST "+path+" HTTP/1.1\r\n", 1000, 1, time.Second)
			if took < graceTime || took > graceTime+5*time.Second {
				t.Errorf("%s: a byte a second is borne for %v", path, took)
			}
		})
	}
}

func TestBodiesMayTakeAsLongAsTheyKeepThePace(t *testing.T) {
	for _, path := range []string{"/read", "/bits"} {
		inBubble(t, Options{}, reading, func(t *testing.T, _ *Server, dial func() net.Conn) {
			took, answer := sendBody(dial(), path, 300, pieceBytes, timePerPiece)
			if took < 4*time.Minute || !strings.HasSuffix(answer, fmt.Sprint(300*pieceBytes)) {
				t.Errorf("%s: after %v: %.300s", path, took, answer)
			}
		})
	}
}

// writing answers a megabyte, and tells what became of it. The channel belongs
// to the bubble.
func writing(to *chan error) func(r *Router) {
	return func(r *Router) {
		result := make(chan error, 1)
		*to = result
		r.HandleRaw("GET", "/long", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			result <- err
		}))
		r.HandleRaw("GET", "/text", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
			result <- err
		}))
		r.HandleRaw("GET", "/stream", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 20 {
				time.Sleep(answerTimeout * 3) // of the bubble's clock: an event now and then
				io.WriteString(w, "event")
				if err := http.NewResponseController(w).Flush(); err != nil {
					result <- err
					return
				}
			}
			result <- nil
		}))
		r.HandleRaw("GET", "/late", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(10 * time.Minute) // of the bubble's clock: a profile
			result <- nil
		}))
	}
}

func TestAnswersThatAreNotReadAreGivenUp(t *testing.T) {
	for _, path := range []string{"/long", "/text"} {
		var result chan error
		inBubble(t, Options{}, writing(&result), func(t *testing.T, _ *Server, dial func() net.Conn) {
			conn := dial()
			defer conn.Close()
			began := time.Now()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: q\r\n\r\n", path)
			if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			if took := time.Since(began); took > answerTimeout+5*time.Second {
				t.Errorf("%s: borne for %v", path, took)
			}
		})
	}
}

// A client that asks again at once, and takes no answer, holds its connection no
// longer than one that asks for the first time.
func TestAnswersToLaterRequestsAreGivenUpToo(t *testing.T) {
	const requests = 4
	routes := func(r *Router) {
		r.Handle("GET", "/short", func(http.ResponseWriter, *http.Request) (any, error) { return "OK", nil })
	}
	inBubble(t, Options{}, routes, func(t *testing.T, _ *Server, dial func() net.Conn) {
		for taken := range requests {
			conn := dial()
			go func() {
				for range requests {
					fmt.Fprint(conn, "GET /short HTTP/1.1\r\nHost: q\r\n\r\n")
				}
			}()
			for in := bufio.NewReader(conn); taken > 0; taken-- {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				io.ReadAll(resp.Body)
			}
			time.Sleep(answerTimeout + 5*time.Second) // of the bubble's clock
			synctest.Wait()
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("whoever leaves some of %d answers is borne for ever: %d, %v", requests, n, err)
			}
			conn.Close()
		}
	})
}

func TestAnswersThatAreReadSlowlyGetThrough(t *testing.T) {
	for _, path := range []string{"/long", "/text"} {
		var result chan error
		inBubble(t, Options{}, writing(&result), func(t *testing.T, _ *Server, dial func() net.Conn) {
			conn := dial()
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: q\r\nConnection: close\r\n\r\n", path)
			began, n := time.Now(), 0
			for room := make([]byte, 4<<10); ; {
				time.Sleep(time.Second) // of the bubble's clock
				m, err := io.ReadFull(conn, room)
				if n += m; err != nil {
					break
				}
			}
			if err := <-result; err != nil || n < 1<<20 || time.Since(began) < 4*time.Minute {
				t.Errorf("%s: %d bytes in %v, %v", path, n, time.Since(began), err)
			}
		})
	}
}

func TestAnswersMayPause(t *testing.T) {
	for path, want := range map[string]string{"/stream": strings.Repeat("event", 20), "/late": ""} {
		var result chan error
		inBubble(t, Options{}, writing(&result), func(t *testing.T, _ *Server, dial func() net.Conn) {
			conn := dial()
			fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: q\r\n\r\n", path)
			text, err := io.ReadAll(conn)
			if failed := <-result; failed != nil || err != nil || !strings.HasSuffix(string(text), "\r\n\r\n"+want) {
				t.Errorf("%s: %v, %v, %q", path, failed, err, text)
			}
		})
	}
}

// TestBodiesShareABudget: what one holds another waits for, and that is not the
// client's time.
func TestBodiesShareABudget(t *testing.T) {
	const long = 1 << 20
	b := budget.New(2 * long)
	var held, leave chan struct{}
	routes := func(r *Router) {
		held, leave = make(chan struct{}), make(chan struct{})
		reading(r)
		r.Handle("POST", "/hold", func(_ http.ResponseWriter, r *http.Request) (any, error) {
			body, err := ReadBody(r, 100<<20, "TOO_BIG")
			defer body.Release()
			if err == nil {
				err = body.Spend(3 * long) // nobody else has any: it may have more than there is
			}
			close(held)
			<-leave
			return nil, err
		})
	}
	inBubble(t, Options{Unfinished: b}, routes, func(t *testing.T, s *Server, dial func() net.Conn) {
		first := make(chan string, 1)
		go func() {
			_, answer := sendBody(dial(), "/hold", 1, long, 0)
			first <- answer
		}()
		<-held
		if used := b.Used(); used < 4*long || used > 5*long {
			t.Errorf("%d bytes are used", used)
		}
		second := make(chan string, 1)
		go func() {
			_, answer := sendBody(dial(), "/read", 16, long/16, 10*time.Millisecond)
			second <- answer
		}()
		small := make(chan string, 1)
		go func() {
			_, answer := sendBody(dial(), "/read", 1, initialBody, 0)
			small <- answer
		}()
		if answer := <-small; !strings.HasSuffix(answer, fmt.Sprint(initialBody)) {
			t.Errorf("a short one: %q", answer)
		}
		time.Sleep(10 * time.Minute) // of the bubble's clock
		synctest.Wait()
		if len(second) != 0 {
			t.Errorf("there is no memory, and yet: %q", <-second)
		}
		close(leave)
		if answer := <-first; !strings.Contains(answer, " 200 OK") {
			t.Errorf("the first: %q", answer)
		}
		if answer := <-second; !strings.HasSuffix(answer, fmt.Sprint(long)) {
			t.Errorf("the second: %q", answer)
		}
		if b.Used() != 0 {
			t.Errorf("%d bytes are still used", b.Used())
		}
	})
}

func TestCloseEndsAWaitForMemory(t *testing.T) {
	b := budget.New(1 << 20)
	var other budget.Claim
	other.From(b)
	other.Set(1 << 20)
	inBubble(t, Options{Unfinished: b}, reading, func(t *testing.T, s *Server, dial func() net.Conn) {
		answered := make(chan string, 1)
		go func() {
			_, answer := sendBody(dial(), "/read", 2, initialBody, 0)
			answered <- answer
		}()
		synctest.Wait()
		go s.Close(t.Context())
		if answer := <-answered; !strings.Contains(answer, " 503 ") || !strings.Contains(answer, "EXITING") {
			t.Errorf("%q", answer)
		}
	})
}

func TestConnectionsWithoutAPlaceAreClosed(t *testing.T) {
	var log bytes.Buffer
	o := Options{Places: acceptloop.NewPlaces(2, slog.New(slog.NewTextHandler(&log, nil)))}
	ask := func(conn net.Conn) error {
		go fmt.Fprint(conn, "POST /unread HTTP/1.1\r\nHost: q\r\nContent-Length: 0\r\n\r\n")
		_, err := io.ReadFull(conn, make([]byte, 15))
		return err
	}
	inBubble(t, o, reading, func(t *testing.T, _ *Server, dial func() net.Conn) {
		first, second, third := dial(), dial(), dial()
		if ask(first) != nil || ask(second) != nil || ask(third) == nil {
			t.Error("not two of three are served")
		}
		first.Close()
		synctest.Wait()
		fourth := dial()
		if ask(fourth) != nil {
			t.Error("a place that was given back is not had again")
		}
		for _, conn := range []net.Conn{second, third, fourth} {
			conn.Close()
		}
	})
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

// TestNoAnswerIsGuessedAt by browsers, refusals and errors of the server included.
func TestNoAnswerIsGuessedAt(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	routes := NewRouter(log)
	routes.Handle("GET", "/fine", func(http.ResponseWriter, *http.Request) (any, error) { return "OK", nil })
	routes.Handle("GET", "/crash", func(http.ResponseWriter, *http.Request) (any, error) { panic("crash") })
	routes.Debug()
	s := NewServer(routes, Options{Logger: log})
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
