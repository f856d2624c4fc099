package server

import (
	"errors"
	"os"
	"testing"
	"time"

	"qmq/test/wire"
)

const short = 150 * time.Millisecond

func quick(o *Options) { o.HeartbeatInterval = short }

func TestClientThatAnswersHeartbeatsStays(t *testing.T) {
	c := start(t, quick).connect()
	for range 4 {
		if _, data, err := c.AnyFrame(); err != nil || data != "_heartbeat_" {
			t.Fatalf("got %q, %v", data, err)
		}
		c.Send("NOP\n")
	}
	c.ExpectOpen()
}

func TestClientThatSaysNothingIsClosedAfterTwoIntervals(t *testing.T) {
	began := time.Now()
	c := start(t, quick).connect()
	c.ExpectEnd()
	if took := time.Since(began); took < 2*short {
		t.Errorf("closed after %v", took)
	}
}

func TestHeartbeatsComeWhetherOrNotThereIsTraffic(t *testing.T) {
	c := start(t, quick).connect()
	for heartbeats, oks := 0, 0; heartbeats < 3; {
		c.Send(wire.Pub("t", "x"))
		_, data, err := c.AnyFrame()
		switch {
		case err != nil:
			t.Fatal(err)
		case data == "OK":
			oks++
		case data == "_heartbeat_":
			heartbeats++
		}
	}
}

func TestWithoutHeartbeatsTheConnectionMayBeSilent(t *testing.T) {
	c := start(t, quick).connect(wire.Identify(`{"heartbeat_interval":-1}`))
	c.Expect("OK")
	c.SetReadDeadline(time.Now().Add(4 * short))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	c.ExpectOpen()
}

func TestHeartbeatsCanBeSwitchedOnAgain(t *testing.T) {
	c := start(t, quick).connect(wire.Identify(`{"heartbeat_interval":-1}`), wire.Identify(`{"heartbeat_interval":0}`))
	c.Expect("OK", "OK")
	if _, data, err := c.AnyFrame(); err != nil || data != "_heartbeat_" {
		t.Fatalf("got %q, %v", data, err)
	}
}

func TestConnectionThatNeverSaysItsProtocolIsClosed(t *testing.T) {
	r := start(t, func(o *Options) { o.MagicTimeout = short })
	silent, half := r.dial(), r.dial()
	half.Send("  V")
	silent.ExpectEnd()
	half.ExpectEnd()
}

// TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers where clients must
// say who they are.
func TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers(t *testing.T) {
	_, guarded := withAuth(t, mayAll)
	r := start(t, guarded, func(o *Options) { o.AuthTimeout = short })
	r.dial().ExpectEnd()
}

func TestIdentifyAnswer(t *testing.T) {
	c := start(t).connect(
		wire.Identify(`{"client_id":"c","feature_negotiation":true,"tls_v1":true,"deflate_level":9,"sample_rate":10,"short_id":"x"}`),
		wire.Identify(`{"feature_negotiation":true,"msg_timeout":5000,"output_buffer_size":-1}`),
		wire.Identify(`null`))
	c.Expect(
		`{"max_rdy_count":2500,"version":"2.0.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":false,`+
			`"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":10,"auth_required":false,`+
			`"output_buffer_size":16384,"output_buffer_timeout":250,"topology_region":"","topology_zone":""}`,
		`{"max_rdy_count":2500,"version":"2.0.0","max_msg_timeout":900000,"msg_timeout":5000,"tls_v1":false,`+
			`"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":0,"auth_required":false,`+
			`"output_buffer_size":1,"output_buffer_timeout":0,"topology_region":"","topology_zone":""}`,
		"OK")
	c.ExpectOpen()
}
