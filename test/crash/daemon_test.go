package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"qmq/test/process"
)

// startLimit bounds a start, recovery included; exitLimit a clean exit. Nothing that works
// takes as long, on a busy machine either.
const (
	startLimit = process.Timeout
	exitLimit  = process.Timeout
)

// run is one life of the daemon.
type run struct {
	*process.Process
	number    int
	tcp, http string

	up      bool // answers /ping; guarded by daemon.mu
	leaving bool // told to end; guarded by daemon.mu
}

// daemon is a qd that is started again and again on one data directory. Its
// methods may be called concurrently, but only one goroutine starts and ends
// runs.
type daemon struct {
	bin, data string
	flags     []string
	env       []string
	onStart   func(run int) // called when a run was launched
	onEnd     func(run int) // called just before a run is told to end

	client *http.Client

	mu      sync.Mutex
	runs    []*run // all, for what they logged
	last    *run
	changes *notifier // of last and its up
}

func newDaemon(t testing.TB, bin string, flags ...string) *daemon {
	t.Helper()
	d := &daemon{
		bin:     bin,
		data:    t.TempDir(),
		flags:   flags,
		client:  &http.Client{Timeout: process.Timeout, Transport: &http.Transport{DisableKeepAlives: true}},
		changes: newNotifier(),
	}
	t.Cleanup(d.kill)
	return d
}

// launch starts the process and does not wait for it.
func (d *daemon) launch() (*run, error) {
	tcp, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	web, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-data-path=" + d.data, "-tcp-address=" + tcp, "-http-address=" + web}, d.flags...)
	p, err := (process.Command{Binary: d.bin, Args: args, Env: d.env}).Start()
	if err != nil {
		return nil, err
	}
	r := &run{Process: p, tcp: tcp, http: web}
	d.mu.Lock()
	if d.last != nil {
		r.number = d.last.number + 1
	}
	d.last = r
	d.runs = append(d.runs, r)
	d.mu.Unlock()
	d.changes.notify()
	if d.onStart != nil {
		d.onStart(r.number)
	}
	return r, nil
}

// start launches the daemon and waits until it answers /ping.
func (d *daemon) start(ctx context.Context) error {
	const tries = 5
	for try := 1; ; try++ {
		r, err := d.launch()
		if err != nil {
			return err
		}
		err = d.awaitPing(ctx, r)
		if err == nil {
			d.mu.Lock()
			r.up = true
			d.mu.Unlock()
			d.changes.notify()
			return nil
		}
		d.kill()
		if try == tries || !strings.Contains(d.logTail(5), "address already in use") {
			return fmt.Errorf("start %d: %w\n%s", r.number, err, d.logTail(40))
		}
	}
}

func (d *daemon) awaitPing(ctx context.Context, r *run) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if body, err := d.request(ctx, r, "GET", "/ping"); err == nil && string(body) == "OK" {
			return nil
		}
		select {
		case <-tick.C:
		case <-r.Ended():
			return fmt.Errorf("the daemon ended by itself: %v", r.Err())
		case <-ctx.Done():
			return fmt.Errorf("no answer to /ping: %w", ctx.Err())
		}
	}
}

