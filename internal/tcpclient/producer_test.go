package tcpclient

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"qmq/protocol"
)

// node is a node that answers as a test wants: serve gets a connection whose
// IDENTIFY is answered.
func node(t *testing.T, serve func(c net.Conn, r *bufio.Reader)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if line, _ := r.ReadString('\n'); line != protocol.Magic+"IDENTIFY\n" {
					return
				}
				body(r)
				c.Write(protocol.AppendResponse(nil, "{}"))
				serve(c, r)
			}()
		}
	}()
	return l.Addr().String()
}

// body reads the body of a command.
func body(r *bufio.Reader) string {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return ""
	}
	text := make([]byte, binary.BigEndian.Uint32(size[:]))
	io.ReadFull(r, text)
	return string(text)
}

func TestPublishesAreAnsweredInTheirOrder(t *testing.T) {
	at := node(t, func(c net.Conn, r *bufio.Reader) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			c.Write([]byte(protocol.HeartbeatFrame)) // in between
			if line == "NOP\n" {
				continue
			}
			if strings.Contains(body(r), "bad") {
				c.Write(protocol.AppendError(nil, &protocol.Error{Code: protocol.CodePubFailed, Text: "PUB failed full"}))
				continue
			}
			c.Write([]byte(protocol.OKFrame))
		}
	})
	p := NewProducer(at, Options{})
	defer p.Close()
	var acks []*Ack
	for _, text := range []string{"one", "bad", "two"} {
		acks = append(acks, p.Publish(context.Background(), "t", []byte(text)))
	}
	var refused *RefusedError
	for i, ack := range acks {
		if err := ack.Wait(); (err != nil) != (i == 1) || i == 1 && (!errors.As(err, &refused) || refused.Code != protocol.CodePubFailed) {
			t.Errorf("publish %d: %v", i, err)
		}
	}
}

// TestPublishWithoutAnAnswerIsNeitherStoredNorLost, and the next one makes a new
// connection.
func TestPublishWithoutAnAnswerIsNeitherStoredNorLost(t *testing.T) {
	first := make(chan bool, 1)
	first <- true
	at := node(t, func(c net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		body(r)
		select {
		case <-first: // gone without a word
		default:
			c.Write([]byte(protocol.OKFrame))
			r.ReadString('\n')
		}
	})
	p := NewProducer(at, Options{})
	defer p.Close()
	var unanswered *UnansweredError
	if err := p.Publish(context.Background(), "t", []byte("x")).Wait(); !errors.As(err, &unanswered) {
		t.Errorf("%v", err)
	}
	if err := p.Publish(context.Background(), "t", []byte("x")).Wait(); err != nil {
		t.Errorf("%v", err)
	}
}

func TestClosedProducerPublishesNothing(t *testing.T) {
	p := NewProducer(node(t, func(net.Conn, *bufio.Reader) {}), Options{})
	p.Close()
	if err := p.Publish(context.Background(), "t", []byte("x")).Wait(); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestManyBodiesAreOneCommand(t *testing.T) {
	got := string(appendPublish(nil, "t", [][]byte{[]byte("a"), []byte("bc")}))
	if want := "MPUB t\n\x00\x00\x00\x0f\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02bc"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
