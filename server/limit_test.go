package server

import (
	"bytes"
	stdflate "compress/flate"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"

	"qmq/internal/acceptloop"
	"qmq/internal/auth"
	"qmq/internal/budget"
	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
)

// heap is the memory in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// allocated is all the memory that was ever taken.
func allocated() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

func TestHandshakeThatNeverEndsIsCutOff(t *testing.T) {
	with := withTLS(t)
	synctest.Test(t, func(t *testing.T) {
		o := DefaultOptions()
		with(&o)
		server := NewTCP(node.Open(t), o)
		l := wire.NewPipeListener()
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		conn := l.Dial()
		go io.WriteString(conn, protocol.Magic+wire.Identify(`{"feature_negotiation":true,"tls_v1":true}`))
		head := make([]byte, 8)
		io.ReadFull(conn, head)
		io.CopyN(io.Discard, conn, int64(head[2])<<8+int64(head[3])-4)
		hello := "\x16\x03\x01\x40\x00" + strings.Repeat("x", 0x4000)
		if took := wire.Drip(conn, hello, 100*time.Millisecond); took > o.HandshakeTimeout+2*lingerTime {
			t.Errorf("a handshake is waited for %v", took)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestHalfOpenConnectionsCostLittle(t *testing.T) {
	const connections = 400
	r := start(t, withTLS(t), func(o *Options) { // however long it takes until the last one is there
		o.MagicTimeout, o.HandshakeTimeout = time.Hour, time.Hour
	})
	before := heapInUse()
	for i := range connections {
		c := r.dial()
		switch i % 3 {
		case 0: // says nothing
		case 1:
			c.Send("  V")
		default:
			c.Send(protocol.Magic)
			negotiate(c, `"tls_v1":true`)
			c.Send("\x16\x03\x01\x40\x00half a hello")
		}
	}
	eventually(t, func() bool { return len(r.tcp.all()) == connections })
	eventually(t, func() bool { return (heapInUse()-before)/connections <= 16<<10 })
}

func TestIdleUpgradedConnectionsHoldLittle(t *testing.T) {
	const connections = 200
	for _, test := range []struct {
		features string
		most     int64 // bytes, the client's side included
	}{
		{`"snappy":true`, 24 << 10},
		{`"deflate":true`, 80 << 10},
	} {
		r := start(t)
		r.connect(wire.Pub("t", "x")).Expect("OK") // what a first publish takes
		var clients []*wire.Conn
		before := heapInUse()
		for range connections {
			c := r.connect()
			negotiate(c, test.features)
			raw := c.Conn
			if strings.Contains(test.features, "snappy") {
				useSnappy(c)
			} else {
				useDeflate(c, 1)
			}
			c.Expect("OK")
			c.Send(strings.Repeat("NOP\n", 25_000) + wire.Pub("t", "x"))
			c.Expect("OK")
			c.Conn = raw
			clients = append(clients, c)
		}
		eventually(t, func() bool { return (heapInUse()-before)/connections <= test.most })
		runtime.KeepAlive(clients)
	}
}

// TestIdleConnectionsHoldNoLongBuffer: those that have sent a long command wait
// for the next one as cheaply as others.
func TestIdleConnectionsHoldNoLongBuffer(t *testing.T) {
	const connections, long = 20, 1 << 20
	command := wire.Pub("t", strings.Repeat("x", long-100))
	for _, features := range []string{"", `"tls_v1":true`, `"snappy":true`, `"deflate":true`} {
		r := start(t, withTLS(t))
		var raws []net.Conn
		before := heapInUse()
		for range connections {
			c := r.connect()
			raws = append(raws, c.Conn)
			upgrade(c, features)
			for range 2 {
				c.Send(command)
				c.Expect("OK")
			}
		}
		if err := r.broker.DeleteTopic("t"); err != nil { // and what it keeps in memory
			t.Fatal(err)
		}
		eventually(t, func() bool { return (heapInUse()-before)/connections < long/4 })
		runtime.KeepAlive(raws)
	}
}

func TestEndlessLineEndsTheConnection(t *testing.T) {
	for _, features := range []string{"", `"snappy":true`, `"deflate":true`} {
		c := start(t).connect()
		upgrade(c, features)
		before := allocated()
		endless := bytes.Repeat([]byte{'x'}, 10<<20)
		c.Write(endless) // fails when the server has had enough
		if _, data, err := c.AnyFrame(); err == nil {
			t.Errorf("%s: got %.50q", features, data)
		}
		if took := allocated() - before; took > 32<<20 {
			t.Errorf("%s: %d bytes were taken", features, took)
		}
	}
}

func TestLongIdentifyLeavesNothingBehind(t *testing.T) {
	const connections = 10
	r := start(t)
	body := `{"client_id":"` + strings.Repeat("x", 40_000) + `","user_agent":"` + strings.Repeat("y", 24_000) + `"}`
	var clients []*wire.Conn
	before := heapInUse()
	for range connections {
		c := r.connect(wire.Identify(body))
		c.Expect("OK")
		c.ExpectOpen() // it is done with the first command, not only answered
		clients = append(clients, c)
	}
	eventually(t, func() bool { return (heapInUse()-before)/connections <= 32<<10 })
	runtime.KeepAlive(clients)
	deep := r.connect(wire.Identify(`{"x":` + strings.Repeat("[", 60_000)))
	deep.ExpectError("E_BAD_BODY IDENTIFY failed to decode JSON body")
}

func TestManyRDYsDoNoHarm(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 0)
	before := allocated()
	c.Send(strings.Repeat("RDY 2500\nRDY 0\nRDY 1\n", 100_000))
	c.Send(wire.Pub("t", "x"))
	if kind, data := c.Frame(); kind != wire.Delivery && data != "OK" {
		t.Fatalf("got frame %d %q", kind, data)
	}
	if took := allocated() - before; took > 16<<20 {
		t.Errorf("%d bytes were taken", took)
	}
	c = r.consume("t", "ch", 0)
	c.Send("RDY 2501\n")
	c.ExpectError("E_INVALID RDY count 2501 out of range 0-2500")
	c.ExpectEnd()
}

// TestBombsTakeLittleMemory: what unpacks to a hundred times its size is read
// in pieces, and refused or obeyed like anything else.
func TestBombsTakeLittleMemory(t *testing.T) {
	const size = 32 << 20
	pack := func(features, text string) []byte {
		var packed bytes.Buffer
		var w io.WriteCloser = snappy.NewBufferedWriter(&packed)
		if strings.Contains(features, "deflate") {
			w, _ = stdflate.NewWriter(&packed, 9)
		}
		piece := []byte(strings.Repeat(text, (1<<20)/len(text)))
		for range size / len(piece) {
			w.Write(piece)
		}
		w.Close()
		return packed.Bytes()
	}
	for _, features := range []string{`"snappy":true`, `"deflate":true`} {
		zeros, nops := pack(features, "\x00"), pack(features, "NOP\n")
		for name, bomb := range map[string][]byte{"zeros": zeros, "commands": nops} {
			r := start(t)
			c := r.connect()
			negotiate(c, features)
			raw := c.Conn
			if strings.Contains(features, "snappy") {
				useSnappy(c)
			} else {
				useDeflate(c, 1)
			}
			c.Expect("OK")
			before := allocated()
			raw.Write(bomb)
			raw.(*net.TCPConn).CloseWrite()
			for {
				if _, _, err := c.AnyFrame(); err != nil {
					break
				}
			}
			if took := allocated() - before; took > size {
				t.Errorf("%s, %s: %d bytes were taken for %d", features, name, took, len(bomb))
			}
		}
	}
}

func TestConnectionsBeyondTheLimitAreClosedAtOnce(t *testing.T) {
	const most, extra = 3, 20
	var log bytes.Buffer
	r := start(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Places = acceptloop.NewPlaces(most, o.Logger)
	})
	var in []*wire.Conn
	for range most {
		c := r.connect(wire.Pub("t", "x"))
		c.Expect("OK")
		in = append(in, c)
	}
	began := time.Now()
	for range extra {
		r.dial().ExpectEnd()
	}
	took := time.Since(began)
	for _, c := range in {
		c.ExpectOpen()
	}
	in[0].Close()
	eventually(t, func() bool { return len(r.tcp.all()) < most })
	r.connect(wire.Pub("t", "x")).Expect("OK")
	if err := r.tcp.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), "too many connections"); lines < 1 || lines > 1+int(took/time.Second) {
		t.Errorf("%d lines in %v:\n%s", lines, took, log.String())
	}
}

