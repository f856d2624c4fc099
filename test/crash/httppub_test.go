package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// httpBatch is how many messages an /mpub carries at most.
const httpBatch = 100

// overHTTP sends requests over one kept-alive connection until the goal is
// reached. It speaks HTTP itself, because a client that quietly sends a request
// again would publish twice.
func (p *publisher) overHTTP(ctx context.Context, r *run) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", r.http)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReader(conn)
	var buf []byte
	for {
		room := p.room()
		if room <= 0 {
			return nil
		}
		var path string
		buf, path = p.httpBody(buf[:0], room, r.number)
		win := &p.s.windows[len(p.s.windows)-1]
		keep, err := p.post(conn, in, r.http, path, buf, win)
		if err != nil || !keep {
			return err
		}
	}
}

// httpBody makes a request of a random sort with at most room messages.
func (p *publisher) httpBody(dst []byte, room, run int) (body []byte, path string) {
	q := "?topic=" + url.QueryEscape(p.s.topic.name)
	switch dice := p.rng.IntN(10); {
	case dice < 4:
		first := p.s.take(1, p.l.now(), run)
		return appendBody(dst, content{p.s.id, first, kindHTTP, 0}, p.load.next(kindHTTP)), "/pub" + q
	case dice < 5:
		first := p.s.take(1, p.l.now(), run)
		delay := p.delay()
		due := time.Now().Add(delay).UnixNano()
		path = "/pub" + q + "&defer=" + strconv.FormatInt(delay.Milliseconds(), 10)
		return appendBody(dst, content{p.s.id, first, kindHTTPDefer, due}, p.load.next(kindHTTPDefer)), path
	case dice < 7:
		n := min(room, 1+p.rng.IntN(httpBatch))
		first := p.s.take(n, p.l.now(), run)
		for i := range n {
			dst = appendBody(dst, content{p.s.id, first + uint32(i), kindHTTPText, 0}, p.load.next(kindHTTPText))
			dst = append(dst, '\n')
		}
		p.markBatch(first, n)
		return dst, "/mpub" + q
	default:
		n := min(room, 1+p.rng.IntN(httpBatch))
		first := p.s.take(n, p.l.now(), run)
		return p.appendBatch(dst, kindHTTPMulti, first, n), "/mpub" + q + "&binary=true"
	}
}

// post sends one request and notes its answer. keep is false when the daemon
// wants the connection closed.
func (p *publisher) post(conn net.Conn, in *bufio.Reader, host, path string, body []byte, win *window) (keep bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return false, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", path, host, len(body))
	if _, err := conn.Write(append([]byte(head), body...)); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return false, err
	}
	status := byte(statusOK)
	if resp.StatusCode != http.StatusOK || string(text) != "OK" {
		status = statusRefused
		p.l.refused(path, fmt.Sprintf("%d %s", resp.StatusCode, text))
	}
	p.s.mark(win.first, win.count, status)
	win.answered = p.l.now()
	return !resp.Close, nil
}
