package daemon

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"qmq/internal/version"
)

// testTimeout bounds every wait of the tests.
const testTimeout = time.Minute

// running is a daemon inside the test.
type running struct {
	t       *testing.T
	signals chan os.Signal
	lines   chan string // of its log; closed at its end
	exit    chan int
}

// start runs qd with the given arguments.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	return launch(t, QD, args...)
}

// launch runs a program with the given arguments.
func launch[V any](t *testing.T, p Program[V], args ...string) *running {
	t.Helper()
	args = append([]string{p.Name}, args...)
	r := &running{t: t, signals: make(chan os.Signal, 2), lines: make(chan string, 100_000), exit: make(chan int, 1)}
	read, write := io.Pipe()
	go func() {
		for s := bufio.NewScanner(read); s.Scan(); {
			r.lines <- s.Text()
		}
		close(r.lines)
	}()
	go func() {
		r.exit <- Main(p, args, io.Discard, write, r.signals)
		write.Close()
	}()
	return r
}

// line waits for a log line and returns what follows the given text in it.
func (r *running) line(text string) string {
	r.t.Helper()
	deadline := time.After(testTimeout)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("it ended without a line with %q", text)
			}
			if _, after, ok := strings.Cut(line, text); ok {
				return after
			}
		case <-deadline:
			r.t.Fatalf("no line with %q", text)
		}
	}
}

// linesInAnyOrder waits for a line with each text, and gives what follows each.
func (r *running) linesInAnyOrder(texts ...string) []string {
	r.t.Helper()
	after := make([]string, len(texts))
	for left := len(texts); left > 0; {
		line := r.line("")
		for i, text := range texts {
			if _, rest, ok := strings.Cut(line, text); ok && after[i] == "" {
				after[i] = rest
				left--
			}
		}
	}
	return after
}

func (r *running) exitCode() int {
	r.t.Helper()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(testTimeout):
		r.t.Fatal("it does not exit")
		return 0
	}
}

func TestServesUntilToldToStop(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data-path", dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}
	r := start(t, args...)
	r.line("INFO: qd v" + version.Number + " (built w/go")
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

	response, err = http.Post("http://"+web+"/pub?topic=not+valid", "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	r.line("WARNING: 400 POST /pub?topic=not+valid")

	second := start(t, args...)
	second.line("FATAL: failed to start qd - failed to lock data-path: lock " + dir + ": ")
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
	r.line("FATAL: failed to start qd - listen (" + l.Addr().String() + ") failed - bind: address already in use")
	if code := r.exitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestExitCodesWithoutServing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "qd.toml")
	if err := os.WriteFile(file, []byte("max_rdy_count = 'many'\nmax_deflate_level = 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fatal := func(text string) string { return "FATAL: failed to start qd - " + text + "\n" }
	for _, test := range []struct {
		args   string
		code   int
		stdout string
		stderr []string // what is in it
	}{
		{"--version", exitOK, version.String("qd") + "\n", nil},
		{"--config=/does/not/exist --version", exitOK, version.String("qd") + "\n", nil},
		{"--help", exitOK, "", []string{"Usage: nsqd [flags]\n", "\n  --mem-queue-size "}},
		{"-h", exitOK, "", []string{"Usage: nsqd [flags]\n"}},

		{"--no-such-flag --msg-timeout=soon", exitUsage, "", []string{
			"nsqd: flag provided but not defined: --no-such-flag\nnsqd: invalid value \"soon\" for flag --msg-timeout: must be ",
			"\nUsage: nsqd [flags]; nsqd --help explains them all\n"}},
		{"--snappy false --sync-every=1 --http-auth=x", exitUsage, "", []string{"nsqd: unexpected argument \"false\"", "--sync-every, --http-auth"}},
		{"--http-auth=", exitFailed, "", []string{fatal("--http-auth must not be empty: without the option, the door that it shuts is open")}},
		{"--version --no-such-flag", exitUsage, "", []string{"--no-such-flag\n"}},
		{"--node-id=x --max-deflate-level=0", exitUsage, "", []string{"--node-id", "--max-deflate-level must be in [1,9], not 0\n"}},

		{"--node-id=-1", exitFailed, "", []string{fatal("--node-id must be in [0,1024), not -1")}},
		{"--data-path=/does/not/exist --tls-required", exitFailed, "", []string{
			fatal("cannot require TLS client connections without TLS key and cert"),
			fatal("--data-path must be an existing directory: /does/not/exist")}},
		{"--config=/does/not/exist", exitFailed, "", []string{
			fatal("failed to load config file /does/not/exist - open /does/not/exist: no such file or directory")}},
		{"--config=" + file, exitFailed, "", []string{
			fatal("failed to load config file " + file + " - line 1: max_rdy_count must be a whole number, not \"many\""),
			fatal("--max-deflate-level must be in [1,9], not 10 (max_deflate_level in line 2 of " + file + ")")}},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(QD, append([]string{"/usr/bin/nsqd"}, strings.Fields(test.args)...), &stdout, &stderr, nil)
		if code != test.code || stdout.String() != test.stdout {
			t.Errorf("%s: exit code %d, %q", test.args, code, stdout.String())
		}
		for _, want := range test.stderr {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%s: %q is not in\n%s", test.args, want, stderr.String())
			}
		}
		if test.stderr == nil && stderr.Len() > 0 {
			t.Errorf("%s: it also says %s", test.args, stderr.String())
		}
	}
}

// TestMain lets the test binary be qd itself, for what only a process can show.
func TestMain(m *testing.M) {
	if os.Getenv("QD_TEST_IS_QD") != "" {
		Exec(QD)
	}
	if os.Getenv("QD_TEST_TELLS_SLACK") != "" {
		tellSlack()
	}
	os.Exit(m.Run())
}

func TestSecondSignalEndsItAtOnce(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
	cmd.Env = append(os.Environ(), "QD_TEST_IS_QD=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := bufio.NewScanner(stderr)
	wait := func(text string) (after string) {
		for log.Scan() {
			if _, after, ok := strings.Cut(log.Text(), text); ok {
				return after
			}
		}
		t.Fatalf("no line with %q", text)
		return ""
	}
	// A request without end holds up the exit. The server asks for its body
	// once it is under way.
	conn, err := net.Dial("tcp", wait("HTTP: listening on "))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, "POST /pub?topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		// Those that come in the first moment count as one.
		for again := time.NewTicker(SameSignal / 2); ; {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Process.Signal(syscall.SIGHUP) // which nobody follows any more, and is no end
			select {
			case <-again.C:
			case <-ended:
				again.Stop()
				return
			}
		}
	}()
	wait("ERROR: not stopped in good order error=\"told twice to stop\"")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("it ends with %v", err)
	}
}

