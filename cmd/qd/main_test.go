package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmq/server"
)

// patience bounds every wait of the tests.
const patience = 20 * time.Second

// running is a qd inside the test.
type running struct {
	t       *testing.T
	signals chan os.Signal
	lines   chan string // of its log
	exit    chan int
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, signals: make(chan os.Signal, 2), lines: make(chan string, 1000), exit: make(chan int, 1)}
	read, write := io.Pipe()
	go func() {
		for s := bufio.NewScanner(read); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	go func() {
		r.exit <- run(args, io.Discard, write, r.signals)
		write.Close()
	}()
	return r
}

// line waits for a log line and returns what follows the given text in it.
func (r *running) line(text string) string {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-r.lines:
			if _, after, ok := strings.Cut(line, text); ok {
				return after
			}
		case <-deadline:
			r.t.Fatalf("no line with %q", text)
		}
	}
}

func (r *running) exitCode() int {
	r.t.Helper()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(patience):
		r.t.Fatal("it does not exit")
		return 0
	}
}

func TestServesUntilToldToStop(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-path", dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}
	r := start(t, args...)
	r.line("INFO: qd v" + server.Version + " (built w/go")
	r.line("INFO: ID: ")
	tcp := r.line("INFO: TCP: listening on ")
	web := r.line("INFO: HTTP: listening on ")
	response, err := http.Get("http://" + web + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if string(body) != "OK" {
		t.Errorf("/ping says %s", body)
	}
	conn, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "  V2PUB t\n\x00\x00\x00\x01x")
	answer := make([]byte, 10)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer[8:]) != "OK" {
		t.Fatalf("%q, %v", answer, err)
	}

	second := start(t, args...)
	second.line("FATAL: failed to start qd - failed to lock data-path: ")
	if code := second.exitCode(); code != exitFailed {
		t.Errorf("a second one exits with %d", code)
	}

	r.signals <- syscall.SIGTERM
	r.line("INFO: bye")
	if code := r.exitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := conn.Read(answer); err != io.EOF {
		t.Errorf("the connection ended with %v", err)
	}
	http.DefaultClient.CloseIdleConnections()

	again := start(t, "--data-path", dir, "--tcp-address="+filepath.Join(dir, "tcp.sock"), "--http-address=")
	again.line("TCP: listening on " + filepath.Join(dir, "tcp.sock"))
	again.signals <- os.Interrupt
	if code := again.exitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestAddressInUseFailsTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address="+l.Addr().String())
	r.line("FATAL: failed to start qd - listen (" + l.Addr().String() + ") failed - ")
	if code := r.exitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestExitCodesWithoutServing(t *testing.T) {
	for _, test := range []struct {
		arg  string
		code int
		out  string
	}{
		{"--version", exitOK, server.VersionString("qd") + "\n"},
		{"--help", exitOK, ""},
		{"--no-such-flag", exitUsage, ""},
		{"--msg-timeout=soon", exitUsage, ""},
		{"--node-id=-1", exitUsage, ""},
	} {
		var stdout bytes.Buffer
		if code := run([]string{test.arg}, &stdout, io.Discard, nil); code != test.code || stdout.String() != test.out {
			t.Errorf("%s: exit code %d, %q", test.arg, code, stdout.String())
		}
	}
}
