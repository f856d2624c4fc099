package crashset

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
)

// set is three members on this machine.
type set struct {
	t       *testing.T
	members []*member
	net     *network // nil: all are on the loopback interface
}

// member is a qd that ends and comes back.
type member struct {
	*process.Daemon
	name    string // a, b, c
	address string // in the set
	dir     string // of its data
	lives   []*process.Process
}

// newSet is a set of three that is not started.
func newSet(t *testing.T, dir string) *set {
	s := &set{t: t}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := buildQD(t)
	if os.Getenv(inside) != "" {
		s.net = newNetwork(t)
	}
	var peers []string
	for i := range 3 {
		m := &member{name: string(rune('a' + i)), Daemon: new(process.Daemon)}
		m.dir = filepath.Join(dir, m.name)
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if s.net != nil {
			host := s.net.host(i)
			m.TCP, m.HTTP, m.address = host+":4150", host+":4151", host+":4153"
			mountSmall(t, m.dir)
		} else {
			m.TCP, m.HTTP, m.address = process.Address(t), process.Address(t), process.Address(t)
		}
		peers = append(peers, m.address)
		s.members = append(s.members, m)
	}
	slices.Sort(peers)
	for i, m := range s.members {
		host, _, _ := strings.Cut(m.TCP, ":")
		m.Command = process.Command{Binary: filepath.Join(bin, "qd"), Args: []string{
			"--data-path=" + m.dir, "--https-address=", "--broadcast-address=" + host, "--tcp-address=" + m.TCP, "--http-address=" + m.HTTP,
			"--cluster-peers=" + strings.Join(peers, ","), "--cluster-address=" + m.address, "--cluster-secret-file=" + secret,
			"--cluster-log-bytes=268435456",
		}}
		if s.net != nil {
			s.net.within(i, &m.Command)
		}
	}
	t.Cleanup(func() {
		for _, m := range s.members {
			for _, life := range m.lives {
				life.Kill()
			}
		}
	})
	return s
}

// start starts a member and waits until it listens.
func (s *set) start(m *member) {
	s.t.Helper()
	p, err := m.Command.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	m.Process = p
	m.lives = append(m.lives, p)
	p.Await(s.t, "HTTP: listening on ")
}

// startAll starts the set, and waits until it is at work.
func (s *set) startAll() {
	for _, m := range s.members {
		s.start(m)
	}
	s.awaitWhole()
}

// saveLogs leaves what the members have logged.
func (s *set) saveLogs(dir string) {
	if !s.t.Failed() && *keep == "" {
		return
	}
	if *keep == "" {
		dir, _ = os.MkdirTemp("", "crashset")
	}
	_ = os.MkdirAll(dir, 0o755)
	for _, m := range s.members {
		var all strings.Builder
		for n, life := range m.lives {
			fmt.Fprintf(&all, "=== life %d\n%s\n", n+1, strings.Join(life.Log(), "\n"))
		}
		_ = os.WriteFile(filepath.Join(dir, m.name+".log"), []byte(all.String()), 0o600)
	}
	s.t.Logf("logs are in %s", dir)
}

// disturbances are when members lost one another, or found another leader.
func (s *set) disturbances() (list []time.Time) {
	for _, m := range s.members {
		for _, life := range m.lives {
			for _, text := range []string{"lost the connection to a member", "a shard has a leader"} {
				for _, line := range life.Logged(text) {
					// [qd] 2026/11/28 12:14:32.359673 INFO: ...
					if fields := strings.Fields(line); len(fields) > 2 {
						if at, err := time.ParseInLocation("2006/01/02 15:04:05.000000", fields[1]+" "+fields[2], time.Local); err == nil {
							list = append(list, at)
						}
					}
				}
			}
		}
	}
	return list
}

// create creates topics with their channels.
func (s *set) create(topics ...string) {
	for _, topic := range topics {
		for _, path := range []string{"/topic/create?topic=" + topic, "/channel/create?topic=" + topic + "&channel=" + channelNames[0], "/channel/create?topic=" + topic + "&channel=" + channelNames[1]} {
			s.insist("POST", path)
		}
	}
}

