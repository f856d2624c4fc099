package semantics

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
	"qmq/test/wire"
)

// TestWithoutFreeDescriptors the daemon takes no new clients. Those that are
// there go on with the files that it gives up for others, each refusal says
// why, nothing counts as damaged, and when there are descriptors again
// everything works without a restart.
func TestWithoutFreeDescriptors(t *testing.T) {
	t.Parallel()
	const files, segment = 64, 64 << 10
	dir := t.TempDir()
	filling := startDaemon(t, dir, 1000, fmt.Sprint("--max-bytes-per-file=", segment))
	old := numbered(strings.Repeat("o", 10<<10), 40) // several segments
	wire.Connect(t, filling.address).Publish("old", old...)
	wire.Connect(t, filling.address).Publish("t", "first")
	filling.terminate()

	p := startDaemon(t, dir, files, fmt.Sprint("--max-bytes-per-file=", segment), "--mem-queue-size=1000")
	producer := wire.Connect(t, p.address)
	reader := wire.Consume(t, p.address, "old", "ch", 0)
	consumer := wire.Consume(t, p.address, "t", "ch", 10)
	consumer.Fin(consumer.Messages("first")...)
	producer.Publish("t", "second")
	consumer.Fin(consumer.Messages("second")...)
	if health := p.stats().Health; health != "OK" { // and the connection stays for later
		t.Error(health)
	}

	var idlers []net.Conn
	for range files + 20 {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idlers = append(idlers, c)
	}
	p.Await(t, "cannot accept connections")
	exhausted := time.Now()

	// Clients that are there are served as long as no file is needed.
	producer.Publish("t", "third")
	third := consumer.Messages("third")
	reader.Send("RDY 100\n") // whose segments may be open
	consumer.Fin(third...)
	for range 20 { // segments end and begin: files that nobody uses give way
		producer.Send(wire.Pub("t", strings.Repeat("x", 10<<10)))
		kind, data := producer.Frame()
		switch {
		case kind == wire.Response && data == "OK":
			consumer.Fin(consumer.Message())
		case kind == wire.Error && strings.HasPrefix(data, "E_PUB_FAILED PUB failed ") && strings.Contains(data, "too many open files"):
		default:
			t.Fatalf("frame %d %q", kind, data)
		}
	}
	producer.Send(wire.Pub("new", "x"))
	if kind, data := producer.Frame(); data != "OK" && (kind != wire.Error || !strings.Contains(data, "too many open files")) {
		t.Errorf("frame %d %q", kind, data)
	}
	producer.Send(wire.Pub("mem#ephemeral", "needs no file"))
	producer.Expect("OK")
	lines := p.Logged("cannot accept connections")
	if most := 10 + int(2*time.Since(exhausted)/time.Second); len(lines) > most {
		t.Errorf("%d lines in %v about connections that are not accepted", len(lines), time.Since(exhausted))
	}

	for _, c := range idlers {
		c.Close()
	}
	waitForHealth(t, p)
	producer.Publish("t", "after")
	consumer.Fin(consumer.Messages("after")...)
	for _, want := range old {
		m := reader.Messages(want)[0]
		if m.Attempts != 1 {
			t.Errorf("attempt %d", m.Attempts)
		}
		reader.Fin(m)
	}
	late := wire.Consume(t, p.address, "t", "ch", 10)
	consumer.Close()
	producer.Publish("t", "to a new client")
	late.Messages("to a new client")
	s := p.stats()
	if s.Health != "OK" || s.Damage != nil {
		t.Errorf("%+v", s)
	}
	for _, word := range []string{"panic", "damage", "torn"} {
		if lines := p.Logged(word); len(lines) > 0 {
			t.Errorf("the log says\n%s", strings.Join(lines, "\n"))
		}
	}
	p.terminate()
}

// waitForHealth waits until /stats says OK.
// Its connection is there already.
func waitForHealth(t *testing.T, p *daemon) {
	t.Helper()
	process.Eventually(t, "health", func() bool { return p.stats().Health == "OK" })
}

// TestMoreTopicsThanDescriptors start, take messages and give back what they
// had: the files of topics that nobody uses now are closed for the others.
func TestMoreTopicsThanDescriptors(t *testing.T) {
	t.Parallel()
	const topics, files = 500, 256
	dir := t.TempDir()
	filling := startDaemon(t, dir, 4*topics)
	producer := wire.Connect(t, filling.address)
	name := func(i int) string { return fmt.Sprint("t", i) }
	for i := range topics {
		producer.Publish(name(i), "before")
	}
	filling.terminate()

	p := startDaemon(t, dir, files, "--mem-queue-size=0")
	producer = wire.Connect(t, p.address)
	for i := range topics {
		producer.Publish(name(i), "after")
	}
	for i := range topics {
		c := wire.Consume(t, p.address, name(i), "ch", 10)
		c.Fin(c.Messages("before", "after")...)
		c.Close()
	}
	if s := p.stats(); s.Health != "OK" || s.Damage != nil {
		t.Errorf("%+v", s)
	}
	if r := p.call("POST", "/topic/create?topic=one-more", ""); r.status != 200 {
		t.Errorf("%+v", r)
	}
	p.terminate()
}
