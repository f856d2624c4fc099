package server

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"qmq/broker"
	"qmq/internal/vfs/crashfs"
	"qmq/protocol"
	"qmq/test/node"
	"qmq/test/wire"
)

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	const id = "00000000deadbeef"
	r := start(t)
	c := r.consume("own", "ch", 0)
	var sent strings.Builder
	for i := range 50 {
		sent.WriteString(wire.Pub(fmt.Sprintf("topic%d", i%3), "a"))
		sent.WriteString("FIN " + id + "\nNOP\n")
		sent.WriteString(wire.MPub("topic1", "b", "c"))
		sent.WriteString("TOUCH " + id + "\n")
		sent.WriteString(wire.DPub("topic2", 0, "d"))
	}
	c.Send(sent.String())
	for range 50 {
		c.Expect("OK")
		c.ExpectError("E_FIN_FAILED FIN " + id + " failed ID not in flight")
		c.Expect("OK")
		c.ExpectError("E_TOUCH_FAILED TOUCH " + id + " failed ID not in flight")
		c.Expect("OK")
	}
	for name, want := range map[string]uint64{"topic0": 17, "topic1": 17 + 100, "topic2": 16 + 50} {
		topic, ok := r.broker.Existing(name)
		if !ok {
			t.Fatal(name, "does not exist")
		}
		if got := topic.Stats().MessageCount; got != want {
			t.Errorf("%s has %d messages, want %d", name, got, want)
		}
	}
}

func TestPublishesToMoreTopicsThanABatchHolds(t *testing.T) {
	const topics = 3*maxBatchTopics + 1
	r := start(t)
	var sent strings.Builder
	for i := range 2 * topics {
		sent.WriteString(wire.Pub(fmt.Sprintf("topic%d", i%topics), "x"))
	}
	c := r.connect(sent.String())
	for range 2 * topics {
		c.Expect("OK")
	}
	if got := len(r.broker.Topics()); got != topics {
		t.Errorf("%d topics, want %d", got, topics)
	}
}

// TestEverythingPublishedArrives goes through many batches and all sizes of
// buffers.
func TestEverythingPublishedArrives(t *testing.T) {
	r := start(t)
	consumer := r.consume("sizes", "ch", 2500)
	var bodies []string
	var sent strings.Builder
	for i := range 400 {
		body := strings.Repeat(string(rune('a'+i%26)), 1+(i*i*37)%20000)
		bodies = append(bodies, body)
		sent.WriteString(wire.Pub("sizes", body))
	}
	for _, n := range []int{1 << 20, 1, 1<<20 - 1} {
		body := strings.Repeat("z", n)
		bodies = append(bodies, body)
		sent.WriteString(wire.Pub("sizes", body))
	}
	producer := r.connect()
	go producer.Write([]byte(sent.String()))
	for range bodies {
		producer.Expect("OK")
	}
	for i, want := range bodies {
		m := consumer.Message()
		if m.Body != want {
			t.Fatalf("message %d has %d bytes, want %d", i, len(m.Body), len(want))
		}
		consumer.Send("FIN " + m.ID + "\n")
	}
}

func TestLargestMpub(t *testing.T) {
	var bodies []string
	for range 5 {
		bodies = append(bodies, strings.Repeat("m", 1<<20-5))
	}
	c := start(t).connect()
	go c.Write([]byte(wire.MPub("big", bodies...)))
	c.Expect("OK")
}

func TestPublishAfterDeletionGoesToTheNewTopic(t *testing.T) {
	r := start(t)
	c := r.connect(wire.Pub("phoenix", "old"))
	c.Expect("OK")
	if err := r.broker.DeleteTopic("phoenix"); err != nil {
		t.Fatal(err)
	}
	c.Send(wire.Pub("phoenix", "new"))
	c.Expect("OK")
	k := r.consume("phoenix", "ch", 1)
	if m := k.Message(); m.Body != "new" {
		t.Fatalf("got %q", m.Body)
	}
}

