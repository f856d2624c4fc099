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
)

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	const id = "00000000deadbeef"
	r := start(t)
	c := r.consume("own", "ch", 0)
	var sent strings.Builder
	for i := range 50 {
		sent.WriteString(pub(fmt.Sprintf("topic%d", i%3), "a"))
		sent.WriteString("FIN " + id + "\nNOP\n")
		sent.WriteString(mpub("topic1", "b", "c"))
		sent.WriteString("TOUCH " + id + "\n")
		sent.WriteString(dpub("topic2", 0, "d"))
	}
	c.send(sent.String())
	for range 50 {
		c.expect("OK")
		c.expectError("E_FIN_FAILED FIN " + id + " failed ID not in flight")
		c.expect("OK")
		c.expectError("E_TOUCH_FAILED TOUCH " + id + " failed ID not in flight")
		c.expect("OK")
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
		sent.WriteString(pub(fmt.Sprintf("topic%d", i%topics), "x"))
	}
	c := r.connect(sent.String())
	for range 2 * topics {
		c.expect("OK")
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
		sent.WriteString(pub("sizes", body))
	}
	for _, n := range []int{1 << 20, 1, 1<<20 - 1} {
		body := strings.Repeat("z", n)
		bodies = append(bodies, body)
		sent.WriteString(pub("sizes", body))
	}
	producer := r.connect()
	go producer.Write([]byte(sent.String()))
	for range bodies {
		producer.expect("OK")
	}
	for i, want := range bodies {
		m := consumer.message()
		if m.body != want {
			t.Fatalf("message %d has %d bytes, want %d", i, len(m.body), len(want))
		}
		consumer.send("FIN " + m.id + "\n")
	}
}

func TestLargestMpub(t *testing.T) {
	var bodies []string
	for range 5 {
		bodies = append(bodies, strings.Repeat("m", 1<<20-5))
	}
	c := start(t).connect()
	go c.Write([]byte(mpub("big", bodies...)))
	c.expect("OK")
}

func TestPublishAfterDeletionGoesToTheNewTopic(t *testing.T) {
	r := start(t)
	c := r.connect(pub("phoenix", "old"))
	c.expect("OK")
	if err := r.broker.DeleteTopic("phoenix"); err != nil {
		t.Fatal(err)
	}
	c.send(pub("phoenix", "new"))
	c.expect("OK")
	k := r.consume("phoenix", "ch", 1)
	if m := k.message(); m.body != "new" {
		t.Fatalf("got %q", m.body)
	}
}

// failingDisk is a server whose disk can be told to refuse writes.
func failingDisk(t *testing.T) (r *rig, fail func(bool)) {
	disk := crashfs.New(1)
	r = startOn(t, openBroker(t, func(o *broker.Options) { o.FS = disk }))
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
	c := r.connect(pub("disk", "a"))
	c.expect("OK")
	fail(true)
	c.send(pub("disk", "b") + pub("memory#ephemeral", "c") + mpub("disk", "d", "e") + dpub("disk", 5, "f") + pub("memory#ephemeral", "g"))
	expectRefusal := func(code string) {
		t.Helper()
		kind, got := c.frame()
		if kind != protocol.FrameError || !strings.HasPrefix(got, code) || !strings.Contains(got, "no space left on device") {
			t.Fatalf("got frame %d %q, want %s and the reason", kind, got, code)
		}
	}
	expectRefusal("E_PUB_FAILED PUB failed ")
	c.expect("OK")
	expectRefusal("E_MPUB_FAILED MPUB failed ")
	expectRefusal("E_DPUB_FAILED DPUB failed ")
	c.expect("OK")

	fail(false)
	eventually(t, func() bool { return r.broker.Health() == nil })
	c.send(pub("disk", "h"))
	c.expect("OK")
	k := r.consume("disk", "ch", 10)
	for _, want := range []string{"a", "h"} {
		if m := k.message(); m.body != want {
			t.Fatalf("got %q, want %q", m.body, want)
		}
	}
}

func TestPublishDeferredByNothingKeepsItsPlace(t *testing.T) {
	r := start(t)
	c := r.consume("t", "ch", 10)
	p := r.connect()
	for range 20 {
		p.send(dpub("t", 0, "first") + pub("t", "second"))
		p.expect("OK", "OK")
		for _, want := range []string{"first", "second"} {
			m := c.message()
			if m.body != want {
				t.Fatalf("got %q, want %q", m.body, want)
			}
			c.send("FIN " + m.id + "\n")
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
	p := r.connect(dpub("later", delay, "x"))
	p.expect("OK")
	k.message()
	if took := time.Since(began); took < delay*time.Millisecond {
		t.Errorf("delivered after %v", took)
	}
}

// eventually waits for what has no event of its own.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}
