package table

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"qmq/loadgen"
)

// Daemon is a server at work as a process of its own.
type Daemon struct {
	loadgen.Target
	binary  string
	dir     string // its data
	flags   []string
	started time.Duration // from its start until it answered a ping

	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	client *http.Client
}

// Bounds of what a daemon may take; nothing that works takes as long.
const (
	startPatience = 5 * time.Minute
	stopPatience  = 5 * time.Minute
)

// Start runs a binary that takes nsqd's flags, with its data in dir and on free
// ports of this machine, and waits until it answers. Kill ends it.
func Start(ctx context.Context, binary, dir string, flags []string) (*Daemon, error) {
	d := &Daemon{binary: binary, dir: dir, flags: flags, exited: make(chan struct{}), client: new(http.Client)}
	args := append([]string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--data-path=" + dir}, flags...)
	d.cmd = exec.Command(binary, args...)
	d.client.Transport = new(http.Transport)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	d.PID = d.cmd.Process.Pid
	log := &listening{found: make(chan struct{})}
	go func() {
		defer close(d.exited)
		log.read(stderr)
		_ = d.cmd.Wait() // how it ended does not matter to what was measured
	}()
	if err := d.await(ctx, log); err != nil {
		d.Kill()
		return nil, fmt.Errorf("start %s %s: %w\n%s", binary, strings.Join(args, " "), err, log.tail())
	}
	d.started = time.Since(begin)
	return d, nil
}

// await returns when the daemon has said where it listens and answers there.
func (d *Daemon) await(ctx context.Context, log *listening) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	select {
	case <-log.found:
	case <-d.exited:
		return errors.New("it ended")
	case <-ctx.Done():
		return ctx.Err()
	}
	d.TCP, d.HTTP = log.addresses()
	_, err := d.Do(ctx, http.MethodGet, "/ping")
	return err
}

// restart ends the daemon in good order and starts it on the same data.
func (d *Daemon) restart(ctx context.Context) (*Daemon, error) {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case <-d.exited:
	case <-time.After(stopPatience):
		d.Kill()
		return nil, fmt.Errorf("%s does not end", d.binary)
	}
	return Start(ctx, d.binary, d.dir, d.flags)
}

// Kill ends the daemon at once.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill() // it may have ended already
	<-d.exited
	d.client.CloseIdleConnections()
}

// Do makes a request to the HTTP API and returns the answer. A status other than
// 200 is an error.
func (d *Daemon) Do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+d.HTTP+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, body)
	}
	return body, err
}

// listening finds in a log where a daemon listens.
type listening struct {
	found chan struct{} // closed when both addresses are known

	mu        sync.Mutex // guards what follows
	tcp, http string
	last      []string // lines
}

const keptLines = 20

func (l *listening) read(log io.Reader) {
	for s := bufio.NewScanner(log); s.Scan(); {
		l.line(s.Text())
	}
	_, _ = io.Copy(io.Discard, log) // after a line that is too long
}

func (l *listening) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last[max(0, len(l.last)-keptLines+1):], text)
	if l.tcp != "" && l.http != "" {
		return
	}
	if _, address, ok := strings.Cut(text, "HTTP: listening on "); ok {
		l.http = address
	} else if _, address, ok := strings.Cut(text, "TCP: listening on "); ok {
		l.tcp = address
	}
	if l.tcp != "" && l.http != "" {
		close(l.found)
	}
}

func (l *listening) addresses() (tcp, http string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tcp, l.http
}

func (l *listening) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

// VersionOf is what a binary says of itself.
func VersionOf(binary string) (string, error) {
	out, err := exec.Command(binary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", filepath.Base(binary), err)
	}
	return strings.TrimSpace(string(out)), nil
}
