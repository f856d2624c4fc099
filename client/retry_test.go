package client_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qmq/client"
	"qmq/protocol"
)

// forgetful is a node that ends the connection instead of answering the first so many
// publishes, and OKs those that follow.
type forgetful struct {
	address   string
	publishes atomic.Int64
}

func startForgetful(t *testing.T, forgets int64) *forgetful {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &forgetful{address: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn, forgets)
		}
	}()
	return f
}

func (f *forgetful) serve(conn net.Conn, forgets int64) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		var size [4]byte
		io.ReadFull(r, size[:])
		io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(size[:])))
		if strings.HasPrefix(line, protocol.Magic+"IDENTIFY") {
			conn.Write(protocol.AppendResponse(nil, `{"headers":true}`))
			continue
		}
		if f.publishes.Add(1) <= forgets {
			return
		}
		conn.Write(protocol.AppendResponse(nil, "OK"))
	}
}

// TestLostAnswerIsRetriedWhereThatIsSafe publishes to two nodes, the first of which
// loses answers.
func TestLostAnswerIsRetriedWhereThatIsSafe(t *testing.T) {
	for _, test := range []struct {
		name          string
		ids           bool
		o             client.Options
		unanswered    bool
		first, second int64 // publishes that come there
	}{
		{name: "without ids", unanswered: true, first: 1},
		{name: "with ids", ids: true, first: 3},
		{name: "with ids, on a set", ids: true, o: client.Options{Replicated: true}, first: 1, second: 1},
		{name: "without ids, on a set", o: client.Options{Replicated: true}, unanswered: true, first: 1},
		{name: "where doubles are allowed", o: client.Options{Duplicates: true}, first: 1, second: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := startForgetful(t, 2), startForgetful(t, 0)
			test.o.Nodes = []string{a.address, b.address}
			c := open(t, test.o)
			m := client.Message{Body: []byte("x")}
			if test.ids {
				m.DedupID = "1"
			}
			err := c.Publish(limited(t), "t", m)
			var lost *client.UnansweredError
			if got := errors.As(err, &lost); got != test.unanswered || !got && err != nil || got && lost.Node != a.address {
				t.Error(err)
			}
			if a.publishes.Load() != test.first || b.publishes.Load() != test.second {
				t.Errorf("%d and %d publishes, want %d and %d", a.publishes.Load(), b.publishes.Load(), test.first, test.second)
			}
		})
	}
}

// TestLostAnswerIsNotForgottenWhenItIsGivenUp: what may be stored is never said not to
// be.
func TestLostAnswerIsNotForgottenWhenItIsGivenUp(t *testing.T) {
	for _, o := range []client.Options{{}, {Replicated: true}, {Duplicates: true}} {
		a := startForgetful(t, 1<<30)
		o.Nodes = []string{a.address, "127.0.0.1:1"}
		var err error
		for o.Patience = 200 * time.Millisecond; a.publishes.Load() == 0 && o.Patience < testTimeout; o.Patience *= 3 {
			c := open(t, o)
			err = c.Publish(limited(t), "t", client.Message{Body: []byte("x"), DedupID: "1"})
			c.Close()
		}
		var lost *client.UnansweredError
		if !errors.As(err, &lost) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestHeadersGoNowhereWhereNobodyTakesThem has a node that answers IDENTIFY as NSQ's.
func TestHeadersGoNowhereWhereNobodyTakesThem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Write(protocol.AppendResponse(nil, "{}"))
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	c := open(t, client.Options{Nodes: []string{l.Addr().String()}})
	if err := c.Publish(limited(t), "t", client.Message{Body: []byte("x"), Key: "k"}); !errors.Is(err, client.ErrNoHeaders) {
		t.Error(err)
	}
	if _, err := c.Request(limited(t), "t", client.Message{Body: []byte("x")}); !errors.Is(err, client.ErrNoHeaders) {
		t.Error(err)
	}
}
