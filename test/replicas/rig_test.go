package replicas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"

	"qmq/test/process"
)

// binaries is where the commands are built, once for all tests.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(process.WithBinaries(func(dir string) int {
		binaries = dir
		return m.Run()
	}, "cmd/q", "cmd/qd", "cmd/qlookupd"))
}

// set is members on this machine.
type set struct {
	t       *testing.T
	members []*member
	peers   []string
	qd      string
	secret  string
}

type member struct {
	*process.Daemon
	address string
	dir     string
}

// startSet starts a set of three that is at work.
func startSet(t *testing.T, args ...string) *set {
	t.Helper()
	s := newSet(t, 3, args...)
	for _, m := range s.members {
		m.Start(t)
	}
	for shard := range 13 { // so that no first election is under way
		s.members[0].Await(t, fmt.Sprintf("a shard has a leader shard=%d ", shard))
	}
	return s
}

// newSet is members that are not started.
func newSet(t *testing.T, n int, args ...string) *set {
	t.Helper()
	s := &set{t: t, qd: filepath.Join(binaries, "qd"), secret: filepath.Join(t.TempDir(), "secret")}
	if err := os.WriteFile(s.secret, []byte("the secret of the tests\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range n {
		s.peers = append(s.peers, process.Address(t))
	}
	slices.Sort(s.peers)
	for _, address := range s.peers {
		s.members = append(s.members, s.newMember(address, t.TempDir(), args...))
	}
	return s
}

func (s *set) newMember(address, dir string, args ...string) *member {
	m := &member{address: address, dir: dir}
	m.Daemon = process.NewDaemon(s.t, process.Command{Binary: s.qd, Args: append([]string{
		"--data-path=" + dir, "--https-address=", "--broadcast-address=127.0.0.1",
		"--cluster-peers=" + strings.Join(s.peers, ","), "--cluster-address=" + address, "--cluster-secret-file=" + s.secret,
	}, args...)})
	return m
}

// ask sends a request to a member; a status other than 200 is an error.
func (m *member) ask(method, path, body string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), process.Timeout)
	defer cancel()
	answer, err := process.Ask(ctx, http.DefaultClient, method, m.HTTP, path, body)
	return string(answer), err
}

// patiently asks a member again while it says that it may be asked again (503), as it does
// where no leader is elected in the few seconds that it waits itself.
func (m *member) patiently(method, path, body string) (answer string, err error) {
	for late := time.Now().Add(process.Timeout); ; time.Sleep(10 * time.Millisecond) {
		var refused *process.StatusError
		answer, err = m.ask(method, path, body)
		if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || time.Now().After(late) {
			return answer, err
		}
	}
}

// insist asks a member until it does what it is asked for: where no leader is elected in
// the few seconds that it waits itself, as on a machine that is slow, it refuses.
func (s *set) insist(m *member, path, body string) (answer string) {
	s.t.Helper()
	var err error
	for late := time.Now().Add(process.Timeout); ; time.Sleep(10 * time.Millisecond) {
		if answer, err = m.ask("POST", path, body); err == nil {
			return answer
		}
		if time.Now().After(late) {
			s.t.Fatalf("%s at %s: %v", path, m.address, err)
		}
	}
}

// publish publishes a message through a member.
func (s *set) publish(m *member, topic, body string) {
	s.t.Helper()
	if answer := s.insist(m, "/pub?topic="+topic, body); answer != "OK" {
		s.t.Fatalf("publish of %s through %s: %q", body, m.address, answer)
	}
}

// change has a member change the set.
func (s *set) change(m *member, path string) {
	s.t.Helper()
	s.insist(m, path, "")
}

func (s *set) create(topic, channel string) {
	s.t.Helper()
	for _, path := range []string{"/topic/create?topic=" + topic, "/channel/create?topic=" + topic + "&channel=" + channel} {
		s.insist(s.members[0], path, "")
	}
}