func TestSignalsWithinAMomentCountAsOne(t *testing.T) {
	for _, test := range []struct {
		after []time.Duration // the further signals
		want  string
	}{
		{nil, ""},
		{[]time.Duration{0, 50 * time.Millisecond, 99 * time.Millisecond}, ""},
		{[]time.Duration{100 * time.Millisecond}, "told twice to stop"},
		{[]time.Duration{0, 500 * time.Millisecond}, "told twice to stop"},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 2)
			go func() {
				begun := time.Now()
				for _, after := range test.after {
					time.Sleep(after - time.Since(begun))
					signals <- syscall.SIGTERM
				}
			}()
			err := Finish(func() error { time.Sleep(time.Second); return nil }, signals)
			if got := fmt.Sprint(err); (err == nil) != (test.want == "") || err != nil && got != test.want {
				t.Errorf("after %v: %v", test.after, err)
			}
			time.Sleep(time.Second) // what was told to end goes on in its own time
		})
	}
}

// TestUsageMistakesAreShort: what is wrong is not lost above a page of flags,
// in any daemon.
func TestUsageMistakesAreShort(t *testing.T) {
	for name, run := range map[string]func(args []string, stderr io.Writer) int{
		"qd":       func(args []string, w io.Writer) int { return Main(QD, args, io.Discard, w, nil) },
		"qlookupd": func(args []string, w io.Writer) int { return Main(QLookupd, args, io.Discard, w, nil) },
		"qadmin":   func(args []string, w io.Writer) int { return Main(QAdmin, args, io.Discard, w, nil) },
	} {
		for args, want := range map[string]string{
			"--http-adress=x":       name + ": flag provided but not defined: --http-adress; did you mean --http-address?\n",
			"stray --log-prefix=x":  name + ": unexpected argument \"stray\", which would drop what follows it: --log-prefix\n",
			"--log-prefix --config": name + ": flag needs an argument: --log-prefix; --config follows it",
		} {
			var stderr bytes.Buffer
			code := run(append([]string{name}, strings.Fields(args)...), &stderr)
			if code != exitUsage || !strings.HasPrefix(stderr.String(), want) || strings.Count(stderr.String(), "\n") > 4 {
				t.Errorf("%s %s: exit code %d\n%s", name, args, code, stderr.String())
			}
		}
	}
}
