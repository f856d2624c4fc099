package server

import (
	"bytes"
	stdflate "compress/flate"
	goflag "flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/nsqio/go-nsq"

	"qmq/test/wire"
)

// packed is a client's side of a compressed connection. Each write is flushed.
type packed struct {
	net.Conn
	r     io.Reader
	write func([]byte) (int, error)
}

func (p *packed) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p *packed) Write(b []byte) (int, error) { return p.write(b) }

// useSnappy begins snappy on the client's side, which begins a new stream for
// every write, as pynsq does.
func useSnappy(c *wire.Conn) {
	conn := c.Conn
	c.Conn = &packed{conn, snappy.NewReader(conn), func(b []byte) (int, error) {
		w := snappy.NewBufferedWriter(conn)
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
		return len(b), w.Flush()
	}}
}

// useDeflate begins deflate on the client's side.
func useDeflate(c *wire.Conn, level int) {
	conn := c.Conn
	w, err := stdflate.NewWriter(conn, level)
	if err != nil {
		c.T.Fatal(err)
	}
	c.Conn = &packed{conn, stdflate.NewReader(conn), func(b []byte) (int, error) {
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
		return len(b), w.Flush()
	}}
}

// upgrade negotiates one feature, or none, and begins it on the client's side.
func upgrade(c *wire.Conn, feature string) {
	c.T.Helper()
	if feature == "" {
		return
	}
	negotiate(c, feature)
	switch feature {
	case `"tls_v1":true`:
		encrypt(c)
	case `"snappy":true`:
		useSnappy(c)
	case `"deflate":true`:
		useDeflate(c, 1)
	}
	c.Expect("OK")
}

func TestCompressionIsNegotiatedAndShown(t *testing.T) {
	r := start(t, withTLS(t))
	for _, test := range []struct {
		features, answer string
		snappy, deflate  bool
	}{
		{`"snappy":true`, `"tls_v1":false,"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":true`, true, false},
		{`"deflate":true`, `"tls_v1":false,"deflate":true,"deflate_level":6,"max_deflate_level":6,"snappy":false`, false, true},
		{`"deflate":true,"deflate_level":1`, `"deflate":true,"deflate_level":1`, false, true},
		{`"deflate":true,"deflate_level":9`, `"deflate":true,"deflate_level":6`, false, true},
		{`"tls_v1":true,"snappy":true`, `"tls_v1":true,"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":true`, true, false},
		{`"tls_v1":true,"deflate":true`, `"tls_v1":true,"deflate":true`, false, true},
	} {
		c := r.connect()
		if answer := negotiate(c, test.features); !strings.Contains(answer, test.answer) {
			t.Errorf("%s: %s", test.features, answer)
		}
		if strings.Contains(test.features, "tls") {
			encrypt(c)
			c.Expect("OK")
		}
		if strings.Contains(test.features, "snappy") {
			useSnappy(c)
		} else {
			useDeflate(c, 6)
		}
		c.Expect("OK")
		body := strings.Repeat("compressible ", 20_000)
		c.Send("SUB t ch\n")
		c.Expect("OK")
		c.Send(wire.Pub("t", body))
		c.Expect("OK")
		c.Send("RDY 1\n")
		m := c.Message()
		if m.Body != body {
			t.Errorf("%s: %d bytes came, want %d", test.features, len(m.Body), len(body))
		}
		if k := r.clientOf(c); k.Snappy != test.snappy || k.Deflate != test.deflate {
			t.Errorf("%s: %+v", test.features, k)
		}
		c.Send("FIN " + m.ID + "\n")
		eventually(t, func() bool { return channelStatsOf(t, r, "t", "ch").Depth == 0 })
		c.Close()
	}
}

func TestBothCompressionsAreRefused(t *testing.T) {
	c := start(t).connect(wire.Identify(`{"feature_negotiation":true,"snappy":true,"deflate":true}`))
	c.ExpectError("E_IDENTIFY_FAILED cannot enable both deflate and snappy compression")
	c.ExpectEnd()
}

func TestCompressionThatIsOffIsNotOffered(t *testing.T) {
	c := start(t, func(o *Options) { o.Snappy, o.Deflate, o.MaxDeflateLevel = false, false, 3 }).connect()
	want := `"deflate":false,"deflate_level":3,"max_deflate_level":3,"snappy":false`
	if answer := negotiate(c, `"snappy":true,"deflate":true`); !strings.Contains(answer, want) {
		t.Error(answer)
	}
	c.ExpectOpen()
}

func TestCommandsBehindIdentifyAreReadInTheNewEncoding(t *testing.T) {
	c := start(t).dial()
	var all bytes.Buffer
	all.WriteString("  V2" + wire.Identify(`{"feature_negotiation":true,"snappy":true}`))
	w := snappy.NewBufferedWriter(&all)
	io.WriteString(w, wire.Pub("t", "x"))
	w.Flush()
	c.Send(all.String())
	c.Frame()
	useSnappy(c)
	c.Expect("OK", "OK")
}

// snappyStream begins a stream.
const snappyStream = "\xff\x06\x00\x00sNaPpY"

