package daemon

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qmq/internal/version"
	"qmq/lookup"
)

// startDirectory runs a qlookupd and returns its addresses.
func startDirectory(t *testing.T) (r *running, tcp, web string) {
	t.Helper()
	r = launch(t, QLookupd, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
	return r, r.line("TCP: listening on "), r.line("HTTP: listening on ")
}

func newClient(t *testing.T) *lookup.Client {
	c := lookup.NewClient(lookup.ClientOptions{ConnectTimeout: testTimeout, RequestTimeout: testTimeout})
	t.Cleanup(c.Close)
	return c
}

// until asks a daemon until the answer is the one that it must come to.
func until(t *testing.T, want string, ask func() string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); {
		if got = ask(); got == want {
			return
		}
	}
	t.Fatalf("it stays %s, want %s", got, want)
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

func TestNodesAreFoundAndNewTopicsHaveTheirChannels(t *testing.T) {
	directory, tcp, web := startDirectory(t)
	other, otherTCP, otherWeb := startDirectory(t)
	c := newClient(t)
	for _, channel := range []string{"known", "brief#ephemeral"} {
		if err := c.CreateChannel(t.Context(), []string{web}, "t", channel); err != nil {
			t.Fatal(err)
		}
	}
	node := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1",
		"--topology-zone=z", "--topology-region=r", "--lookupd-tcp-address="+tcp)
	nodeTCP, api := node.line("TCP: listening on "), node.line("HTTP: listening on ")
	ask(t, "POST", api, "/pub?topic=t", "1")
	ask(t, "POST", api, "/pub?topic=t", "2")
	until(t, "true", func() string {
		stats := get(t, api, "/stats?format=json&topic=t")
		return fmt.Sprint(strings.Contains(stats, `"channel_name":"known","depth":2`))
	})
	if stats := get(t, api, "/stats?format=json"); strings.Contains(stats, "brief") {
		t.Errorf("an ephemeral channel was learnt: %s", stats)
	}
	found := func(web string) func() string {
		return func() string {
			answer, err := c.Lookup(t.Context(), []string{web}, "t")
			if err != nil {
				t.Fatal(err)
			}
			var ports []int
			for _, p := range answer.Producers {
				ports = append(ports, p.TCPPort)
			}
			return fmt.Sprint(answer.Channels, ports)
		}
	}
	here := fmt.Sprint([]int{portOf(t, nodeTCP)})
	until(t, "[brief#ephemeral known] "+here, found(web))
	nodes, err := c.Nodes(t.Context(), []string{web})
	want := lookup.Identity{BroadcastAddress: "127.0.0.1", TCPPort: portOf(t, nodeTCP), HTTPPort: portOf(t, api), Version: version.Number, TopologyZone: "z", TopologyRegion: "r"}
	if err != nil || len(nodes) != 1 {
		t.Fatal(nodes, err)
	}
	if want.Hostname = nodes[0].Hostname; nodes[0].Identity != want || want.Hostname == "" {
		t.Errorf("it is known as %+v", nodes[0].Identity)
	}

	if answer := ask(t, "PUT", api, "/config/nsqlookupd_tcp_addresses", `["`+otherTCP+`"]`); answer != `["`+otherTCP+`"]` {
		t.Errorf("answered %s", answer)
	}
	until(t, "[known] "+here, found(otherWeb))
	until(t, "[brief#ephemeral known] []", found(web))

	if err := c.Tombstone(t.Context(), []string{otherWeb}, "t", "127.0.0.1:"+fmt.Sprint(portOf(t, api))); err != nil {
		t.Fatal(err)
	}
	until(t, "[known] []", found(otherWeb))
	ask(t, "POST", api, "/topic/delete?topic=t", "")
	ask(t, "POST", api, "/pub?topic=t", "3")
	until(t, "[known] "+here, found(otherWeb))

	node.stop()
	until(t, "[known] []", found(otherWeb))
	directory.stop()
	other.stop()
}

func TestNodeOnUnixSocketsSaysThatNobodyIsTold(t *testing.T) {
	dir := t.TempDir()
	node := start(t, "--data-path", dir, "--tcp-address="+filepath.Join(dir, "tcp"), "--http-address="+filepath.Join(dir, "http"), "--lookupd-tcp-address=127.0.0.1:1")
	node.line("WARNING: not announced to lookup directories")
	node.stop()
}

func TestWithDeadDirectoriesEverythingElseWorks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node := start(t, "--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--lookupd-tcp-address="+l.Addr().String())
	_, api := node.untilListening()
	quick := 0
	for i := range 20 {
		began := time.Now()
		ask(t, "POST", api, fmt.Sprintf("/pub?topic=t%d", i), "1")
		ask(t, "POST", api, fmt.Sprintf("/channel/create?topic=t%d&channel=c", i), "")
		if time.Since(began) < time.Second {
			quick++
		}
	}
	if quick == 0 { // a directory would be waited for for a second; others may take that on a busy machine
		t.Error("each of 20 topics took a second and more")
	}
	until(t, "20", func() string {
		return fmt.Sprint(strings.Count(get(t, api, "/stats?format=json"), `"channel_name":"c","depth":1`))
	})
	node.stop()
}

// TestEverythingWorksOnIPVersion6, with brackets or without: nodes are listed
// and asked, topics learnt, and the page finds and changes them.
func TestEverythingWorksOnIPVersion6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("this machine has no IP version 6: %v", err)
		return
	}
	l.Close()
	for _, host := range []string{"::1", "[::1]"} {
		directory := launch(t, QLookupd, "--tcp-address=[::1]:0", "--http-address=[::1]:0", "--broadcast-address="+host)
		tcp, web := directory.line("TCP: listening on "), directory.line("HTTP: listening on ")
		c := newClient(t)
		if err := c.CreateChannel(t.Context(), []string{web}, "t", "known"); err != nil {
			t.Fatal(err)
		}
		node := start(t, "--data-path", t.TempDir(), "--tcp-address=[::1]:0", "--http-address=[::1]:0", "--broadcast-address="+host, "--lookupd-tcp-address="+tcp)
		nodeTCP, api := node.line("TCP: listening on "), node.line("HTTP: listening on ")
		page := launch(t, QAdmin, "--http-address=[::1]:0", "--lookupd-http-address=http://"+web)
		at := page.line("HTTP: listening on ")
		ask(t, "POST", api, "/pub?topic=t", "1")
		until(t, "[known] [::1 "+fmt.Sprint(portOf(t, nodeTCP))+"]", func() string {
			answer, err := c.Lookup(t.Context(), []string{web}, "t")
			if err != nil || len(answer.Producers) != 1 {
				return fmt.Sprint(answer, err)
			}
			return fmt.Sprint(answer.Channels, " [", answer.Producers[0].BroadcastAddress, " ", answer.Producers[0].TCPPort, "]")
		})
		until(t, "true", func() string {
			_, body, _ := fetch(t, "http://"+at+"/api/topics/t/known") // which is not there at first
			return fmt.Sprint(strings.Contains(body, `"depth":1`))
		})
		id := fmt.Sprintf("[::1]:%d", portOf(t, api))
		ask(t, "DELETE", at, "/api/nodes/"+url.PathEscape(id), `{"topic":"t"}`)
		until(t, "[]", func() string {
			answer, err := c.Lookup(t.Context(), []string{web}, "t")
			if err != nil {
				return err.Error()
			}
			return fmt.Sprint(answer.Producers)
		})
		for _, r := range []*running{page, node, directory} {
			r.stop()
		}
	}
}
