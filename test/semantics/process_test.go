package semantics

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/test/process"
)

// workDir holds the binary of this test run.
var workDir string

func TestMain(m *testing.M) {
	os.Exit(process.InFolder(m, func(dir string) { workDir = dir }))
}

// steppable is the daemon's clock with a step that the lines on its standard
// input set: a number and a duration. Each is answered on its standard output.
const steppable = `package clock

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var step atomic.Int64

func init() {
	go func() {
		var number int
		var text string
		for {
			if _, err := fmt.Fscanln(os.Stdin, &number, &text); err != nil {
				return
			}
			d, err := time.ParseDuration(text)
			step.Store(int64(d))
			fmt.Printf("step %d: %v\n", number, d)
			if err != nil {
				return
			}
		}
	}()
}
`

// buildQD builds qd with a steppable wall clock, which is the real one until it
// is told otherwise.
var buildQD = sync.OnceValues(func() (string, error) {
	root, err := process.Root()
	if err != nil {
		return "", err
	}
	const source = "internal/clock/clock.go"
	b, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		return "", err
	}
	text := string(b)
	const now = "now.UnixNano()"
	if n := strings.Count(text, now); n != 2 || strings.Count(text, "time.Now().UnixNano()") != 1 {
		return "", fmt.Errorf("%s reads the wall clock at other places than these tests know", source)
	}
	text = strings.ReplaceAll(text, now, "(now.UnixNano() + step.Load())")
	text = strings.ReplaceAll(text, "time.Now().UnixNano()", "time.Now().UnixNano() + step.Load()")
	overlay, err := process.Overlay(workDir, map[string]string{source: text, "internal/clock/step.go": steppable})
	if err != nil {
		return "", err
	}
	return filepath.Join(workDir, "qd"), process.Compile(workDir, []string{overlay}, "cmd/qd")
})

// daemon is a qd of its own. Its methods belong to the test's goroutine.
type daemon struct {
	*process.Process
	t       *testing.T
	steps   *os.File // its standard input
	stepped int      // how often
	address string   // of TCP
	web     string   // URL of HTTP
	client  *http.Client
}

// startDaemon starts qd with at most files descriptors.
func startDaemon(t *testing.T, dir string, files int, args ...string) *daemon {
	t.Helper()
	bin, err := buildQD()
	if err != nil {
		t.Fatal(err)
	}
	in, steps, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { steps.Close() })
	defer in.Close()
	args = append([]string{"--data-path=" + dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}, args...)
	d := &daemon{Process: process.Start(t, process.Command{Binary: bin, Args: args, Stdin: in, Files: files}), t: t, steps: steps}
	d.client = &http.Client{Transport: &http.Transport{}, Timeout: testTimeout}
	d.address = d.Await(t, "TCP: listening on ")
	d.web = "http://" + d.Await(t, "HTTP: listening on ")
	return d
}

// terminate ends the process in good order.
func (d *daemon) terminate() {
	d.t.Helper()
	d.client.CloseIdleConnections()
	d.Stop(d.t)
}

// step sets by how much the wall clock is off.
func (d *daemon) step(by time.Duration) {
	d.t.Helper()
	d.stepped++
	fmt.Fprintln(d.steps, d.stepped, by)
	d.Await(d.t, fmt.Sprintf("step %d: %v", d.stepped, by))
}

func (d *daemon) call(method, target, body string) reply {
	d.t.Helper()
	r, err := tryCall(d.client, method, d.web+target, body)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *daemon) stats() statsAnswer {
	d.t.Helper()
	return parseStats(d.t, d.call("GET", "/stats?format=json&include_mem=false", "").body)
}