// awaitUp waits for a run that takes connections.
func (d *daemon) awaitUp(ctx context.Context) (*run, error) {
	for {
		changed := d.changes.wait()
		d.mu.Lock()
		r := d.last
		up := r != nil && r.up && !r.leaving
		d.mu.Unlock()
		if up {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// died returns why the daemon ended without being told to, or nil.
func (d *daemon) died() error {
	d.mu.Lock()
	r := d.last
	leaving := r == nil || r.leaving
	d.mu.Unlock()
	if leaving {
		return nil
	}
	select {
	case <-r.Ended():
		return fmt.Errorf("the daemon ended by itself: %v\n%s", r.Err(), d.logTail(60))
	default:
		return nil
	}
}

// end marks the last run as leaving; it is nil when there is none to end.
func (d *daemon) end() *run {
	d.mu.Lock()
	r := d.last
	if r == nil || r.leaving {
		d.mu.Unlock()
		return nil
	}
	r.leaving = true
	d.mu.Unlock()
	if d.onEnd != nil {
		d.onEnd(r.number)
	}
	return r
}

// kill ends the daemon with SIGKILL and waits until it is gone. It does nothing
// when none is running.
func (d *daemon) kill() {
	if r := d.end(); r != nil {
		r.Kill()
	}
}

// terminate ends the daemon with SIGTERM and expects a clean exit.
func (d *daemon) terminate() error {
	r := d.end()
	if r == nil {
		return errors.New("no daemon is running")
	}
	if err := r.Terminate(exitLimit); err != nil {
		return fmt.Errorf("%w\n%s", err, d.logTail(40))
	}
	return nil
}

// log is what all runs have logged.
func (d *daemon) log() (lines []string) {
	d.mu.Lock()
	runs := slices.Clone(d.runs)
	d.mu.Unlock()
	for _, r := range runs {
		lines = append(lines, r.Log()...)
	}
	return lines
}

// logTail is the end of what the daemon has logged.
func (d *daemon) logTail(lines int) string {
	all := d.log()
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// logHas finds the lines that hold one of the words.
func (d *daemon) logHas(words ...string) (found []string) {
	for _, line := range d.log() {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}

func isStatus(err error, status int) bool {
	var s *process.StatusError
	return errors.As(err, &s) && s.Status == status
}

func (d *daemon) request(ctx context.Context, r *run, method, pathAndQuery string) ([]byte, error) {
	return process.Ask(ctx, d.client, method, r.http, pathAndQuery, "")
}

// operate sends a topology command until the daemon answers, over as many runs
// as that takes. An answer of absent counts as success.
func (d *daemon) operate(ctx context.Context, path, topic, channel string, absent bool) error {
	q := "?topic=" + url.QueryEscape(topic)
	if channel != "" {
		q += "&channel=" + url.QueryEscape(channel)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := d.awaitUp(ctx)
		if err != nil {
			return err
		}
		_, err = d.request(ctx, r, "POST", path+q)
		var answered *process.StatusError
		switch {
		case err == nil, absent && isStatus(err, http.StatusNotFound):
			return nil
		case errors.As(err, &answered):
			return fmt.Errorf("%s%s: %w", path, q, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// topicStats and channelStats are what /stats says.
type topicStats struct {
	Name     string         `json:"topic_name"`
	Depth    int64          `json:"depth"`
	Channels []channelStats `json:"channels"`
}

type channelStats struct {
	Name     string `json:"channel_name"`
	Depth    int64  `json:"depth"`
	InFlight int64  `json:"in_flight_count"`
	Deferred int64  `json:"deferred_count"`
	Clients  int64  `json:"client_count"`
}

func (c channelStats) String() string {
	return fmt.Sprintf("%s depth %d, in flight %d, deferred %d, consumers %d", c.Name, c.Depth, c.InFlight, c.Deferred, c.Clients)
}

func (d *daemon) stats(ctx context.Context) ([]topicStats, error) {
	r, err := d.awaitUp(ctx)
	if err != nil {
		return nil, err
	}
	b, err := d.request(ctx, r, "GET", "/stats?format=json&include_clients=false&include_mem=false")
	if err != nil {
		return nil, err
	}
	var s struct {
		Topics []topicStats `json:"topics"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("/stats: %w", err)
	}
	return s.Topics, nil
}

// busy lists what is not empty.
func busy(topics []topicStats) (list []string) {
	for _, t := range topics {
		if t.Depth != 0 {
			list = append(list, fmt.Sprintf("topic %s depth %d", t.Name, t.Depth))
		}
		for _, c := range t.Channels {
			if c.Depth != 0 || c.InFlight != 0 || c.Deferred != 0 {
				list = append(list, fmt.Sprintf("channel %s/%v", t.Name, c))
			}
		}
	}
	return list
}

// awaitQuiet waits until nothing waits, is in flight or is deferred anywhere,
// three looks in a row. It returns what is left when limit has passed.
func (d *daemon) awaitQuiet(ctx context.Context, limit time.Duration) (left []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 3; {
		topics, err := d.stats(ctx)
		switch {
		case err == nil:
			if left = busy(topics); len(left) == 0 {
				quiet++
			} else {
				quiet = 0
			}
		case ctx.Err() == nil:
			return nil, err
		}
		if err := d.died(); err != nil {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return append(left, "limit: "+limit.String()), nil
		}
	}
	return nil, nil
}

// wait passes d, or less when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
