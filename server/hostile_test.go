package server

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"qmq/test/wire"
)

// wantAnswers reads what a hostile client is answered, and looks whether the connection
// goes on.
func wantAnswers(t *testing.T, c *wire.Conn, h *wire.Hostile) {
	t.Helper()
	for _, want := range h.Answers {
		kind, got, err := c.TryFrame()
		if err != nil || got != want || (kind == wire.Error) != strings.HasPrefix(want, "E_") {
			t.Fatalf("%s: frame %d %q, %v; want %q", h.Name, kind, got, err, want)
		}
	}
	if h.Ends {
		c.ExpectEnd()
		return
	}
	c.Send(wire.HPub("good", "x", "a", "1"))
	c.Expect("OK")
}

// Headers that lie, or are too much, are answered each as it should, come they at once or
// byte by byte, and what follows them is carried out where that can be found.
func TestHostileHeaders(t *testing.T) {
	r := start(t)
	var stored []string
	for _, h := range wire.HostileHeaders("t") {
		c := r.negotiated()
		c.Send(h.Sent)
		wantAnswers(t, c, &h)
		c.Close()
		stored = append(stored, h.Stored...)
		if len(h.Sent) > 100 {
			continue
		}
		c = r.negotiated()
		for i := range len(h.Sent) {
			if _, err := c.Conn.Write([]byte{h.Sent[i]}); err != nil {
				break // it ended as soon as it was known that it must
			}
		}
		if h.Ends {
			continue // which answer comes depends on how much was read
		}
		wantAnswers(t, c, &h)
		c.Close()
		stored = append(stored, h.Stored...)
	}
	r.consume("t", "ch", 100).Messages(stored...)
}

// All that can be refused without an end is sent on one connection, without waiting.
func TestHostileHeadersInOneStream(t *testing.T) {
	r := start(t)
	c := r.negotiated()
	var all strings.Builder
	var stored, answers []string
	for _, h := range wire.HostileHeaders("t") {
		if !h.Ends {
			all.WriteString(h.Sent)
			answers, stored = append(answers, h.Answers...), append(stored, h.Stored...)
		}
	}
	go c.Conn.Write([]byte(all.String() + all.String()))
	h := wire.Hostile{Name: "all at once", Answers: slices.Concat(answers, answers)}
	wantAnswers(t, c, &h)
	r.consume("t", "ch", 100).Messages(slices.Concat(stored, stored)...)
}

// What ends in the middle of a command publishes nothing of it; behind its line it is
// answered what was missing, as by nsqd.
func TestCommandWithHeadersThatIsCutIsNotCarriedOut(t *testing.T) {
	r := start(t)
	for _, command := range []string{wire.HPub("t", "cut", "a", "1"), wire.HMPub("t", wire.Headers("a", "1")+"cut", wire.Headers()+"cut")} {
		for n := range len(command) {
			c := r.negotiated()
			c.Send(command[:n])
			if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if line := strings.Index(command, "\n"); n > line {
				kind, got := c.Frame()
				if _, missing, _ := strings.Cut(got, " "); kind != wire.Error || !strings.HasPrefix(got, "E_BAD_") || !strings.HasPrefix(missing, command[:line-2]+" failed to read ") {
					t.Errorf("%q: %q", command[:n], got)
				}
			}
			c.ExpectEnd()
			c.Close()
		}
	}
	p := r.negotiated()
	p.Send(wire.HPub("t", "whole", "a", "1"))
	p.Expect("OK")
	r.consume("t", "ch", 100).Messages("whole")
}

