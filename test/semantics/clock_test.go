package semantics

import (
	"fmt"
	"testing"
	"time"

	"qmq/test/wire"
)

// TestStepsOfTheWallClockMoveNoDelay: what is deferred, requeued or in flight
// when the clock is set comes when it would have come, and so does what is
// published afterwards; only timestamps show the step.
func TestStepsOfTheWallClockMoveNoDelay(t *testing.T) {
	const deferral, requeue, timeout = 1800, 1400, 1000
	for _, steps := range [][]time.Duration{{24 * time.Hour}, {-24 * time.Hour}, {24 * time.Hour, -24 * time.Hour}, {-time.Hour, time.Hour, 0}} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			t.Parallel()
			p := startDaemon(t, t.TempDir(), 1000)
			defer p.terminate()
			pubs := wire.Connect(t, p.address)
			subscribe := func(topic, channel string) *wire.Conn {
				k := wire.Connect(t, p.address, wire.Identify(fmt.Sprintf(`{"msg_timeout":%d}`, timeout)), "SUB "+topic+" "+channel+"\nRDY 5\n")
				k.Expect("OK", "OK")
				return k
			}
			held, requeued, late, plain := subscribe("held", "ch"), subscribe("requeued", "ch"), subscribe("late", "ch"), subscribe("plain", "ch")

			began := time.Now()
			pubs.Publish("held", "x")
			pubs.Publish("requeued", "x")
			pubs.Publish("plain", "before")
			pubs.Send(wire.DPub("late", deferral, "x"))
			pubs.Expect("OK")
			first := held.Messages("x")[0]
			requeued.Req(requeued.Messages("x")[0], requeue)
			before := plain.Messages("before")[0]
			plain.Fin(before)
			step := time.Duration(0)
			for _, step = range steps {
				p.step(step)
				pubs.Publish("plain", "after")
				m := plain.Messages("after")[0]
				plain.Fin(m)
				if m.ID <= before.ID {
					t.Errorf("after the step the id is %s, before it was %s", m.ID, before.ID)
				}
				if shown := time.Duration(m.Timestamp - time.Now().UnixNano()); shown.Round(time.Minute) != step {
					t.Errorf("the timestamp is off by %v, want %v", shown, step)
				}
				before = m
			}
			asked := time.Now()
			pubs.Send(wire.DPub("plain", 300, "late"))
			pubs.Expect("OK")
			plain.Messages("late")
			wantDue(t, asked, 300*time.Millisecond)

			if m := held.Messages("x")[0]; m.Attempts != 2 || m.Timestamp != first.Timestamp {
				t.Errorf("first %+v, then %+v", first, m)
			}
			wantDue(t, began, timeout*time.Millisecond)
			requeued.Messages("x")
			wantDue(t, began, requeue*time.Millisecond)
			late.Messages("x")
			wantDue(t, began, deferral*time.Millisecond)
		})
	}
}
