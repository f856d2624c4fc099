package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"qmq/test/process"
)

// cluster are two directories and some nodes.
type cluster struct {
	t       *testing.T
	bin     string
	lookups []*process.Daemon
	nodes   []*process.Daemon
}

// startCluster starts two directories and the given number of nodes.
func startCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: process.Build(t, "cmd/qd", "cmd/qlookupd")}
	for range 2 {
		m := c.newMember("qlookupd")
		c.lookups = append(c.lookups, m)
		m.Start(t)
	}
	for range nodes {
		c.addNode()
	}
	return c
}

func (c *cluster) newMember(program string, args ...string) *process.Daemon {
	c.t.Helper()
	return process.NewDaemon(c.t, process.Command{Binary: filepath.Join(c.bin, program), Args: append([]string{"--broadcast-address=127.0.0.1"}, args...)})
}

// addNode starts one more node that registers with all directories.
func (c *cluster) addNode() *process.Daemon {
	c.t.Helper()
	args := []string{"--data-path=" + c.t.TempDir()}
	for _, l := range c.lookups {
		args = append(args, "--lookupd-tcp-address="+l.TCP)
	}
	m := c.newMember("qd", args...)
	c.nodes = append(c.nodes, m)
	m.Start(c.t)
	return m
}

// lookupAddresses are what a consumer is given.
func (c *cluster) lookupAddresses() (addresses []string) {
	for _, l := range c.lookups {
		addresses = append(addresses, l.HTTP)
	}
	return addresses
}

// awaitProducers waits until the directory lists that many producers of the
// topic.
func (c *cluster) awaitProducers(l *process.Daemon, topic string, want int) {
	c.t.Helper()
	process.Eventually(c.t, fmt.Sprintf("%d producers of %s", want, topic), func() bool {
		var answer struct {
			Producers []json.RawMessage `json:"producers"`
		}
		text, err := process.Ask(c.t.Context(), http.DefaultClient, http.MethodGet, l.HTTP, "/lookup?topic="+topic, "")
		return err == nil && json.Unmarshal(text, &answer) == nil && len(answer.Producers) == want
	})
}
