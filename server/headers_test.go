package server

import (
	"slices"
	"strings"
	"testing"

	"qmq/test/wire"
)

const withHeaders = `{"client_id":"c","feature_negotiation":true,"headers":true}`

// negotiated connects a client that has negotiated headers.
func (r *rig) negotiated() *wire.Conn {
	r.t.Helper()
	c := r.connect(wire.Identify(withHeaders))
	if _, answer := c.Frame(); !strings.Contains(answer, `"headers":true`) {
		r.t.Fatalf("the answer is %s", answer)
	}
	return c
}

func TestHeadersComeToThoseWhoNegotiatedThem(t *testing.T) {
	r := start(t)
	plain := r.consume("t", "plain", 10)
	headed, p := r.negotiated(), r.negotiated()
	headed.Consume("t", "headed", 10)
	p.Send(wire.HPub("t", "one", "A", "1", "a", "2", "key", "k", "priority", "3"))
	p.Expect("OK")
	plain.Messages("one")
	m := headed.Headed()
	if want := []string{"key", "k", "priority", "3", "A", "1", "a", "2"}; m.Body != "one" || !slices.Equal(m.Headers, want) {
		t.Fatalf("%q with %q, want %q", m.Body, m.Headers, want)
	}
	headed.Fin(m.Message)
	p.Send(wire.Pub("t", "two") + wire.HPub("t", "three"))
	p.Expect("OK", "OK")
	headed.Messages("two", "three") // as they have none
	plain.Messages("two", "three")
	p.Send(wire.HMPub("t", wire.Headers("n", "4")+"four", wire.Headers()+"five", wire.Headers("n", "6")+"six"))
	p.Expect("OK")
	if m := headed.Headed(); m.Body != "four" || !slices.Equal(m.Headers, []string{"n", "4"}) {
		t.Fatalf("%q with %q", m.Body, m.Headers)
	}
	headed.Messages("five")
	if m := headed.Headed(); m.Body != "six" || m.Attempts != 1 {
		t.Fatalf("%q", m.Body)
	}
	plain.Messages("four", "five", "six")
	for c := range r.tcp.Clients() {
		if c.Headers != (c.ID == "c") {
			t.Errorf("of %s it is told that headers are %v", c.ID, c.Headers)
		}
	}
}

func TestDelayOfAMessageWithHeaders(t *testing.T) {
	r := start(t)
	c, p := r.negotiated(), r.negotiated()
	c.Consume("t", "ch", 10)
	p.Send("HPUB t 20\n" + wire.Sized(wire.Headers("a", "1")+"late"))
	p.Expect("OK")
	if m := c.Headed(); m.Body != "late" {
		t.Fatalf("%q", m.Body)
	}
}

func TestWhoDidNotNegotiateHeadersCannotPublishThem(t *testing.T) {
	r := start(t)
	for _, command := range []string{wire.HPub("t", "x"), wire.HMPub("t", wire.Headers()+"x")} {
		c := r.connect(command)
		c.ExpectError("E_INVALID invalid command " + strings.Fields(command)[0])
		c.ExpectEnd()
	}
}

func TestHeadersThatCannotBeAreRefusedAndTheConnectionStays(t *testing.T) {
	r := start(t)
	c := r.negotiated()
	many := slices.Repeat([]string{"a", "1"}, 65)
	c.Send(wire.Pub("t", "first") + wire.HPub("t", "x", "a b", "1") + wire.HPub("t", "x", many...) + wire.HPub("t", "x", "priority", "10") +
		wire.HPub("t", "x", "a", strings.Repeat("x", 20_000)) +
		wire.HMPub("t", wire.Headers("a", "1")+"one", wire.Headers("key", "")+"two") + wire.HPub("t", "last", "a", "1"))
	c.Expect("OK")
	const not = " failed invalid headers: "
	c.ExpectError(`E_HPUB_FAILED HPUB` + not + "a key must be 1 to 255 letters, digits and !#$%&'*+-.^_`|~, not \"a b\"")
	c.ExpectError(`E_HPUB_FAILED HPUB` + not + "there are more than 64")
	c.ExpectError(`E_HPUB_FAILED HPUB` + not + `priority must be 0 to 9, not "10"`)
	c.ExpectError(`E_HPUB_FAILED HPUB` + not + "they take more than 16384 bytes")
	c.ExpectError(`E_HMPUB_FAILED HMPUB failed message 1: invalid headers: key must be 1 to 255 bytes long, not 0`)
	c.Expect("OK")
	k := r.consume("t", "ch", 10)
	k.Messages("first", "last")
}

func TestTheLargestMessageHasTheLargestHeaders(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxMsgSize, o.MaxBodySize = 2000, 3000 })
	c, p := r.negotiated(), r.negotiated()
	c.Consume("t", "ch", 1)
	value, body := strings.Repeat("v", 16<<10-4), strings.Repeat("b", 2000)
	p.Send(wire.HPub("t", body, "k", value))
	p.Expect("OK")
	if m := c.Headed(); m.Body != body || !slices.Equal(m.Headers, []string{"k", value}) {
		t.Fatalf("%d bytes with %d headers", len(m.Body), len(m.Headers))
	}
	p.Send(wire.HPub("t", body+"x", "k", value))
	p.ExpectError("E_BAD_MESSAGE HPUB message too big 2001 > 2000")
	p.ExpectEnd()
}
