package testbed

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"qmq/loadgen"
	"qmq/test/process"
)

// Daemon is a server at work, qd or another that takes nsqd's flags.
type Daemon struct {
	loadgen.Target
	Started time.Duration // from its start until it answered a ping

	binary  string
	dir     string // its data
	flags   []string
	process *process.Process
	client  *http.Client
}

// Bounds of what a daemon may take; nothing that works takes as long.
const (
	startTimeout = 5 * time.Minute
	stopTimeout  = 5 * time.Minute
)

// Start runs a binary that takes nsqd's flags, with its data in dir and on free
// ports of this machine, and waits until it answers. Kill ends it.
func Start(ctx context.Context, binary, dir string, flags []string) (*Daemon, error) {
	d := &Daemon{binary: binary, dir: dir, flags: flags, client: &http.Client{Transport: new(http.Transport)}}
	args := append([]string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1", "--data-path=" + dir}, flags...)
	begin := time.Now()
	var err error
	if d.process, err = (process.Command{Binary: binary, Args: args}).Start(); err != nil {
		return nil, err
	}
	d.PID = d.process.PID()
	if err := d.await(ctx); err != nil {
		d.Kill()
		const told = 20 // lines of its log
		log := d.process.Log()
		return nil, fmt.Errorf("start %s %s: %w\n%s", binary, strings.Join(args, " "), err, strings.Join(log[max(0, len(log)-told):], "\n"))
	}
	d.Started = time.Since(begin)
	return d, nil
}

// await returns when the daemon has said where it listens and answers there.
func (d *Daemon) await(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if d.TCP, err = d.process.Find(ctx, "TCP: listening on "); err != nil {
		return err
	}
	if d.HTTP, err = d.process.Find(ctx, "HTTP: listening on "); err != nil {
		return err
	}
	_, err = d.Do(ctx, http.MethodGet, "/ping")
	return err
}

// Restart ends the daemon in good order and starts it on the same data.
func (d *Daemon) Restart(ctx context.Context) (*Daemon, error) {
	// How it ended does not matter to what is measured, if it did.
	if err := d.process.Terminate(stopTimeout); err != nil {
		return nil, err
	}
	d.client.CloseIdleConnections()
	return Start(ctx, d.binary, d.dir, d.flags)
}

// Kill ends the daemon at once.
func (d *Daemon) Kill() {
	d.process.Kill()
	d.client.CloseIdleConnections()
}

// Do makes a request to the HTTP API and returns the answer. A status other than
// 200 is an error.
func (d *Daemon) Do(ctx context.Context, method, path string) ([]byte, error) {
	return process.Ask(ctx, d.client, method, d.HTTP, path, "")
}

// TopicName is what CreateTopics calls a topic.
func TopicName(i int) string { return fmt.Sprintf("topic-%d", i) }

// CreateTopics makes the topics number from to below number to, one after the
// other, each with channels that are called c0, c1 and so on.
func (d *Daemon) CreateTopics(ctx context.Context, from, to, channels int) error {
	for i := from; i < to; i++ {
		if _, err := d.Do(ctx, http.MethodPost, "/topic/create?topic="+TopicName(i)); err != nil {
			return err
		}
		for k := range channels {
			if _, err := d.Do(ctx, http.MethodPost, fmt.Sprintf("/channel/create?topic=%s&channel=c%d", TopicName(i), k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// VersionOf is what a binary says of itself.
func VersionOf(binary string) (string, error) {
	out, err := exec.Command(binary, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", filepath.Base(binary), err)
	}
	return strings.TrimSpace(string(out)), nil
}