// inFakeTime runs f with a server on pipes, in fake time.
func inFakeTime(t *testing.T, change func(*Options), f func(t *testing.T, server *TCP, dial func() *wire.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := DefaultOptions()
		if change != nil {
			change(&o)
		}
		server := NewTCP(node.Open(t), o)
		l := wire.NewPipeListener()
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		f(t, server, func() *wire.Conn { return newClient(t, l.Dial()) })
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestUnfinishedCommandsAreCutOff whatever the client says of heartbeats: a byte
// now and then is no progress.
func TestUnfinishedCommandsAreCutOff(t *testing.T) {
	for _, heartbeats := range []string{`{}`, `{"heartbeat_interval":-1}`} {
		for _, begin := range []string{"PUB t\n" + wire.Size(1000), "MPUB t\n" + wire.Size(1000) + wire.Size(1) + wire.Size(900), "IDENTIFY\n" + wire.Size(1000), "P"} {
			inFakeTime(t, nil, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
				c := dial()
				c.Send(protocol.Magic + wire.Identify(heartbeats))
				c.Expect("OK")
				c.Send(wire.Pub("t", "whole"))
				c.Expect("OK")
				if took := wire.Drip(c, begin+strings.Repeat("x", 500), time.Second); took < commandTime || took > commandTime+5*time.Second+lingerTime {
					t.Errorf("%s, %q: borne for %v", heartbeats, begin, took)
				}
			})
		}
	}
}

func TestLongCommandsMayTakeTheirTime(t *testing.T) {
	inFakeTime(t, nil, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic + wire.Identify(`{"heartbeat_interval":-1}`))
		c.Expect("OK")
		began := time.Now()
		const piece, pieces = commandPiece, 16
		c.Send("PUB t\n" + wire.Size(pieces*piece))
		for range pieces {
			time.Sleep(2800 * time.Millisecond) // of the bubble's clock
			c.Send(strings.Repeat("x", piece))
		}
		c.Expect("OK")
		if took := time.Since(began); took < commandTime+10*time.Second {
			t.Errorf("only %v", took)
		}
		time.Sleep(time.Hour) // without heartbeats a client may be silent for ever
		c.ExpectOpen()
		c.Close()
	})
}

