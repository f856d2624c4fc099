package semantics

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestWithoutFreeDescriptors the daemon takes no new clients. Those that are
// there go on with the files that it gives up for others, each refusal says
// why, nothing counts as damaged, and when there are descriptors again
// everything works without a restart.
func TestWithoutFreeDescriptors(t *testing.T) {
	t.Parallel()
	const files, segment = 64, 64 << 10
	dir := t.TempDir()
	filling := startProcess(t, dir, 1000, fmt.Sprint("--max-bytes-per-file=", segment))
	old := numbered(strings.Repeat("o", 10<<10), 40) // several segments
	connect(t, filling.address).publish("old", old...)
	connect(t, filling.address).publish("t", "first")
	filling.terminate()

	p := startProcess(t, dir, files, fmt.Sprint("--max-bytes-per-file=", segment), "--mem-queue-size=1000")
	producer := connect(t, p.address)
	reader := consume(t, p.address, "old", "ch", 0)
	consumer := consume(t, p.address, "t", "ch", 10)
	consumer.fin(consumer.messages("first")...)
	producer.publish("t", "second")
	consumer.fin(consumer.messages("second")...)
	if health := p.stats().Health; health != "OK" { // and the connection stays for later
		t.Error(health)
	}

	var crowd []net.Conn
	for range files + 20 {
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		crowd = append(crowd, c)
	}
	p.logged("cannot accept connections")
	exhausted := time.Now()

	// Clients that are there are served as long as no file is needed.
	producer.publish("t", "third")
	third := consumer.messages("third")
	reader.send("RDY 100\n") // whose segments may be open
	consumer.fin(third...)
	for range 20 { // segments end and begin: files that nobody uses give way
		producer.send(pub("t", strings.Repeat("x", 10<<10)))
		kind, data := producer.frame()
		switch {
		case kind == response && data == "OK":
			consumer.fin(consumer.message())
		case kind == failure && strings.HasPrefix(data, "E_PUB_FAILED PUB failed ") && strings.Contains(data, "too many open files"):
		default:
			t.Fatalf("frame %d %q", kind, data)
		}
	}
	producer.send(pub("new", "x"))
	if kind, data := producer.frame(); data != "OK" && (kind != failure || !strings.Contains(data, "too many open files")) {
		t.Errorf("frame %d %q", kind, data)
	}
	producer.send(pub("mem#ephemeral", "needs no file"))
	producer.expect("OK")
	lines, _ := p.log.having("cannot accept connections")
	if most := 10 + int(2*time.Since(exhausted)/time.Second); len(lines) > most {
		t.Errorf("%d lines in %v about connections that are not accepted", len(lines), time.Since(exhausted))
	}

	for _, c := range crowd {
		c.Close()
	}
	waitForHealth(t, p)
	producer.publish("t", "after")
	consumer.fin(consumer.messages("after")...)
	for _, want := range old {
		m := reader.messages(want)[0]
		if m.attempts != 1 {
			t.Errorf("attempt %d", m.attempts)
		}
		reader.fin(m)
	}
	late := consume(t, p.address, "t", "ch", 10)
	consumer.Close()
	producer.publish("t", "to a new client")
	late.messages("to a new client")
	s := p.stats()
	if s.Health != "OK" || s.Damage != nil {
		t.Errorf("%+v", s)
	}
	for _, word := range []string{"panic", "damage", "torn"} {
		if lines, _ := p.log.having(word); len(lines) > 0 {
			t.Errorf("the log says\n%s", strings.Join(lines, "\n"))
		}
	}
	p.terminate()
}

// waitForHealth waits until /stats says OK.
// Its connection is there already.
func waitForHealth(t *testing.T, p *process) {
	t.Helper()
	eventually(t, "health", func() bool { return p.stats().Health == "OK" })
}

// TestMoreTopicsThanDescriptors start, take messages and give back what they
// had: the files of topics that nobody uses now are closed for the others.
func TestMoreTopicsThanDescriptors(t *testing.T) {
	t.Parallel()
	const topics, files = 500, 256
	dir := t.TempDir()
	filling := startProcess(t, dir, 4*topics)
	producer := connect(t, filling.address)
	name := func(i int) string { return fmt.Sprint("t", i) }
	for i := range topics {
		producer.publish(name(i), "before")
	}
	filling.terminate()

	p := startProcess(t, dir, files, "--mem-queue-size=0")
	producer = connect(t, p.address)
	for i := range topics {
		producer.publish(name(i), "after")
	}
	for i := range topics {
		c := consume(t, p.address, name(i), "ch", 10)
		c.fin(c.messages("before", "after")...)
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