// failingDisk is a server whose disk can be told to refuse writes.
func failingDisk(t *testing.T) (r *rig, fail func(bool)) {
	disk := crashfs.New(1)
	r = startOn(t, node.Open(t, func(o *broker.Options) { o.FS = disk }))
	return r, func(on bool) {
		if !on {
			disk.Fail(nil)
			return
		}
		disk.Fail(func(op crashfs.Op, name string) error {
			if op == crashfs.OpWrite && strings.HasSuffix(name, ".seg") {
				return errors.New("no space left on device")
			}
			return nil
		})
	}
}

func TestRefusedPublishesAreAnsweredEachAndKeepTheConnection(t *testing.T) {
	r, fail := failingDisk(t)
	c := r.connect(wire.Pub("disk", "a"))
	c.Expect("OK")
	fail(true)
	c.Send(wire.Pub("disk", "b") + wire.Pub("memory#ephemeral", "c") + wire.MPub("disk", "d", "e") + wire.DPub("disk", 5, "f") + wire.Pub("memory#ephemeral", "g"))
	expectRefusal := func(code string) {
		t.Helper()
		kind, got := c.Frame()
		if kind != wire.Error || !strings.HasPrefix(got, code) || !strings.Contains(got, "no space left on device") {
			t.Fatalf("got frame %d %q, want %s and the reason", kind, got, code)
		}
	}
	expectRefusal("E_PUB_FAILED PUB failed ")
	c.Expect("OK")
	expectRefusal("E_MPUB_FAILED MPUB failed ")
	expectRefusal("E_DPUB_FAILED DPUB failed ")
	c.Expect("OK")

	fail(false)
	eventually(t, func() bool { return r.broker.Health() == nil })
	c.Send(wire.Pub("disk", "h"))
	c.Expect("OK")
	k := r.consume("disk", "ch", 10)
	for _, want := range []string{"a", "h"} {
		if m := k.Message(); m.Body != want {
			t.Fatalf("got %q, want %q", m.Body, want)
		}
	}
}

func TestPublishDeferredByNothingKeepsItsPlace(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 10)
	p := r.connect()
	for range 20 {
		p.Send(wire.DPub("t", 0, "first") + wire.Pub("t", "second"))
		p.Expect("OK", "OK")
		for _, want := range []string{"first", "second"} {
			m := c.Message()
			if m.Body != want {
				t.Fatalf("got %q, want %q", m.Body, want)
			}
			c.Send("FIN " + m.ID + "\n")
		}
	}
}

// watchedConn calls write for each Write.
type watchedConn struct {
	net.Conn
	write func(b []byte) (int, error)
}

func (c watchedConn) Write(b []byte) (int, error) { return c.write(b) }

// TestBatchesAreLetGoBeforeTheAnswerIsWritten: a client that does not read its
// answers must not hold the memory of what it published.
func TestBatchesAreLetGoBeforeTheAnswerIsWritten(t *testing.T) {
	r := start(t)
	here, there := net.Pipe()
	defer there.Close()
	gathered := takeCommandBatch()
	written := false
	s := newSession(r.tcp, 0, watchedConn{here, func(b []byte) (int, error) {
		written = true
		if n := gathered.topics[:1][0].records.Bytes(); n != 0 || len(gathered.topics) != 0 {
			t.Errorf("%d bytes are held while %q is written", n, b)
		}
		return len(b), nil
	}})
	if err := s.do(gathered, &protocol.Command{Kind: protocol.Pub, Topic: []byte("t"), Body: []byte("x")}, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.finishBatch(gathered); err != nil || !written {
		t.Fatalf("written: %v, %v", written, err)
	}
	gathered.give()
}

func TestDeferredMessageIsNotEarly(t *testing.T) {
	const delay = 150
	r := start(t)
	k := r.consume("later", "ch", 1)
	began := time.Now()
	p := r.connect(wire.DPub("later", delay, "x"))
	p.Expect("OK")
	k.Message()
	if took := time.Since(began); took < delay*time.Millisecond {
		t.Errorf("delivered after %v", took)
	}
}

// eventually waits for what has no event of its own.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(testTimeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}