// topicStats is the part of /stats that the tests look at.
type topicStats struct {
	Name     string `json:"topic_name"`
	Channels []struct {
		Name  string `json:"channel_name"`
		Depth int    `json:"depth"`
	} `json:"channels"`
	Replica struct {
		Role    string `json:"role"`
		Shard   int    `json:"shard"`
		Leader  string `json:"leader"`
		Applied uint64 `json:"applied"`
		Lag     uint64 `json:"lag"`
	} `json:"replica"`
}

// stats is what a member tells of a topic; ok is false when it knows none.
func (m *member) stats(topic string) (found topicStats, ok bool) {
	answer, err := m.ask("GET", "/stats?format=json&topic="+topic, "")
	var all struct {
		Topics []topicStats `json:"topics"`
	}
	if err != nil || json.Unmarshal([]byte(answer), &all) != nil || len(all.Topics) != 1 {
		return found, false
	}
	return all.Topics[0], true
}

// leader is the member that leads a topic.
func (s *set) leader(topic string) (leader *member) {
	s.t.Helper()
	process.Eventually(s.t, "a leader of "+topic, func() bool {
		leader = nil
		for _, m := range s.members {
			select {
			case <-m.Ended():
				continue
			default:
			}
			if st, ok := m.stats(topic); ok && st.Replica.Role == "leader" {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// awaitApplied waits until a member has applied all of a topic that another has.
func (s *set) awaitApplied(m, other *member, topic string) {
	s.t.Helper()
	process.Eventually(s.t, m.address+" has caught up", func() bool {
		own, ok := m.stats(topic)
		there, knows := other.stats(topic)
		return ok && knows && own.Replica.Applied >= there.Replica.Applied && own.Replica.Lag == 0
	})
}

// awaitVotes waits until a member sees so many with a vote, and nobody else.
func (s *set) awaitVotes(m *member, n int) {
	s.t.Helper()
	process.Eventually(s.t, fmt.Sprintf("%d members with a vote", n), func() bool {
		answer, err := m.ask("GET", "/cluster", "")
		var view struct {
			Members []struct {
				Joining bool `json:"joining"`
				Leaving bool `json:"leaving"`
			} `json:"members"`
		}
		if err != nil || json.Unmarshal([]byte(answer), &view) != nil || len(view.Members) != n {
			return false
		}
		for _, m := range view.Members {
			if m.Joining || m.Leaving {
				return false
			}
		}
		return true
	})
}

// others are the members but one.
func (s *set) others(m *member) (list []*member) {
	for _, o := range s.members {
		if o != m {
			list = append(list, o)
		}
	}
	return list
}

// consumption is what stock consumers got.
type consumption struct {
	t   *testing.T
	mu  sync.Mutex // guards got
	got map[string]int
}

// consume has a stock consumer take from these members.
func (s *set) consume(topic, channel string, from ...*member) *consumption {
	s.t.Helper()
	c := &consumption{t: s.t, got: make(map[string]int)}
	config := nsq.NewConfig()
	config.MaxInFlight = 100
	config.LookupdPollInterval = 100 * time.Millisecond
	config.DefaultRequeueDelay = 0
	consumer, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		s.t.Fatal(err)
	}
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	consumer.AddHandler(nsq.HandlerFunc(func(m *nsq.Message) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[string(m.Body)]++
		return nil
	}))
	var addresses []string
	for _, m := range from {
		addresses = append(addresses, m.TCP)
	}
	if err := consumer.ConnectToNSQDs(addresses); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		consumer.Stop()
		<-consumer.StopChan
	})
	return c
}

// await waits until all of the messages have come.
func (c *consumption) await(bodies []string) {
	c.t.Helper()
	missing := func() (list []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, body := range bodies {
			if c.got[body] == 0 {
				list = append(list, body)
			}
		}
		return list
	}
	deadline := time.Now().Add(process.Timeout)
	for len(missing()) > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if list := missing(); len(list) > 0 {
		c.t.Fatalf("%d of %d messages never came, such as %s", len(list), len(bodies), list[0])
	}
}

// bodies are n messages with a name.
func bodies(name string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s %d", name, i))
	}
	return list
}
