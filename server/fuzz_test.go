package server

import (
	"bytes"
	stdflate "compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/golang/snappy"

	"qmq/broker"
	"qmq/internal/vfs"
	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
)

// script turns bytes into what a client sends: each byte chooses a command, the
// ones behind it its arguments.
type script struct {
	rest []byte
	// Where what follows goes: the connection, or what packs it.
	out   io.Writer
	flush func() error

	conn       net.Conn
	identifies int // how many were sent, each of which may be answered OK twice
	subs       int
	unsure     bool // OKs cannot be accounted for: topics that go, or bytes as they are
}

func (s *script) next() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *script) pick(words ...string) string { return words[int(s.next())%len(words)] }

func (s *script) topic() string {
	name := s.pick("t", "u", "e#ephemeral", "$", "")
	s.unsure = s.unsure || name == "e#ephemeral" // it goes with its last channel
	return name
}

func (s *script) channel() string { return s.pick("c", "d", "c#ephemeral", "", "$") }

// id is that of a message that may well be there: sequence numbers begin at the
// time, which no script knows, so the client's reader tells.
func (s *script) id(known []string) string {
	if n := int(s.next()); len(known) > 0 && n < 200 {
		return known[n%len(known)]
	}
	return s.pick("0123456789abcdef", "0123456789ABCDEF", "short", "")
}

func (s *script) body() string {
	return strings.Repeat(s.pick("x", "\x00", "longer ", ""), int(s.next()))
}

// command is the next thing that the client sends.
func (s *script) command(known []string) string {
	switch s.next() % 16 {
	case 0:
		s.identifies++
		return wire.Identify(s.pick(`{}`, `null`, `{"heartbeat_interval":-1}`, `{"sample_rate":50}`, `{"feature_negotiation":true}`,
			`{"feature_negotiation":true,"msg_timeout":1000}`, `{"snappy":true,"deflate":true,"feature_negotiation":true}`, `[`))
	case 1:
		s.subs++
		return "SUB " + s.topic() + " " + s.channel() + "\n"
	case 2, 3:
		return wire.Pub(s.topic(), s.body())
	case 4:
		return wire.MPub(s.topic(), s.body(), s.body(), s.body())
	case 5:
		return wire.DPub(s.topic(), int(s.next())*1000, s.body())
	case 6:
		return fmt.Sprintf("RDY %d\n", int8(s.next()))
	case 7, 8:
		return "FIN " + s.id(known) + "\n"
	case 9:
		return "REQ " + s.id(known) + " " + s.pick("0", "1", "1000", "99999999999", "-1", "x") + "\n"
	case 10:
		return "TOUCH " + s.id(known) + "\n"
	case 11:
		return s.pick("CLS\n", "NOP\n", "NOP\r\n", "\n", "nonsense\n")
	case 12:
		return "AUTH\n" + wire.Sized(s.body())
	case 13:
		return "MPUB " + s.topic() + "\n" + wire.Size(int(int8(s.next()))) + wire.Size(int(int8(s.next()))) + s.body()
	case 14: // bytes as they are
		s.unsure = true
		n := min(int(s.next()), len(s.rest))
		raw := string(s.rest[:n])
		s.rest = s.rest[n:]
		return raw
	default:
		s.upgrade()
		return ""
	}
}

// upgrade asks for a compression, and packs what follows.
func (s *script) upgrade() {
	s.identifies++
	feature := s.pick("snappy", "deflate")
	if _, err := io.WriteString(s.out, wire.Identify(`{"feature_negotiation":true,"`+feature+`":true}`)); err != nil || s.flush() != nil {
		return
	}
	if feature == "snappy" {
		w := snappy.NewBufferedWriter(s.conn)
		s.out, s.flush = w, w.Flush
		return
	}
	w, _ := stdflate.NewWriter(s.conn, 1)
	s.out, s.flush = w, w.Flush
}

// seen is what the client's reader has seen.
type seen struct {
	oks int
}

// readAll reads frames to the end of the connection, through compression as
// soon as that is agreed on. Each frame has to be one.
func readAll(t *testing.T, conn net.Conn, ids chan<- string) (s seen) {
	var r io.Reader = conn
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return s
		}
		n, kind := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
		if n < 4 || n > 1<<20 || kind > wire.Delivery {
			t.Errorf("frame of %d bytes, type %d", n, kind)
			return s
		}
		data := make([]byte, n-4)
		if _, err := io.ReadFull(r, data); err != nil {
			return s
		}
		switch {
		case kind == wire.Delivery:
			select {
			case ids <- string(data[10:26]):
			default:
			}
		case kind == wire.Response && string(data) == "OK":
			s.oks++
		case bytes.Contains(data, []byte(`"snappy":true`)):
			r = snappy.NewReader(conn)
		case bytes.Contains(data, []byte(`"deflate":true`)):
			r = stdflate.NewReader(conn)
		}
	}
}

// FuzzSession lets a client send commands in any order. Whatever it does, the
// session answers in frames, ends, and leaves nothing behind; every publish
// that was OK'd is stored.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 4, 2, 0, 0, 3, 1, 0, 0, 6, 5, 7, 0, 9, 1, 0, 10, 0, 11, 0})
	f.Add([]byte{15, 0, 2, 0, 0, 3, 1, 0, 0, 6, 5, 7, 0, 11, 0})
	f.Add([]byte{15, 1, 2, 0, 2, 200, 4, 0, 0, 1, 0, 1, 0, 1, 11, 4})
	f.Add([]byte{14, 9, 'P', 'U', 'B', ' ', 't', '\n', 0, 0, 0, 1, 12, 0, 3})
	f.Fuzz(func(t *testing.T, text []byte) {
		o := node.Options()
		o.FS = vfs.NewMem()
		if err := o.FS.MkdirAll(o.DataPath); err != nil {
			t.Fatal(err)
		}
		b, err := broker.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		so := DefaultOptions()
		so.MaxMsgSize, so.MaxBodySize, so.MaxRdyCount = 1000, 4000, 100
		so.Logger = slog.New(slog.DiscardHandler)
		server := NewTCP(b, so)
		oks, s := runScript(t, server, text)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if n := len(server.all()); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		stored := 0
		for _, topic := range b.Topics() {
			stored += int(topic.Stats().MessageCount)
			for _, c := range topic.Channels() {
				if stats := c.Stats(); stats.InFlight != 0 || len(stats.Consumers) != 0 {
					t.Errorf("left behind: %+v", stats)
				}
			}
		}
		if most := stored + 2*s.identifies + s.subs; oks > most && !s.unsure {
			t.Errorf("%d OKs for %d stored messages, %d IDENTIFYs and %d SUBs", oks, stored, s.identifies, s.subs)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// runScript is the client: it ends the connection when it has said everything.
func runScript(t *testing.T, server *TCP, text []byte) (oks int, s *script) {
	here, there := net.Pipe()
	server.start(there)
	ids, read := make(chan string, 100), make(chan seen)
	go func() { read <- readAll(t, here, ids) }()
	s = &script{rest: text, out: here, flush: func() error { return nil }, conn: here}
	var known []string
	_, err := io.WriteString(s.out, protocol.Magic)
	for err == nil && len(s.rest) > 0 {
		for more := true; more; {
			select {
			case id := <-ids:
				known = append(known, id)
			default:
				more = false
			}
		}
		if _, err = io.WriteString(s.out, s.command(known)); err == nil {
			err = s.flush()
		}
	}
	here.Close()
	return (<-read).oks, s
}
