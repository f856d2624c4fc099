package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

// withHeaders is a server whose channel c of topic t has messages with and without headers.
func withHeaders(t *testing.T) *server {
	s := withChannel(t)
	must(t, "", "pub", "t", "one", "--header=A=1", "--header=note=two words", "--key=u-1", "--priority=7", "--dedup-id=x", "--addr="+s.tcp)
	must(t, "", "pub", "t", "two", "--addr="+s.tcp)
	must(t, "", "pub", "t", "three", "--key=u-3", "--addr="+s.tcp)
	return s
}

// withoutHeaders is the address of a server as it is for clients that know no headers, as
// nsqd is for all: a door in between leaves that out of what they negotiate.
func withoutHeaders(t *testing.T, s *server) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pass := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if _, err := to.Write(bytes.Replace(buf[:n], []byte(`"headers":true`), []byte(`"headers":null`), 1)); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			node, err := net.Dial("tcp", s.tcp)
			if err != nil {
				client.Close()
				continue
			}
			go pass(node, client)
			go pass(client, node)
		}
	}()
	return l.Addr().String()
}

// taken are the messages of channel c of topic t, with what is said of them.
func taken(t *testing.T, s *server) string {
	t.Helper()
	return must(t, "", "sub", "t", "c", "--yes", "--count=3", "--print=headers", "--addr="+s.tcp)
}

func TestForwardPassesHeadersOn(t *testing.T) {
	from, to := withHeaders(t), withChannel(t)
	r := startForward(t, from, "--to-qd="+to.tcp)
	from.drained(t)
	if code := r.stop(); code != exitOK || strings.Contains(r.errors.String(), "headers") {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	got := taken(t, to)
	for _, want := range []string{"key=u-1 priority=7 A=1 note=\"two words\" dedup-id=x\tone\n", "\ttwo\n", "key=u-3\tthree\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the copy has\n%s without %q", got, want)
		}
	}
}

func TestForwardSaysOnceThatANodeTakesNoHeaders(t *testing.T) {
	from, to := withHeaders(t), withChannel(t)
	r := startForward(t, from, "--to-qd="+withoutHeaders(t, to), "--max-in-flight=1") // one publish for each
	from.drained(t)
	if code := r.stop(); code != exitOK || strings.Count(r.errors.String(), "go without their headers") != 1 {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if got := taken(t, to); got != "\tone\n\ttwo\n\tthree\n" {
		t.Errorf("it has %q", got)
	}
}

func TestForwardFromANodeWithoutHeadersPassesBodies(t *testing.T) {
	from, to := withHeaders(t), withChannel(t)
	plain := *from
	plain.tcp = withoutHeaders(t, from)
	r := startForward(t, &plain, "--to-qd="+to.tcp)
	from.drained(t)
	if code := r.stop(); code != exitOK || strings.Contains(r.errors.String(), "headers") {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if got := taken(t, to); got != "\tone\n\ttwo\n\tthree\n" {
		t.Errorf("it has %q", got)
	}
}

func TestForwardSaysOnceThatWebHooksGetBodiesAlone(t *testing.T) {
	from, h := withHeaders(t), newHook(t, nil)
	r := startForward(t, from, "--to-http="+h.URL)
	from.drained(t)
	if code := r.stop(); code != exitOK || h.different() != 3 || strings.Count(r.errors.String(), "go without their headers") != 1 {
		t.Errorf("exit code %d, %d messages, %s", code, h.different(), r.errors)
	}
}
