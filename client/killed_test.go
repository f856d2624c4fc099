package client_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/client"
	"qmq/test/process"
)

// TestNothingOKdIsLostWhenANodeIsKilled publishes to three nodes, kills one of them and
// the directory, and then all: whatever was OK'd is delivered when they are back, and
// each error says whether its message may be stored.
func TestNothingOKdIsLostWhenANodeIsKilled(t *testing.T) {
	bin := process.Build(t, "cmd/qd", "cmd/qlookupd")
	directory := process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	directory.Start(t)
	var nodes []*process.Daemon
	for range 3 {
		n := process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qd"), Args: []string{
			"--broadcast-address=127.0.0.1", "--data-path=" + t.TempDir(), "--lookupd-tcp-address=" + directory.TCP}})
		n.Start(t)
		nodes = append(nodes, n)
	}
	c := open(t, client.Options{Directories: []string{directory.HTTP}, Patience: testTimeout})
	p := &publishing{c: c, t: t, ok: make(map[string]bool)}
	for i := range 4 {
		p.running.Go(func() { p.run(i) })
	}
	p.reach(300)
	nodes[0].Kill()
	p.reach(600)
	directory.Kill()
	p.reach(900)
	p.stop.Store(true)
	p.running.Wait()
	t.Logf("%d OK'd, %d without an answer", len(p.ok), p.unanswered)

	nodes[1].Kill()
	nodes[2].Kill()
	ctx, cancel := context.WithTimeout(limited(t), time.Second)
	defer cancel()
	var unpublished *client.UnpublishedError
	var unanswered *client.UnansweredError
	if err := c.Publish(ctx, "t", body("nowhere")); !errors.As(err, &unpublished) && !errors.As(err, &unanswered) {
		t.Errorf("all nodes are dead: %v", err)
	}
	directory.Start(t)
	for _, n := range nodes {
		n.Start(t)
	}
	var mu sync.Mutex
	ctx, done := context.WithCancel(limited(t))
	defer done()
	err := c.Consume(ctx, client.Consumption{Topic: "t", Channel: "c", Handlers: 4}, func(_ context.Context, d *client.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if delete(p.ok, string(d.Body)); len(p.ok) == 0 {
			done()
		}
		return nil
	})
	if err != nil || len(p.ok) > 0 {
		t.Errorf("%d messages that were OK'd are lost; %v", len(p.ok), err)
	}
}

// publishing is several goroutines that publish and note what was OK'd.
type publishing struct {
	c       *client.Client
	t       *testing.T
	running sync.WaitGroup
	stop    atomic.Bool

	mu         sync.Mutex // guards what follows
	ok         map[string]bool
	unanswered int
}

func (p *publishing) run(number int) {
	for i := 0; !p.stop.Load(); i++ {
		text := fmt.Sprintf("%d-%d", number, i)
		err := p.c.Publish(p.t.Context(), "t", body(text))
		var unanswered *client.UnansweredError
		p.mu.Lock()
		switch {
		case err == nil:
			p.ok[text] = true
		case errors.As(err, &unanswered):
			p.unanswered++
		default:
			p.t.Errorf("%s: %v", text, err) // two nodes were there all the time
			p.stop.Store(true)
		}
		p.mu.Unlock()
	}
}

// reach waits until so many messages were OK'd.
func (p *publishing) reach(n int) {
	process.Eventually(p.t, fmt.Sprintf("%d messages that are OK'd", n), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.ok) >= n || p.stop.Load()
	})
}
