package api

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/acceptloop"
	"qmq/server"
	"qmq/test/node"
	"qmq/test/wire"
)

// pipeAPI is the API of a broker, for use in fake time.
func pipeAPI(t *testing.T) *HTTP {
	b, so := node.Open(t), server.DefaultOptions()
	return NewHTTP(NewFigures(b, server.NewTCP(b, so), nil), OptionsFor(&so))
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pipeAPI(t)
		l := wire.NewPipeListener()
		served := make(chan error)
		go func() { served <- h.Serve(l) }()
		request := "GET /ping HTTP/1.1\r\nHost: q\r\nX-Slow: " + strings.Repeat("x", 1000) + "\r\n\r\n"
		if took := wire.Drip(l.Dial(), request, time.Second); took > 11*time.Second {
			t.Errorf("slow headers are read for %v", took)
		}
		if took := wire.Drip(l.Dial(), "", time.Second); took > 3*time.Minute {
			t.Errorf("silence is borne for %v", took)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestBodyThatStopsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pipeAPI(t)
		l := wire.NewPipeListener()
		served := make(chan error)
		go func() { served <- h.Serve(l) }()
		conn := l.Dial()
		began := time.Now()
		go io.WriteString(conn, "POST /pub?topic=t HTTP/1.1\r\nHost: q\r\nContent-Length: 100\r\n\r\nabc")
		io.Copy(io.Discard, conn)
		if took := time.Since(began); took < 30*time.Second || took > 35*time.Second {
			t.Errorf("a body that stops is waited for %v", took)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestLongHeadersAreRefused(t *testing.T) {
	r := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.http.Serve(l) }()
	defer func() {
		r.http.Close(t.Context())
		<-served
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(wire.Timeout))
	go io.WriteString(conn, "GET /ping HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestConnectionsOverHTTPCountToo(t *testing.T) {
	r := start(t, func(o *options) { o.Places = acceptloop.NewPlaces(2, o.Logger) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.http.Serve(l) }()
	ask := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(wire.Timeout))
		io.WriteString(conn, "GET /ping HTTP/1.1\r\nHost: q\r\n\r\n")
		_, err = io.ReadFull(conn, make([]byte, 12))
		return conn, err
	}
	first, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	r.connect(wire.Pub("t", "x")).Expect("OK")
	third, err := ask()
	if err == nil {
		t.Error("a third connection is served")
	}
	third.Close()
	wire.Open(t, r.address).ExpectEnd()
	first.Close()
	eventually(t, func() bool {
		conn, err := ask()
		conn.Close()
		return err == nil
	})
	if err := r.http.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