// TestUnknownClientsAreCutOff where there are auth servers, whatever they send.
func TestUnknownClientsAreCutOff(t *testing.T) {
	for _, say := range []string{"", "NOP\n"} {
		inFakeTime(t, func(o *Options) {
			o.Auth = auth.New(auth.Options{Addresses: []string{"127.0.0.1:1"}, Logger: o.Logger})
		}, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
			c := dial()
			began := time.Now()
			c.Send(protocol.Magic + wire.Identify(`{"heartbeat_interval":60000}`))
			c.Expect("OK")
			var talking sync.WaitGroup
			talking.Go(func() {
				for err := error(nil); err == nil && say != ""; _, err = c.Write([]byte(say)) {
					time.Sleep(time.Second) // of the bubble's clock
				}
			})
			defer talking.Wait()
			io.Copy(io.Discard, c)
			if took := time.Since(began); took < 30*time.Second || took > 35*time.Second {
				t.Errorf("%q: borne for %v", say, took)
			}
			c.Close()
		})
	}
}

// TestUnfinishedCommandsShareABudget: many clients that hold back the end of a
// long command take no more memory than there is for them, and keep nobody with
// short ones waiting.
func TestUnfinishedCommandsShareABudget(t *testing.T) {
	const limit, clients, long = 4 << 20, 40, 1 << 20
	inFakeTime(t, func(o *Options) { o.Unfinished = budget.New(limit) }, func(t *testing.T, server *TCP, dial func() *wire.Conn) {
		var hoarders []*wire.Conn
		for range clients {
			c := dial()
			c.Send(protocol.Magic)
			go c.Write([]byte("PUB t\n" + wire.Size(long) + strings.Repeat("x", long-1))) // it is taken in part only
			hoarders = append(hoarders, c)
		}
		synctest.Wait()
		if used := server.o.Unfinished.Used(); used > limit+2*long || used < limit/2 { // somebody can always go on
			t.Errorf("%d bytes are used", used)
		}
		small := dial()
		small.Send(protocol.Magic + wire.Pub("t", "x"))
		small.Expect("OK")
		began := time.Now()
		large := dial()
		large.Send(protocol.Magic + wire.Identify(`{"heartbeat_interval":-1}`))
		large.Expect("OK")
		go large.Write([]byte(wire.Pub("t", strings.Repeat("y", long))))
		if _, data, err := large.Any(time.Time{}); string(data) != "OK" { // until the others are cut off
			t.Error(data, err)
		}
		if took := time.Since(began); took < commandTime/2 || took > time.Duration(clients)*commandTime {
			t.Errorf("after %v", took)
		}
		for _, c := range append(hoarders, small, large) {
			c.Close()
		}
		synctest.Wait()
		if used := server.o.Unfinished.Used(); used != 0 {
			t.Errorf("%d bytes are still used", used)
		}
	})
}

// TestBatchesOfTinyMessagesShareTheBudget: what is made of them is many times as
// long as they are.
func TestBatchesOfTinyMessagesShareTheBudget(t *testing.T) {
	const limit, count = 1 << 20, 100_000
	r := start(t, func(o *Options) { o.Unfinished = budget.New(limit) })
	body := wire.Size(count) + strings.Repeat(wire.Sized("x"), count)
	var publishing sync.WaitGroup
	for range 8 {
		c := r.connect()
		publishing.Go(func() {
			for range 3 {
				if _, err := io.WriteString(c, "MPUB t\n"+wire.Sized(body)); err != nil {
					t.Error(err)
				}
				if _, data, err := c.AnyFrame(); data != "OK" {
					t.Error(data, err)
				}
			}
		})
	}
	publishing.Wait()
	topic, _ := r.broker.Existing("t")
	if n := topic.Stats().MessageCount; n != 24*count {
		t.Errorf("%d messages", n)
	}
	eventually(t, func() bool { return r.tcp.o.Unfinished.Used() == 0 })
}