func TestCorruptCompressionEndsTheConnection(t *testing.T) {
	var good bytes.Buffer
	w := snappy.NewBufferedWriter(&good)
	io.WriteString(w, wire.Pub("t", "x"))
	w.Flush()
	badSum := bytes.Clone(good.Bytes())
	badSum[15] ^= 1
	for name, test := range map[string]struct{ features, sent string }{
		"no stream":        {`"snappy":true`, good.String()[10:]},
		"bad identifier":   {`"snappy":true`, "\xff\x06\x00\x00sNaPpX"},
		"bad sum":          {`"snappy":true`, string(badSum)},
		"reserved chunk":   {`"snappy":true`, snappyStream + "\x02\x01\x00\x00x"},
		"chunk too long":   {`"snappy":true`, snappyStream + "\x00\xff\xff\xff"},
		"chunk too short":  {`"snappy":true`, snappyStream + "\x01\x03\x00\x00abc"},
		"announces 4 GiB":  {`"snappy":true`, snappyStream + "\x00\x0a\x00\x00sums\xff\xff\xff\xff\x0f\x00"},
		"plain in deflate": {`"deflate":true`, "\xff\xff\xff\xff\xff"},
	} {
		c := start(t).connect()
		negotiate(c, test.features)
		raw := c.Conn
		if strings.Contains(test.features, "snappy") {
			useSnappy(c)
		} else {
			useDeflate(c, 1)
		}
		c.Expect("OK")
		if _, err := io.WriteString(raw, test.sent); err != nil {
			t.Fatal(err)
		}
		if _, data, err := c.AnyFrame(); err == nil {
			t.Errorf("%s: got %q", name, data)
		}
	}
}

func TestSkippableSnappyChunksAreSkipped(t *testing.T) {
	c := start(t).connect()
	negotiate(c, `"snappy":true`)
	raw := c.Conn
	useSnappy(c)
	c.Expect("OK")
	padding := snappyStream + "\xfe\x40\x42\x0f" + strings.Repeat("\x00", 1_000_000) + "\x80\x00\x00\x00"
	if _, err := io.WriteString(raw, padding); err != nil {
		t.Fatal(err)
	}
	c.ExpectOpen()
}

var everyMessage = goflag.Bool("every-message", false, "publish 100,000 messages in each encoding instead of a few")

// TestGoNSQInEveryEncoding: a stock client publishes and consumes, asked who it
// is or not.
func TestGoNSQInEveryEncoding(t *testing.T) {
	for name, change := range map[string]func(*nsq.Config){
		"plain":            func(*nsq.Config) {},
		"TLS":              func(c *nsq.Config) { c.TlsV1 = true },
		"snappy":           func(c *nsq.Config) { c.Snappy = true },
		"deflate":          func(c *nsq.Config) { c.Deflate = true },
		"deflate 1":        func(c *nsq.Config) { c.Deflate, c.DeflateLevel = true, 1 },
		"TLS and snappy":   func(c *nsq.Config) { c.TlsV1, c.Snappy = true, true },
		"TLS and deflate":  func(c *nsq.Config) { c.TlsV1, c.Deflate = true, true },
		"TLS 1.2, deflate": func(c *nsq.Config) { c.TlsV1, c.TlsConfig.MaxVersion, c.Deflate = true, 0x303, true },
	} {
		config := func(c *nsq.Config) {
			c.TlsConfig = trusting()
			change(c)
		}
		overTLS := func(o *Options) { o.TLSRequired = strings.Contains(name, "TLS") }
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishAndConsume(t, start(t, withTLS(t), overTLS), messagesOr(10_000), config)
		})
		t.Run(name+", AUTH", func(t *testing.T) {
			t.Parallel()
			_, auth := withAuth(t, mayAll)
			known := func(c *nsq.Config) { c.AuthSecret = "s3c" }
			publishAndConsume(t, start(t, withTLS(t), overTLS, auth), messagesOr(1_000), func(c *nsq.Config) { config(c); known(c) })
		})
	}
}

// messagesOr is how many messages to publish unless told to do it thoroughly.
func messagesOr(few int) int {
	if *everyMessage {
		return 100_000
	}
	return few
}

// publishAndConsume sends messages through the server and checks each.
func publishAndConsume(t *testing.T, r *rig, messages int, change func(*nsq.Config)) {
	t.Helper()
	const batch = 100
	var mu sync.Mutex
	seen := make(map[string]int, messages)
	done := make(chan struct{})
	r.consumer("t", "ch", func(m *nsq.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[string(m.Body)]++; len(seen) == messages {
			close(done)
		}
		return nil
	}, func(c *nsq.Config) { c.MaxInFlight = 500 }, change)
	p := r.producer(change)
	pad := strings.Repeat("abcdef ", 20)
	for i := 0; i < messages; i += batch {
		var bodies [][]byte
		for j := range batch {
			bodies = append(bodies, fmt.Appendf(nil, "%d %s", i+j, pad))
		}
		if err := p.MultiPublish("t", bodies); err != nil {
			t.Fatal(err)
		}
	}
	for before, ended := -1, false; !ended; { // slow is fine, as long as something comes
		select {
		case <-done:
			ended = true
		case <-time.After(testTimeout):
			mu.Lock()
			n := len(seen)
			mu.Unlock()
			if n == before {
				t.Fatalf("nothing comes after %d of %d messages", n, messages)
			}
			before = n
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for body, n := range seen {
		if n != 1 {
			t.Errorf("%.10q came %d times", body, n)
		}
	}
}
