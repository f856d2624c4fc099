package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
)

// stopping is a server in fake time that is about to close, with a consumer
// that has messages.
func stopping(t *testing.T, messages int) (r *rig, c *wire.Conn, ids []string) {
	b := node.Open(t)
	l := wire.NewPipeListener()
	r = &rig{t: t, broker: b, tcp: NewTCP(b, DefaultOptions())}
	served := make(chan error, 1)
	go func() { served <- r.tcp.Serve(l) }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c = newClient(t, l.Dial())
	c.Send(protocol.Magic + "SUB t ch\n")
	c.Expect("OK")
	c.Send(wire.MPub("t", strings.Fields(strings.Repeat("x ", messages+1))...))
	c.Expect("OK")
	c.Send(fmt.Sprintf("RDY %d\n", messages))
	for range messages {
		ids = append(ids, c.Message().ID)
	}
	return r, c, ids
}

// TestAnswersOnTheirWayCountWhenTheServerCloses: a client that sends small
// packets late still gets its FINs through, and nothing more is delivered.
func TestAnswersOnTheirWayCountWhenTheServerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 20
		r, c, ids := stopping(t, messages)
		closed := make(chan error)
		go func() { closed <- r.tcp.Close() }()
		for i, id := range ids {
			if i%5 == 0 {
				time.Sleep(40 * time.Millisecond) // of the bubble's clock, as long as TCP delays
			}
			c.Send("FIN " + id + "\n")
		}
		began := time.Now()
		c.ExpectEnd()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Close waited for %v after the last answer", took)
		}
		topic, _ := r.broker.Existing("t")
		ch, _ := topic.ExistingChannel("ch")
		if s := ch.Stats(); s.Depth != 1 || s.InFlight != 0 || s.Delivered != messages {
			t.Errorf("%+v", s)
		}
	})
}

func TestCloseWaitsNoLongerThanItMust(t *testing.T) {
	for _, test := range []struct {
		name string
		say  func(c *wire.Conn, ids []string)
		want time.Duration
	}{
		{"quiet", func(*wire.Conn, []string) {}, quietAnswers},
		{"talks for ever", func(c *wire.Conn, ids []string) {
			for {
				time.Sleep(10 * time.Millisecond)
				if _, err := c.Write([]byte("TOUCH " + ids[0] + "\nRDY 5\n")); err != nil {
					return
				}
			}
		}, lastAnswers},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, c, ids := stopping(t, 3)
			began, said := time.Now(), make(chan struct{})
			go func() {
				defer close(said)
				test.say(c, ids)
			}()
			go io.Copy(io.Discard, c)
			if err := r.tcp.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != test.want {
				t.Errorf("%s: Close took %v, want %v", test.name, took, test.want)
			}
			<-said
			c.Close()
		})
	}
}

func TestCloseDoesNotWaitForClientsThatOweNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c, ids := stopping(t, 1)
		c.Send("RDY 0\nFIN " + ids[0] + "\n")
		c.ExpectOpen()
		began := time.Now()
		go io.Copy(io.Discard, c)
		if err := r.tcp.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Close took %v", took)
		}
	})
}
