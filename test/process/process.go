// Package process runs the programs of this module as processes, for tests and
// for tools that measure: it builds them, starts them, waits for what they log,
// asks them over HTTP, and ends them.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Timeout bounds every wait; nothing that works takes as long.
const Timeout = 2 * time.Minute

// Command is how a program is started.
type Command struct {
	Binary string
	Args   []string
	Env    []string // variables, as name=value, that it has beside those of this process
	Stdin  *os.File // nil: none
	Files  int      // descriptors that it may have open at most; 0: as many as this process
}

// Process is a program at work. Its methods may be called concurrently.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   lines
	ended chan struct{} // closed when it is gone and its log is whole
	err   error         // of its exit; read it after ended
}

// Start runs the program. Kill or Terminate ends it; on Linux so does the end of this
// process, however that comes.
func (c Command) Start() (*Process, error) {
	binary, args := c.Binary, c.Args
	if c.Files > 0 {
		limit := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, c.Files)
		binary, args = "/bin/sh", append([]string{"-c", limit, c.Binary}, c.Args...)
	}
	p := &Process{name: filepath.Base(c.Binary), cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.log.more = make(chan struct{})
	if c.Stdin != nil {
		p.cmd.Stdin = c.Stdin // not a nil *os.File in an interface
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), c.Env...)
	endWithParent(p.cmd)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the process and waits for its end. It keeps a thread for that: Linux takes the
// end of the thread that has started a process for the end of its parent.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait() // which returns when the log is whole
	p.log.end()
	close(p.ended)
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err is how the process ended, nil after a success. It waits for the end.
func (p *Process) Err() error {
	<-p.ended
	return p.err
}

// Log are the lines that it has written to its standard output and error.
func (p *Process) Log() []string {
	all, _ := p.log.read()
	return slices.Clone(all)
}

// Logged are the lines so far that hold the text.
func (p *Process) Logged(text string) (found []string) {
	all, _ := p.log.read()
	for _, line := range all {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// Find waits for a line that holds the text and returns what follows it there.
// It is an error when the process or ctx ends before.
func (p *Process) Find(ctx context.Context, text string) (after string, err error) {
	for seen := 0; ; {
		all, more := p.log.read()
		for _, line := range all[seen:] {
			if _, after, found := strings.Cut(line, text); found {
				return after, nil
			}
		}
		seen = len(all)
		select {
		case <-more:
		case <-p.ended:
			if all, _ := p.log.read(); len(all) == seen {
				return "", fmt.Errorf("%s ended (%v) and logged no %q", p.name, p.err, text)
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s logged no %q: %w", p.name, text, ctx.Err())
		}
	}
}

// Terminate asks the process to end in good order and waits for that. It is an
// error when it ends otherwise, or not within the limit and is killed.
func (p *Process) Terminate(limit time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s does not end within %v of SIGTERM", p.name, limit)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w", p.name, p.err)
	}
	return nil
}

// Kill ends the process at once, as losing it would, and waits for that. It
// does nothing when the process has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it has ended already
	<-p.ended
}
