package semantics

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// workDir holds the binary of this test run.
var workDir string

func TestMain(m *testing.M) {
	os.Exit(inWorkDir(m.Run))
}

func inWorkDir(f func() int) int {
	dir, err := os.MkdirTemp("", "semantics")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	workDir = dir
	return f()
}

// steppable is the daemon's clock with a step that the lines on its standard
// input set. Each is answered on its standard output.
const steppable = `package clock

import (
	"bufio"
	"fmt"
	"os"
	"sync/atomic"
)

var step atomic.Int64

func init() {
	go func() {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			d, err := time.ParseDuration(s.Text())
			step.Store(int64(d))
			fmt.Println("stepped", d, err)
		}
	}()
}
`

// buildQD builds qd with a steppable wall clock, which is the real one until it
// is told otherwise.
var buildQD = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "internal/clock/clock.go")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(b)
	const now = "now.UnixNano()"
	if n := strings.Count(text, now); n != 2 || strings.Count(text, "time.Now().UnixNano()") != 1 {
		return "", fmt.Errorf("%s reads the wall clock at other places than these tests know", path)
	}
	text = strings.ReplaceAll(text, now, "(now.UnixNano() + step.Load())")
	text = strings.ReplaceAll(text, "time.Now().UnixNano()", "time.Now().UnixNano() + step.Load()")
	files := map[string]string{path: "clock.go", filepath.Join(filepath.Dir(path), "step.go"): "step.go"}
	texts := map[string]string{"clock.go": text, "step.go": strings.Replace(steppable, `"sync/atomic"`, "\"sync/atomic\"\n\t\"time\"", 1)}
	for path, name := range files {
		files[path] = filepath.Join(workDir, name)
		if err := os.WriteFile(files[path], []byte(texts[name]), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		return "", err
	}
	overlayPath := filepath.Join(workDir, "overlay.json")
	if err := os.WriteFile(overlayPath, overlay, 0o600); err != nil {
		return "", err
	}
	bin := filepath.Join(workDir, "qd")
	if out, err := exec.Command("go", "build", "-overlay="+overlayPath, "-o", bin, "qmq/cmd/qd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// process is a qd of its own. Its methods belong to the test's goroutine.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	stdin   io.Writer
	answers *bufio.Scanner // its standard output
	log     *logLines
	exited  chan error
	address string // of TCP
	web     string // URL of HTTP
	client  *http.Client
}

// logLines are the lines of a log, as they are written.
type logLines struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced with each line
}

func (j *logLines) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		j.mu.Lock()
		j.lines = append(j.lines, s.Text())
		close(j.more)
		j.more = make(chan struct{})
		j.mu.Unlock()
	}
}

// having lists the lines with a text in them, so far.
func (j *logLines) having(text string) (found []string, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found, j.more
}

// startProcess starts qd with at most files descriptors.
func startProcess(t *testing.T, dir string, files int, args ...string) *process {
	t.Helper()
	bin, err := buildQD()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), bin,
		"--data-path=" + dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}, args...)
	p := &process{t: t, cmd: exec.Command("/bin/sh", args...), log: &logLines{more: make(chan struct{})}, exited: make(chan error, 1)}
	p.client = &http.Client{Transport: &http.Transport{}, Timeout: patience}
	stdin, err1 := p.cmd.StdinPipe()
	stdout, err2 := p.cmd.StdoutPipe()
	stderr, err3 := p.cmd.StderrPipe()
	for _, err := range []error{err1, err2, err3, p.cmd.Start()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.stdin, p.answers = stdin, bufio.NewScanner(stdout)
	go func() {
		p.log.read(stderr)
		p.exited <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		if p.exited != nil {
			p.cmd.Process.Kill()
			<-p.exited
		}
	})
	p.address = p.logged("TCP: listening on ")
	p.web = "http://" + p.logged("HTTP: listening on ")
	return p
}

// logged waits for a log line and returns what follows the text in it.
func (p *process) logged(text string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		found, more := p.log.having(text)
		if len(found) > 0 {
			_, after, _ := strings.Cut(found[0], text)
			return after
		}
		select {
		case <-more:
		case err := <-p.exited:
			p.exited = nil
			all, _ := p.log.having("")
			p.t.Fatalf("it ended with %v:\n%s", err, strings.Join(all, "\n"))
		case <-timeout:
			p.t.Fatalf("no log line with %q", text)
		}
	}
}

// terminate ends the process in good order.
func (p *process) terminate() {
	p.t.Helper()
	p.client.CloseIdleConnections()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := next(p.t, p.exited); err != nil {
		p.t.Error(err)
	}
	p.exited = nil
}

// step sets by how much the wall clock is off.
func (p *process) step(d time.Duration) {
	p.t.Helper()
	fmt.Fprintln(p.stdin, d)
	if want := fmt.Sprint("stepped ", d, " <nil>"); !p.answers.Scan() || p.answers.Text() != want {
		p.t.Fatalf("got %q, want %q", p.answers.Text(), want)
	}
}

func (p *process) call(method, target, body string) reply {
	p.t.Helper()
	r, err := tryCall(p.client, method, p.web+target, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *process) stats() statsAnswer {
	p.t.Helper()
	return parseStats(p.t, p.call("GET", "/stats?format=json&include_mem=false", "").body)
}
