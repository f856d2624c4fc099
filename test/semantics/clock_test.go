package semantics

import (
	"fmt"
	"testing"
	"time"
)

// TestStepsOfTheWallClockMoveNoDelay: what is deferred, requeued or in flight
// when the clock is set comes when it would have come, and so does what is
// published afterwards; only timestamps show the step.
func TestStepsOfTheWallClockMoveNoDelay(t *testing.T) {
	const deferral, requeue, timeout = 1800, 1400, 1000
	for _, steps := range [][]time.Duration{{24 * time.Hour}, {-24 * time.Hour}, {24 * time.Hour, -24 * time.Hour}, {-time.Hour, time.Hour, 0}} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, t.TempDir(), 1000)
			defer p.terminate()
			pubs := connect(t, p.address)
			subscribe := func(topic, channel string) *conn {
				k := connect(t, p.address, identify(fmt.Sprintf(`{"msg_timeout":%d}`, timeout)), "SUB "+topic+" "+channel+"\nRDY 5\n")
				k.expect("OK", "OK")
				return k
			}
			held, requeued, late, plain := subscribe("held", "ch"), subscribe("requeued", "ch"), subscribe("late", "ch"), subscribe("plain", "ch")

			began := time.Now()
			pubs.publish("held", "x")
			pubs.publish("requeued", "x")
			pubs.publish("plain", "before")
			pubs.send(dpub("late", deferral, "x"))
			pubs.expect("OK")
			first := held.messages("x")[0]
			requeued.req(requeued.messages("x")[0], requeue)
			before := plain.messages("before")[0]
			plain.fin(before)
			step := time.Duration(0)
			for _, step = range steps {
				p.step(step)
				pubs.publish("plain", "after")
				m := plain.messages("after")[0]
				plain.fin(m)
				if m.id <= before.id {
					t.Errorf("after the step the id is %s, before it was %s", m.id, before.id)
				}
				if shown := time.Duration(m.timestamp - time.Now().UnixNano()); shown.Round(time.Minute) != step {
					t.Errorf("the timestamp is off by %v, want %v", shown, step)
				}
				before = m
			}
			asked := time.Now()
			pubs.send(dpub("plain", 300, "late"))
			pubs.expect("OK")
			plain.messages("late")
			wantDue(t, asked, 300*time.Millisecond)

			if m := held.messages("x")[0]; m.attempts != 2 || m.timestamp != first.timestamp {
				t.Errorf("first %+v, then %+v", first, m)
			}
			wantDue(t, began, timeout*time.Millisecond)
			requeued.messages("x")
			wantDue(t, began, requeue*time.Millisecond)
			late.messages("x")
			wantDue(t, began, deferral*time.Millisecond)
		})
	}
}
