package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"qmq/test/process"
)

// member is one daemon of the cluster, which may die and come back on the same
// ports.
type member struct {
	t         *testing.T
	binary    string
	args      []string
	tcp, http string
	process   *process.Process
}

// start brings the member up, again if it was killed.
func (m *member) start() {
	m.t.Helper()
	m.process = process.Start(m.t, m.binary, m.args...)
	m.process.Await("TCP: listening on ")
	m.process.Await("HTTP: listening on ")
}

// cluster are two directories and some nodes.
type cluster struct {
	t       *testing.T
	bin     string
	lookups []*member
	nodes   []*member
}

// startCluster starts two directories and the given number of nodes.
func startCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: process.Build(t, "cmd/qd", "cmd/qlookupd")}
	for range 2 {
		m := c.newMember("qlookupd")
		c.lookups = append(c.lookups, m)
		m.start()
	}
	for range nodes {
		c.addNode()
	}
	return c
}

func (c *cluster) newMember(program string, args ...string) *member {
	m := &member{t: c.t, binary: filepath.Join(c.bin, program), tcp: process.Address(c.t), http: process.Address(c.t)}
	m.args = append([]string{"--broadcast-address=127.0.0.1", "--tcp-address=" + m.tcp, "--http-address=" + m.http}, args...)
	return m
}

// addNode starts one more node that registers with all directories.
func (c *cluster) addNode() *member {
	c.t.Helper()
	args := []string{"--data-path=" + c.t.TempDir()}
	for _, l := range c.lookups {
		args = append(args, "--lookupd-tcp-address="+l.tcp)
	}
	m := c.newMember("qd", args...)
	c.nodes = append(c.nodes, m)
	m.start()
	return m
}

// lookupAddresses are what a consumer is given.
func (c *cluster) lookupAddresses() (addresses []string) {
	for _, l := range c.lookups {
		addresses = append(addresses, l.http)
	}
	return addresses
}

// awaitProducers waits until the directory lists that many producers of the
// topic.
func (c *cluster) awaitProducers(l *member, topic string, want int) {
	c.t.Helper()
	var got int
	eventually(c.t, fmt.Sprintf("%d producers of %s", want, topic), func() bool {
		var answer struct {
			Producers []json.RawMessage `json:"producers"`
		}
		response, err := http.Get("http://" + l.http + "/lookup?topic=" + topic)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		got = -1
		if json.NewDecoder(response.Body).Decode(&answer) == nil {
			got = len(answer.Producers)
		}
		return got == want
	})
}

// eventually asks until the condition holds. What it waits for happens in
// other processes, which tell nobody.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(process.Patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
