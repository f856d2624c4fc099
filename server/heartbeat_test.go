package server

import (
	"errors"
	"os"
	"testing"
	"time"
)

const short = 150 * time.Millisecond

func quick(o *Options) { o.HeartbeatInterval = short }

func TestClientThatAnswersHeartbeatsStays(t *testing.T) {
	c := start(t, quick).connect()
	for range 4 {
		if _, data, err := c.tryFrame(); err != nil || data != "_heartbeat_" {
			t.Fatalf("got %q, %v", data, err)
		}
		c.send("NOP\n")
	}
	c.expectOpen()
}

func TestClientThatSaysNothingIsClosedAfterTwoIntervals(t *testing.T) {
	began := time.Now()
	c := start(t, quick).connect()
	c.expectEnd()
	if took := time.Since(began); took < 2*short {
		t.Errorf("closed after %v", took)
	}
}

func TestHeartbeatsComeWhetherOrNotThereIsTraffic(t *testing.T) {
	c := start(t, quick).connect()
	for heartbeats, oks := 0, 0; heartbeats < 3; {
		c.send(pub("t", "x"))
		_, data, err := c.tryFrame()
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
	c := start(t, quick).connect(identify(`{"heartbeat_interval":-1}`))
	c.expect("OK")
	c.SetReadDeadline(time.Now().Add(4 * short))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	c.expectOpen()
}

func TestHeartbeatsCanBeSwitchedOnAgain(t *testing.T) {
	c := start(t, quick).connect(identify(`{"heartbeat_interval":-1}`), identify(`{"heartbeat_interval":0}`))
	c.expect("OK", "OK")
	if _, data, err := c.tryFrame(); err != nil || data != "_heartbeat_" {
		t.Fatalf("got %q, %v", data, err)
	}
}

func TestConnectionThatNeverSaysItsProtocolIsClosed(t *testing.T) {
	r := start(t, func(o *Options) { o.MagicTimeout = short })
	silent, half := r.dial(), r.dial()
	half.send("  V")
	silent.expectEnd()
	half.expectEnd()
}

// TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers where clients must
// say who they are.
func TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers(t *testing.T) {
	_, guarded := withAuth(t, mayAll)
	r := start(t, guarded, func(o *Options) { o.AuthTimeout = short })
	r.dial().expectEnd()
}

func TestIdentifyAnswer(t *testing.T) {
	c := start(t).connect(
		identify(`{"client_id":"c","feature_negotiation":true,"tls_v1":true,"deflate_level":9,"sample_rate":10,"short_id":"x"}`),
		identify(`{"feature_negotiation":true,"msg_timeout":5000,"output_buffer_size":-1}`),
		identify(`null`))
	c.expect(
		`{"max_rdy_count":2500,"version":"2.0.0","max_msg_timeout":900000,"msg_timeout":60000,"tls_v1":false,`+
			`"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":10,"auth_required":false,`+
			`"output_buffer_size":16384,"output_buffer_timeout":250,"topology_region":"","topology_zone":""}`,
		`{"max_rdy_count":2500,"version":"2.0.0","max_msg_timeout":900000,"msg_timeout":5000,"tls_v1":false,`+
			`"deflate":false,"deflate_level":6,"max_deflate_level":6,"snappy":false,"sample_rate":0,"auth_required":false,`+
			`"output_buffer_size":1,"output_buffer_timeout":0,"topology_region":"","topology_zone":""}`,
		"OK")
	c.expectOpen()
}
