package daemon

import (
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/broker"
	"qmq/channel"
	"qmq/config"
	"qmq/diskqueue"
	"qmq/message"
	"qmq/test/node"
)

// drained is a node with a message that waits for a consumer.
type drained struct {
	*drain
	t        *testing.T
	broker   *broker.Broker
	consumer *channel.Consumer
	got      []channel.Answer
}

// inDrain runs a test on a node that may be drained for a minute.
func inDrain(t *testing.T, test func(*drained)) {
	synctest.Test(t, func(t *testing.T) {
		b := node.Open(t)
		d := &drained{t: t, broker: b, drain: newDrain(b, nil, time.Minute, slog.New(slog.DiscardHandler))}
		defer d.close()
		tp, err := b.Topic("t")
		if err != nil {
			t.Fatal(err)
		}
		c, err := tp.Channel("c")
		if err != nil {
			t.Fatal(err)
		}
		if d.consumer, err = c.Subscribe(channel.ConsumerOptions{MsgTimeout: time.Hour, Wake: func() {}, Closed: func() {}}); err != nil {
			t.Fatal(err)
		}
		d.publish()
		test(d)
	})
}

func (d *drained) publish() {
	p, err := d.broker.Publisher("t")
	if err != nil {
		d.t.Fatal(err)
	}
	var records diskqueue.Batch
	records.Add(&message.Meta{Timestamp: 1}, []byte("x"))
	if _, err := d.broker.Publish(p, &records); err != nil {
		d.t.Fatal(err)
	}
}

// Put is part of channel.Sink.
func (d *drained) Put(m *channel.Message) bool {
	d.got = append(d.got, channel.Answer{Op: channel.Finish, ID: m.ID})
	return true
}

func (d *drained) finishAll() {
	d.consumer.SetReady(10)
	d.consumer.Take(d, 10)
	d.consumer.Answer(d.got)
}

func (d *drained) isOver() bool {
	synctest.Wait()
	select {
	case <-d.over:
		return true
	default:
		return false
	}
}

func TestDrainedNodeStopsWhenItsConsumersHaveEmptiedIt(t *testing.T) {
	inDrain(t, func(d *drained) {
		d.Begin()
		<-time.After(30 * time.Second)
		if d.isOver() {
			t.Fatal("it stops while a message waits")
		}
		d.Begin() // it is under way
		d.finishAll()
		<-time.After(2 * lookDrained)
		if !d.isOver() {
			t.Error("it does not stop though it is empty")
		}
		if d.End() || !d.broker.Draining() {
			t.Error("it takes publishes again though it stops")
		}
	})
}

func TestDrainedNodeStopsWhenTheTimeIsOver(t *testing.T) {
	inDrain(t, func(d *drained) {
		d.Begin()
		<-time.After(time.Minute - time.Second)
		if d.isOver() {
			t.Fatal("it stops before")
		}
		<-time.After(2 * time.Second)
		if !d.isOver() {
			t.Error("it does not stop")
		}
	})
}

func TestUndrainedNodeIsAsBefore(t *testing.T) {
	inDrain(t, func(d *drained) {
		if !d.End() {
			t.Error("there was nothing to end, and it says that it is too late")
		}
		d.Begin()
		<-time.After(time.Second)
		if !d.End() || d.broker.Draining() {
			t.Fatal("it is still drained")
		}
		if _, draining := d.Until(); draining {
			t.Error("it has a time at which it stops")
		}
		d.finishAll()
		<-time.After(2 * time.Minute)
		if d.isOver() {
			t.Error("it stops all the same")
		}
		d.publish()
		d.Begin() // the minute begins anew
		<-time.After(50 * time.Second)
		if d.isOver() {
			t.Error("it stops too early when it is drained again")
		}
	})
}

func TestSIGTERMDrainsWhereItIsToldTo(t *testing.T) {
	inDrain(t, func(d *drained) {
		q := &qd{drain: d.drain}
		if q.DrainFor(syscall.SIGTERM) {
			t.Error("by default it does not stop")
		}
		q.onTerm = config.SigTermDrain
		if q.DrainFor(os.Interrupt) {
			t.Error("SIGINT does not stop it")
		}
		d.Begin()
		if !q.DrainFor(syscall.SIGTERM) {
			t.Error("the first one stops a node that is drained")
		}
		<-time.After(SameSignal / 2)
		if !q.DrainFor(syscall.SIGTERM) {
			t.Error("two within a moment are one")
		}
		<-time.After(SameSignal)
		if q.DrainFor(syscall.SIGTERM) {
			t.Error("the second one does not stop it")
		}
		d.End()
		if !q.DrainFor(syscall.SIGTERM) || !d.broker.Draining() {
			t.Error("one after it was taken back does not drain")
		}
	})
}

func TestDrainedProcessExitsWell(t *testing.T) {
	args := []string{"--data-path", privateDir(t), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--sigterm=drain"}
	r := start(t, args...)
	web := r.line("HTTP: listening on ")
	ask(t, "POST", web, "/pub?topic=t", "x")
	r.signals <- syscall.SIGTERM
	r.line("draining: publishes are refused")
	r.line("drained: no consumer of this node has anything to wait for left_in=1")
	if kept := r.line("stays on this node "); !strings.Contains(kept, `topic=t channel="" why="no channel" depth=1`) {
		t.Errorf("it leaves %s", kept)
	}
	r.line("stopping: the node was drained")
	if code := r.exitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	r = start(t, args...) // it is not kept over a restart
	web = r.line("HTTP: listening on ")
	ask(t, "POST", web, "/pub?topic=t", "x")
	ask(t, "POST", web, "/drain", "")
	r.line("stopping: the node was drained")
	if code := r.exitCode(); code != exitOK {
		t.Errorf("exit code after POST /drain %d", code)
	}
}
