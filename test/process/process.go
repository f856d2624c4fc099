// Package process lets tests run the programs of this module as processes:
// build them, start them, wait for lines of their logs, kill them.
package process

import (
	"bufio"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait; nothing that works takes as long.
const Patience = 30 * time.Second

// Build compiles commands of this module, such as "cmd/qd", and returns the
// directory with the binaries.
func Build(t testing.TB, commands ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	args := []string{"build", "-o", dir + "/"}
	for _, c := range commands {
		args = append(args, "qmq/"+c)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return dir
}

// Process is a program at work. The test that started it ends it.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd

	mu    sync.Mutex // guards what follows
	lines []string   // of its stderr so far
	more  *sync.Cond // there are more lines, or there will be none
	ended bool
	err   error // of its exit
}

// Start runs a binary and gathers its log. When the test has failed, the log
// is shown.
func Start(t testing.TB, binary string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, name: filepath.Base(binary), cmd: exec.Command(binary, args...)}
	p.more = sync.NewCond(&p.mu)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.add(s.Text())
		}
		err := p.cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended, p.err = true, err
		p.more.Broadcast()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s %s:\n%s", p.name, strings.Join(args, " "), strings.Join(p.Log(), "\n"))
		}
	})
	return p
}

func (p *Process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	p.more.Broadcast()
}

// Log is what it has written to stderr.
func (p *Process) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// Await waits for a line of the log and returns what follows text in it.
func (p *Process) Await(text string) (after string) {
	p.t.Helper()
	found := false
	p.wait(func() bool {
		for _, line := range p.lines {
			if _, after, found = strings.Cut(line, text); found {
				return true
			}
		}
		return p.ended
	})
	if !found {
		p.t.Fatalf("%s: no line with %q in\n%s", p.name, text, strings.Join(p.Log(), "\n"))
	}
	return after
}

// Terminate asks the process to end in good order and waits for its exit,
// which must be a success.
func (p *Process) Terminate() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.end(); err != nil {
		p.t.Fatalf("%s ended with %v", p.name, err)
	}
}

// Kill ends the process at once, as losing it would, and waits for that.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.end()
}

// end waits for the exit.
func (p *Process) end() error {
	if !p.wait(func() bool { return p.ended }) {
		return errors.New("it does not end")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// wait returns true when condition, called with mu held, has become true.
func (p *Process) wait(condition func() bool) bool {
	late := false
	timer := time.AfterFunc(Patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		late = true
		p.more.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !condition() {
		if late {
			return false
		}
		p.more.Wait()
	}
	return true
}
