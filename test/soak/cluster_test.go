package soak

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qmq/test/process"
)

// cluster is a directory and three nodes, which are a set too: topics whose names
// begin with "set-" are replicated, others are each node's own.
type cluster struct {
	t         *testing.T
	http      *http.Client
	directory *process.Daemon
	nodes     []*node

	accepted, delivered atomic.Int64
}

// node is one of them, over all its lives.
type node struct {
	*process.Daemon
	c *cluster

	base  figures // at rest, when it was so for the first time in this life; nothing: it was not yet
	first figures // in its first life
	last  figures
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	bin := process.Build(t, "cmd/qd", "cmd/qlookupd")
	c := &cluster{t: t, http: &http.Client{Timeout: process.Timeout}}
	t.Cleanup(c.http.CloseIdleConnections)
	c.directory = process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	c.directory.Start(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	peers := []string{process.Address(t), process.Address(t), process.Address(t)}
	slices.Sort(peers)
	for i, peer := range peers {
		args := []string{
			"--data-path=" + t.TempDir(), "--https-address=", "--broadcast-address=127.0.0.1", "--lookupd-tcp-address=" + c.directory.TCP, fmt.Sprint("--node-id=", i),
			"--cluster-peers=" + strings.Join(peers, ","), "--cluster-address=" + peer, "--cluster-secret-file=" + secret, "--replicated-topics=set-*",
		}
		if i == 1 {
			args = append(args, "--sigterm=drain")
		}
		c.nodes = append(c.nodes, &node{c: c, Daemon: process.NewDaemon(t, process.Command{Binary: filepath.Join(bin, "qd"), Args: args})})
	}
	for _, n := range c.nodes {
		n.Start(t)
	}
	for _, n := range c.nodes {
		n.awaitReady()
	}
	return c
}

// awaitReady waits until clients may be sent to the node.
func (n *node) awaitReady() {
	n.c.t.Helper()
	process.Eventually(n.c.t, n.HTTP+" is ready", func() bool {
		_, err := n.ask("GET", "/readyz", "")
		return err == nil
	})
}

// revive starts the node again.
func (n *node) revive() {
	n.c.t.Helper()
	n.base = figures{}
	n.Start(n.c.t)
	n.awaitReady()
}

func (n *node) ask(method, path, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), process.Timeout/2)
	defer cancel()
	return process.Ask(ctx, n.c.http, method, n.HTTP, path, body)
}

// must asks again until the node does it, as after an election.
func (n *node) must(method, path, body string) {
	n.c.t.Helper()
	var last error
	deadline := time.Now().Add(process.Timeout)
	for time.Now().Before(deadline) {
		if _, last = n.ask(method, path, body); last == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.c.t.Fatalf("%s: %v", n.HTTP, last)
}
