package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/daemon"
)

// testTimeout bounds every wait of the tests; nothing that works takes as long.
const testTimeout = time.Minute

// server is a qd on ports of its own.
type server struct {
	t         *testing.T
	d         daemon.Daemon
	tcp, http string
	path      string
}

// startServer runs a qd until the end of the test.
func startServer(t *testing.T, flags ...string) *server {
	t.Helper()
	path := t.TempDir()
	d, err := daemon.Launch(daemon.QD, append([]string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--data-path=" + path}, flags...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	return &server{t, d, d.Addresses()["TCP"], d.Addresses()["HTTP"], path}
}

// startDirectory runs a qlookupd until the end of the test.
func startDirectory(t *testing.T) (tcp, http string) {
	t.Helper()
	d, err := daemon.Launch(daemon.QLookupd, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	return d.Addresses()["TCP"], d.Addresses()["HTTP"]
}

// post asks the server's API for a change.
func (s *server) post(path string, pairs ...string) {
	s.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	response, err := http.Post("http://"+s.http+path+"?"+q.Encode(), "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", path, response.Status)
	}
}

// figures are the server's of a topic.
type figures struct {
	Depth        int64 `json:"depth"`
	MessageCount int64 `json:"message_count"`
	Channels     []struct {
		Name         string `json:"channel_name"`
		Depth        int64  `json:"depth"`
		InFlight     int64  `json:"in_flight_count"`
		Deferred     int64  `json:"deferred_count"`
		Requeued     int64  `json:"requeue_count"`
		DeadLettered int64  `json:"dead_lettered_count"`
		MessageCount int64  `json:"message_count"`
		Clients      []struct {
			UserAgent string `json:"user_agent"`
		} `json:"clients"`
	} `json:"channels"`
}

func (s *server) figures(topic string) figures {
	s.t.Helper()
	response, err := http.Get("http://" + s.http + "/stats?format=json&topic=" + url.QueryEscape(topic))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var stats struct{ Topics []figures }
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		s.t.Fatal(err)
	}
	if len(stats.Topics) == 0 {
		return figures{}
	}
	return stats.Topics[0]
}

// eventually waits for something that happens elsewhere.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > testTimeout {
			t.Fatalf("not within %v: %s", testTimeout, what)
		}
	}
}

// result is how a command ended.
type result struct {
	code        int
	out, errors string
}

// q runs a command to its end.
func q(t *testing.T, input string, args ...string) result {
	t.Helper()
	var out, errors bytes.Buffer
	code := run(args, console{strings.NewReader(input), &out, &errors, nil})
	return result{code, out.String(), errors.String()}
}

// must is q for a command that works, and returns what it prints.
func must(t *testing.T, input string, args ...string) string {
	t.Helper()
	r := q(t, input, args...)
	if r.code != exitOK {
		t.Fatalf("q %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.errors)
	}
	return r.out
}

// wantRefusal is q for a command that fails and says why.
func wantRefusal(t *testing.T, code int, why string, args ...string) {
	t.Helper()
	if r := q(t, "", args...); r.code != code || !strings.Contains(r.errors, why) {
		t.Errorf("q %s: exit code %d, %s; want %d and %q", strings.Join(args, " "), r.code, r.errors, code, why)
	}
}

// running is a command that runs beside the test.
type running struct {
	t       *testing.T
	signals chan os.Signal
	out     *watched
	errors  *watched
	exit    chan int
}

// begin starts a command; wait, or stop, ends it.
func begin(t *testing.T, input io.Reader, args ...string) *running {
	r := &running{t, make(chan os.Signal, 2), new(watched), new(watched), make(chan int, 1)}
	go func() { r.exit <- run(args, console{input, r.out, r.errors, r.signals}) }()
	return r
}

// stop sends a signal and returns the exit code.
func (r *running) stop() int {
	r.signals <- os.Interrupt
	return r.wait()
}

func (r *running) wait() int {
	r.t.Helper()
	select {
	case code := <-r.exit:
		return code
	case <-time.After(testTimeout):
		r.t.Fatalf("it goes on; %s%s", r.out, r.errors)
		return -1
	}
}

// watched is what a command prints, for others to look at meanwhile.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// numbered is so many lines, each once.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "message %d\n", i)
	}
	return b.String()
}