func TestHeadersAreNegotiatedByTrueAlone(t *testing.T) {
	r := start(t)
	for json, want := range map[string]string{
		`{"feature_negotiation":true,"headers":"true"}`: "E_BAD_BODY IDENTIFY failed to decode JSON body",
		`{"feature_negotiation":true,"headers":1}`:      "E_BAD_BODY IDENTIFY failed to decode JSON body",
		`{"feature_negotiation":true,"headers":[true]}`: "E_BAD_BODY IDENTIFY failed to decode JSON body",
		`{"feature_negotiation":true,"headers":{}}`:     "E_BAD_BODY IDENTIFY failed to decode JSON body",
		`{"feature_negotiation":true,"headers":true`:    "E_BAD_BODY IDENTIFY failed to decode JSON body",
	} {
		c := r.connect(wire.Identify(json))
		c.ExpectError(want)
		c.ExpectEnd()
	}
	for json, on := range map[string]bool{
		`{"headers":true}`: true, // the answer is OK, as one asked for
		`{"feature_negotiation":true,"headers":null}`:                false,
		`{"feature_negotiation":true,"headers":false}`:               false,
		`{"feature_negotiation":true,"headers":true,"headers":true}`: true,
	} {
		c := r.connect(wire.Identify(json))
		c.Frame()
		c.Send(wire.HPub("t", "x", "a", "1"))
		if kind, got := c.Frame(); (kind == wire.Response) != on {
			t.Errorf("%s: %q", json, got)
		}
		c.Close()
	}
	c := r.negotiated()
	c.Send(wire.Identify(`{"feature_negotiation":true}`)) // all is set anew
	c.Frame()
	c.Send(wire.HPub("t", "x"))
	c.ExpectError("E_INVALID invalid command HPUB")
	c.ExpectEnd()
}

// Headers go with every layer of a connection, in batches that are larger than its
// buffers, both ways.
func TestHeadersThroughEveryLayer(t *testing.T) {
	r := start(t, withTLS(t))
	for _, layers := range []string{"", "tls", "snappy", "deflate", "tls snappy", "tls deflate"} {
		t.Run(layers, func(t *testing.T) {
			topic := "t" + strings.ReplaceAll(layers, " ", "-")
			p, k := layered(t, r, layers), layered(t, r, layers)
			k.Consume(topic, "ch", 2500)
			const batches, messages = 5, 200
			sent := make(chan error, 1)
			go func() {
				for b := range batches {
					var list []string
					for m := range messages {
						list = append(list, wire.Headers("n", fmt.Sprint(b, "-", m), "pad", strings.Repeat("h", 1000+m))+bodyOf(b, m))
					}
					if _, err := p.Conn.Write([]byte(wire.HMPub(topic, list...))); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for b := range batches {
				for m := range messages {
					got := k.Headed()
					if want := []string{"n", fmt.Sprint(b, "-", m), "pad", strings.Repeat("h", 1000+m)}; !slices.Equal(got.Headers, want) || got.Body != bodyOf(b, m) {
						t.Fatalf("message %d of batch %d: %.100q with %.100q", m, b, got.Body, got.Headers)
					}
					k.Fin(got.Message)
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			for range batches {
				p.Expect("OK")
			}
			eventually(t, func() bool { s := channelStatsOf(t, r, topic, "ch"); return s.Depth == 0 && s.InFlight == 0 })
			h := wire.HostileHeaders(topic)[0]
			p.Send(h.Sent)
			wantAnswers(t, p, &h)
		})
	}
}

func bodyOf(batch, message int) string {
	return strings.Repeat(fmt.Sprint("body ", batch, " ", message, " "), 100)
}

// layered connects a client with headers and other layers.
func layered(t *testing.T, r *rig, layers string) *wire.Conn {
	t.Helper()
	c := r.connect()
	c.T = t
	features := `"headers":true`
	for layer := range strings.FieldsSeq(layers) {
		features += map[string]string{"tls": `,"tls_v1":true`, "snappy": `,"snappy":true`, "deflate": `,"deflate":true,"deflate_level":1`}[layer]
	}
	if answer := negotiate(c, features); !strings.Contains(answer, `"headers":true`) {
		t.Fatal(answer)
	}
	if strings.Contains(layers, "tls") {
		encrypt(c)
		if err := c.Conn.(*tls.Conn).Handshake(); err != nil {
			t.Fatal(err)
		}
		c.Expect("OK")
	}
	switch {
	case strings.Contains(layers, "snappy"):
		useSnappy(c)
		c.Expect("OK")
	case strings.Contains(layers, "deflate"):
		useDeflate(c, 1)
		c.Expect("OK")
	}
	return c
}
