package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// lazyPipe is a lazy connection and its other end, in fake time.
func lazyPipe(t *testing.T) (c *lazyConn, other net.Conn) {
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	return newLazyConn(here), there
}

// after is how long f takes to fail because of a deadline.
func after(t *testing.T, f func() error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := f(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it failed with %v", err)
	}
	return time.Since(began)
}

func TestDeadlineThatIsMovedIsKept(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name  string
		moved []time.Duration // from now on; 0: none
		want  time.Duration
	}{
		{"once", []time.Duration{3 * s}, 3 * s},
		{"later", []time.Duration{s, 2 * s, 5 * s}, 5 * s},
		{"earlier", []time.Duration{5 * s, 2 * s}, 2 * s},
		{"to and fro", []time.Duration{5 * s, 2 * s, 4 * s, 3 * s}, 3 * s},
		{"away and back", []time.Duration{2 * s, 0, 4 * s}, 4 * s},
		{"into the past", []time.Duration{2 * s, -s}, 0},
		{"out of the past", []time.Duration{-s, 0, 3 * s}, 3 * s},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := lazyPipe(t)
				for _, moved := range test.moved {
					to := time.Time{}
					if moved != 0 {
						to = time.Now().Add(moved)
					}
					if err := c.SetDeadline(to); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				if took := after(t, func() error { _, err := c.Read(make([]byte, 1)); return err }); took != test.want {
					t.Errorf("a read is cut off after %v instead of %v", took, test.want)
				}
				after(t, func() error { _, err := c.Write(make([]byte, 1)); return err })
				if took := time.Since(began); took != test.want {
					t.Errorf("a write is cut off after %v instead of %v", took, test.want)
				}
			})
		})
	}
}

func TestReadIsInterruptedAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := lazyPipe(t)
		c.SetReadDeadline(time.Now().Add(time.Hour))
		failed := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		c.SetReadDeadline(time.Unix(1, 0))
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		c.SetReadDeadline(time.Time{})
		go other.Write([]byte("x"))
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestWriteThatADeadlineMetTooEarlyGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := lazyPipe(t)
		c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		text := make(chan string)
		go func() {
			room := make([]byte, 3)
			io.ReadFull(other, room[:1])
			time.Sleep(10 * time.Second) // of the bubble's clock
			io.ReadFull(other, room[1:])
			text <- string(room)
		}()
		if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
			t.Error(n, err)
		}
		if got := <-text; got != "abc" {
			t.Errorf("%q arrived", got)
		}
	})
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
			time.Sleep(answerPatience + 5*time.Second) // of the bubble's clock
			synctest.Wait()
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("whoever leaves some of %d answers is borne for ever: %d, %v", requests, n, err)
			}
			conn.Close()
		}
	})
}

// BenchmarkRequest is one short request after another over a socket, with lazy
// deadlines and without.
func BenchmarkRequest(b *testing.B) {
	for name, lazy := range map[string]bool{"lazy": true, "direct": false} {
		b.Run(name, func(b *testing.B) { benchmarkRequest(b, lazy) })
	}
}

func benchmarkRequest(b *testing.B, lazy bool) {
	r := NewRouter(slog.New(slog.DiscardHandler))
	r.HandleQuiet("POST", "/read", func(_ http.ResponseWriter, r *http.Request) (any, error) {
		body, err := ReadBody(r, 1<<20, "TOO_BIG")
		defer body.Release()
		return "OK", err
	})
	s := NewServer(r, Options{Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serve := s.http.Serve
	if lazy {
		serve = s.Serve
	}
	go serve(l)
	defer s.Close(b.Context())
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	request := []byte("POST /read HTTP/1.1\r\nHost: q\r\nContent-Length: 5\r\n\r\nhello")
	answer := make([]byte, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(answer); err != nil { // short enough to come at once
			b.Fatal(err)
		}
	}
}