// insist asks the first member until it does what it is asked for.
func (s *set) insist(method, path string) {
	s.t.Helper()
	for deadline := time.Now().Add(wholeTime); ; time.Sleep(20 * time.Millisecond) {
		_, err := s.members[0].ask(method, path)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v", path, err)
		}
	}
}

var asking = &http.Client{Timeout: 10 * time.Second}

// ask sends a request to a member.
func (m *member) ask(method, path string) ([]byte, error) {
	return process.Ask(context.Background(), asking, method, m.HTTP, path, "")
}

// status is the part of GET /cluster that the test looks at.
type status struct {
	State   string `json:"state"`
	Failure string `json:"failure"`
	Address string `json:"address"`
	Members []struct {
		Address   string `json:"address"`
		Joining   bool   `json:"joining"`
		Connected bool   `json:"connected"`
	} `json:"members"`
	Shards []struct {
		Shard   int    `json:"shard"`
		Role    string `json:"role"`
		Leader  string `json:"leader"`
		Commit  uint64 `json:"commit"`
		Applied uint64 `json:"applied"`
		Held    bool   `json:"held"`
		Failure string `json:"failure"`
	} `json:"shards"`
}

func (m *member) status() (st status, err error) {
	answer, err := m.ask("GET", "/cluster")
	if err == nil {
		err = json.Unmarshal(answer, &st)
	}
	return st, err
}

// lack is what is missing for the set to be whole; empty: nothing. The first time that all
// members tell what they agreed on, it is noted in agreed: that all of them have to apply.
func (s *set) lack(agreed *[13]uint64) string {
	var commits [13]uint64
	all := make([]status, len(s.members))
	for i, m := range s.members {
		st, err := m.status()
		if err != nil {
			return fmt.Sprintf("%s: %v", m.name, err)
		}
		if st.State != "member" || len(st.Members) != len(s.members) || len(st.Shards) != len(commits) {
			return fmt.Sprintf("%s is %q (%s), with %d members", m.name, st.State, st.Failure, len(st.Members))
		}
		for _, other := range st.Members {
			if other.Joining || !other.Connected {
				return fmt.Sprintf("%s sees %s joining %v, connected %v", m.name, other.Address, other.Joining, other.Connected)
			}
		}
		for n, shard := range st.Shards {
			if shard.Leader == "" || shard.Failure != "" || shard.Held {
				return fmt.Sprintf("%s has shard %d with leader %q, failure %q, held %v", m.name, n, shard.Leader, shard.Failure, shard.Held)
			}
			commits[n] = max(commits[n], shard.Commit)
		}
		all[i] = st
	}
	if *agreed == [13]uint64{} {
		*agreed = commits
	}
	for i, m := range s.members {
		for n, shard := range all[i].Shards {
			if shard.Applied < agreed[n] {
				return fmt.Sprintf("%s has applied %d of %d in shard %d", m.name, shard.Applied, agreed[n], n)
			}
		}
		if _, err := m.ask("GET", "/ping"); err != nil {
			return fmt.Sprintf("%s: %v", m.name, err)
		}
	}
	return ""
}

// wholeTime is how long a set may take to be whole again.
const wholeTime = 2 * time.Minute

// awaitWhole waits until all members have a vote, know all leaders, and have caught up.
func (s *set) awaitWhole() {
	s.t.Helper()
	deadline := time.Now().Add(wholeTime)
	var agreed [13]uint64
	for {
		lack := s.lack(&agreed)
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the set is not whole after %v: %s", wholeTime, lack)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// leader is the member that leads most of the topics' shards, and the others.
func (s *set) leader() (leader *member, others []*member) {
	led := make(map[string]int)
	for _, m := range s.members {
		if st, err := m.status(); err == nil {
			for _, shard := range st.Shards[1:] {
				led[shard.Leader]++
			}
			break
		}
	}
	leader = slices.MaxFunc(s.members, func(a, b *member) int { return led[a.address] - led[b.address] })
	return leader, s.others(leader)
}

// others are the members but some.
func (s *set) others(but ...*member) (list []*member) {
	for _, m := range s.members {
		if !slices.Contains(but, m) {
			list = append(list, m)
		}
	}
	return list
}
