package server

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"qmq/internal/auth"
	"qmq/protocol"
	"qmq/test/wire"
)

const interval = 10 * time.Second

func quick(o *Options) { o.HeartbeatInterval = interval }

func TestClientThatAnswersHeartbeatsStays(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic)
		for range 4 {
			if _, data, err := c.AnyFrame(); err != nil || data != wire.Heartbeat {
				t.Fatalf("got %q, %v", data, err)
			}
			c.Send("NOP\n")
		}
		c.ExpectOpen()
		c.Close()
	})
}

func TestClientThatSaysNothingIsClosedAfterTwoIntervals(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		began := time.Now()
		c := dial()
		c.Send(protocol.Magic)
		heartbeats := 0
		for {
			_, data, err := c.AnyFrame()
			if err == io.EOF {
				break
			}
			if err != nil || data != wire.Heartbeat {
				t.Fatalf("got %q, %v", data, err)
			}
			heartbeats++
		}
		if took := time.Since(began); took < 2*interval || took > 3*interval || heartbeats < 1 || heartbeats > 2 {
			t.Errorf("closed after %v and %d heartbeats", took, heartbeats)
		}
	})
}

func TestHeartbeatsComeWhetherOrNotThereIsTraffic(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic)
		for heartbeats := 0; heartbeats < 3; {
			time.Sleep(time.Second) // of the bubble's clock
			go c.Write([]byte(wire.Pub("t", "x")))
			for data := ""; data != "OK"; {
				var err error
				if _, data, err = c.AnyFrame(); err != nil {
					t.Fatal(err)
				}
				if data == wire.Heartbeat {
					heartbeats++
				}
			}
		}
		c.Close()
	})
}

func TestHeartbeatsGoOnAfterCLS(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic)
		c.Consume("t", "ch", 1)
		c.Send("CLS\n")
		c.Expect("CLOSE_WAIT")
		for range 4 {
			if _, data, err := c.AnyFrame(); err != nil || data != wire.Heartbeat {
				t.Fatalf("got %q, %v", data, err)
			}
			c.Send("NOP\n")
		}
		c.ExpectOpen()
		c.Close()
	})
}

func TestWithoutHeartbeatsTheConnectionMayBeSilent(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic + wire.Identify(`{"heartbeat_interval":-1}`))
		c.Expect("OK")
		c.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		c.ExpectOpen()
		c.Close()
	})
}

func TestHeartbeatsCanBeSwitchedOnAgain(t *testing.T) {
	inFakeTime(t, quick, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		c := dial()
		c.Send(protocol.Magic + wire.Identify(`{"heartbeat_interval":-1}`))
		c.Expect("OK")
		c.Send(wire.Identify(`{"heartbeat_interval":0}`))
		c.Expect("OK")
		if _, data, err := c.AnyFrame(); err != nil || data != wire.Heartbeat {
			t.Fatalf("got %q, %v", data, err)
		}
		c.Close()
	})
}

func TestConnectionThatNeverSaysItsProtocolIsClosed(t *testing.T) {
	inFakeTime(t, func(o *Options) { o.MagicTimeout = 5 * time.Second }, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		for _, say := range []string{"", "  V"} {
			began := time.Now()
			c := dial()
			c.Send(say)
			c.ExpectEnd()
			if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
				t.Errorf("%q: closed after %v", say, took)
			}
		}
	})
}

// TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers where clients must
// say who they are.
func TestStrangerThatNeverSaysItsProtocolHasNoMoreTimeThanOthers(t *testing.T) {
	inFakeTime(t, func(o *Options) {
		o.Auth = auth.New(auth.Options{Addresses: []string{"127.0.0.1:1"}, Logger: o.Logger})
		o.AuthTimeout = 2 * time.Second
	}, func(t *testing.T, _ *TCP, dial func() *wire.Conn) {
		began := time.Now()
		dial().ExpectEnd()
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
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
