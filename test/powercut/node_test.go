package powercut

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"qmq/test/process"
)

// node is qd on a disk, until its process ends.
type node struct {
	*process.Daemon
	t *testing.T
}

func startNode(t *testing.T, binary string, d disk, args ...string) *node {
	t.Helper()
	name, first := d.command(binary)
	c := process.Command{Binary: name, Args: append(append(first, "--data-path="+d.path(), fmt.Sprint("--sync-timeout=", syncTimeout),
		"--max-bytes-per-file=1048576", "--msg-timeout=10m"), args...)}
	n := &node{t: t, Daemon: process.NewDaemon(t, c)}
	n.Start(t)
	return n
}

// ask sends a request; the error is also that it was refused.
func (n *node) ask(method, path string, names ...string) ([]byte, error) {
	q := url.Values{}
	for i, key := range []string{"topic", "channel"}[:len(names)] {
		q.Set(key, names[i])
	}
	if strings.HasPrefix(path, "/stats") {
		q.Set("format", "json")
	}
	client := http.Client{Timeout: process.Timeout}
	return process.Ask(context.Background(), &client, method, n.HTTP, path+"?"+q.Encode(), "")
}

type stats struct {
	Damage any `json:"damage"`
	Topics []struct {
		Name     string `json:"topic_name"`
		Channels []struct {
			Name     string `json:"channel_name"`
			Depth    int    `json:"depth"`
			InFlight int    `json:"in_flight_count"`
			Deferred int    `json:"deferred_count"`
		} `json:"channels"`
	} `json:"topics"`
}

func (n *node) stats() (s stats) {
	n.t.Helper()
	body, err := n.ask(http.MethodGet, "/stats")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// left is how many messages each channel has, by topic and channel.
func (s *stats) left() map[string]map[string]int {
	left := make(map[string]map[string]int)
	for _, t := range s.Topics {
		left[t.Name] = make(map[string]int)
		for _, c := range t.Channels {
			left[t.Name][c.Name] = c.Depth + c.InFlight + c.Deferred
		}
	}
	return left
}

// damaged says that something is counted or listed as damaged.
func damaged(v any) bool {
	switch v := v.(type) {
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		for _, part := range v {
			if damaged(part) {
				return true
			}
		}
	}
	return false
}

// healthy checks /ping.
func (n *node) healthy() {
	n.t.Helper()
	if body, err := n.ask(http.MethodGet, "/ping"); err != nil || string(body) != "OK" {
		n.t.Errorf("/ping: %s, %v", body, err)
	}
}
