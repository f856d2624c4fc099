package semantics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
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
			held := wire.Connect(t, p.address, wire.Identify(fmt.Sprintf(`{"msg_timeout":%d}`, timeout)), "SUB held ch\nRDY 5\n")
			held.Expect("OK", "OK")
			requeued, late, plain := wire.Consume(t, p.address, "requeued", "ch", 5), wire.Consume(t, p.address, "late", "ch", 5), wire.Consume(t, p.address, "plain", "ch", 5)

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

// TestStepsOfTheWallClockMoveNoDelayOfASet: the clock of a member is set, be it the one
// that leads the topic or the one that clients are at. What is deferred comes when it
// would have come, and publishing goes on.
func TestStepsOfTheWallClockMoveNoDelayOfASet(t *testing.T) {
	t.Parallel()
	const deferral, requeue = 2500, 2000
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for range 3 {
		addresses = append(addresses, process.Address(t))
	}
	var set []*daemon
	for _, address := range addresses {
		set = append(set, startDaemon(t, t.TempDir(), 1000, "--broadcast-address=127.0.0.1", "--cluster-secret-file="+secret,
			"--cluster-peers="+strings.Join(addresses, ","), "--cluster-address="+address))
	}
	for shard := range 13 {
		set[0].Await(t, fmt.Sprintf("a shard has a leader shard=%d ", shard))
	}
	p := wire.Connect(t, set[0].address)
	k := wire.Consume(t, set[0].address, "t", "ch", 10)
	p.Publish("t", "requeued")
	asked := time.Now()
	k.Req(k.Messages("requeued")[0], requeue)
	p.Send(wire.DPub("t", deferral, "deferred"))
	p.Expect("OK")
	came := make(map[string]time.Time)
	await := func(body string) time.Time { // what is due meanwhile comes before, where steps take long
		for came[body].IsZero() {
			m := k.Message()
			came[m.Body] = time.Now()
			k.Fin(m)
		}
		return came[body]
	}
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour, 0} {
		for i, d := range set {
			d.step(step)
			body := fmt.Sprint("after ", step, " at ", i)
			p.Publish("t", body)
			await(body)
		}
	}
	wantTook(t, await("requeued").Sub(asked), requeue*time.Millisecond)
	wantTook(t, await("deferred").Sub(asked), deferral*time.Millisecond)
	for _, d := range set {
		d.terminate()
	}
}
