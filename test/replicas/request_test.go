package replicas

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qmq/client"
	"qmq/test/process"
)

// open makes a client that knows members.
func (s *set) open(members ...*member) *client.Client {
	s.t.Helper()
	o := client.Options{Replicated: true, Patience: process.Timeout}
	for _, m := range members {
		o.Nodes, o.HTTP = append(o.Nodes, m.TCP), append(o.HTTP, m.HTTP)
	}
	c, err := client.Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// reply replies through a member to requests of a topic until the test ends, or stop.
func (s *set) reply(m *member, topic string, handler func(string) string) (stop func()) {
	s.t.Helper()
	c := s.open(m)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- c.Reply(ctx, client.Consumption{Topic: topic, Handlers: 8}, func(_ context.Context, d *client.Delivery) (client.Message, error) {
			return client.Message{Body: []byte(handler(string(d.Body)))}, nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("replying through %s: %v", m.address, err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// request asks with a time limit, again where nobody consumes the topic yet.
func request(ctx context.Context, c *client.Client, topic, body string) (string, error) {
	for {
		d, err := c.Request(ctx, topic, client.Message{Body: []byte(body)})
		if errors.Is(err, client.ErrNoResponders) && ctx.Err() == nil {
			continue
		}
		if d == nil {
			return "", err
		}
		return string(d.Body), err
	}
}

// awaitNoInboxes waits until no member has an inbox of a client.
func (s *set) awaitNoInboxes() {
	s.t.Helper()
	for _, m := range s.members {
		process.Eventually(s.t, m.address+" has no inboxes", func() bool {
			answer, err := m.ask("GET", "/stats?format=json", "")
			return err == nil && !strings.Contains(answer, `"topic_name":"inbox-`)
		})
	}
}

// A request whose leader is killed before it is replied to is replied to all the same, by
// the one at another member, and so are many that are under way; when the askers have gone
// nothing of theirs is left at any member.
func TestRequestsAreRepliedToWhenTheLeaderIsKilled(t *testing.T) {
	s := startSet(t)
	s.change(s.members[0], "/topic/create?topic=sums")
	leader := s.leader("sums")
	a, b := s.others(leader)[0], s.others(leader)[1]
	begun, killed := make(chan struct{}, 100), make(chan struct{})
	upper := func(body string) string {
		if body == "first" {
			begun <- struct{}{}
			<-killed
		}
		return strings.ToUpper(body)
	}
	s.reply(a, "sums", upper)
	s.reply(b, "sums", upper)
	ctx, cancel := context.WithTimeout(t.Context(), 2*process.Timeout)
	defer cancel()
	first, alone := make(chan error, 1), s.open(a, b)
	go func() {
		reply, err := request(ctx, alone, "sums", "first")
		if err == nil && reply != "FIRST" {
			err = fmt.Errorf("the reply is %q", reply)
		}
		first <- err
	}()
	select {
	case <-begun:
	case err := <-first:
		t.Fatal(err)
	}
	leader.Kill()
	close(killed)
	if err := <-first; err != nil {
		t.Errorf("the leader was killed between request and reply: %v", err)
	}

	askers := []*client.Client{s.open(s.members...), s.open(s.members...), s.open(a, b)}
	var asking sync.WaitGroup
	var replied atomic.Int64
	const each, requests = 10, 10
	for i := range each * len(askers) {
		asking.Go(func() {
			for n := range requests {
				body := fmt.Sprint("request ", i, "-", n)
				reply, err := request(ctx, askers[i%len(askers)], "sums", body)
				if err != nil || reply != strings.ToUpper(body) {
					t.Errorf("%s: %q, %v", body, reply, err)
					return
				}
				replied.Add(1)
			}
		})
	}
	process.Eventually(t, "requests are replied to", func() bool { return replied.Load() >= int64(len(askers)*each) || t.Failed() })
	leader.Start(t)
	asking.Wait()
	if n := replied.Load(); n != int64(len(askers)*each*requests) {
		t.Errorf("%d of %d requests were replied to", n, len(askers)*each*requests)
	}
	for _, c := range append(askers, alone) {
		c.Close()
	}
	s.awaitNoInboxes()
}

// Requests that nobody replies to end when they should, and are done by nobody afterwards.
func TestRequestsOfASetThatNobodyRepliesTo(t *testing.T) {
	s := startSet(t)
	s.change(s.members[0], "/topic/create?topic=silent")
	c := s.open(s.members...)
	ctx, cancel := context.WithTimeout(t.Context(), process.Timeout)
	defer cancel()
	if _, err := c.Request(ctx, "silent", client.Message{Body: []byte("anybody?")}); !errors.Is(err, client.ErrNoResponders) {
		t.Errorf("nobody is there: %v", err)
	}
	release, asked := make(chan struct{}), make(chan string, 100)
	s.reply(s.members[1], "slow", func(body string) string {
		asked <- body
		if body == "late" {
			<-release
		}
		return body
	})
	if reply, err := request(ctx, c, "slow", "quick"); err != nil || reply != "quick" {
		t.Fatal(reply, err)
	}
	short, end := context.WithTimeout(ctx, 500*time.Millisecond)
	defer end()
	if _, err := c.Request(short, "slow", client.Message{Body: []byte("late")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it takes too long: %v", err)
	}
	close(release) // what comes of it now is for nobody
	if reply, err := request(ctx, c, "slow", "after"); err != nil || reply != "after" {
		t.Fatal(reply, err)
	}
	c.Close()
	s.awaitNoInboxes()
}

// q request and q reply do their work through the members that are there, whichever of
// those that they are told of is dead.
func TestRequestAndReplyCommandsGoAroundADeadMember(t *testing.T) {
	s := startSet(t)
	q := filepath.Join(binaries, "q")
	s.change(s.members[0], "/topic/create?topic=upper")
	dead := s.leader("upper")
	dead.Kill()
	live := s.others(dead)
	all := append([]*member{dead}, live...)
	var nodes []string
	for _, m := range all {
		nodes = append(nodes, "--addr="+m.TCP, "--http-addr="+m.HTTP)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*process.Timeout)
	defer cancel()
	reply, err := process.Command{Binary: q, Args: append([]string{"reply", "upper", "--command=tr a-z A-Z"}, nodes...)}.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Kill()
	for _, wanted := range []string{"HELLO", "AGAIN"} {
		var out []byte
		var err error
		process.Eventually(t, "q request is replied to", func() bool {
			out, err = exec.CommandContext(ctx, q, append([]string{"request", "upper", strings.ToLower(wanted), "--wait=10s"}, nodes...)...).Output()
			return err == nil || ctx.Err() != nil
		})
		if err != nil || strings.TrimSpace(string(out)) != wanted {
			t.Fatalf("%q, %v\n%s", out, err, strings.Join(reply.Log(), "\n"))
		}
	}
	dead.Start(t)
	if err := reply.Terminate(process.Timeout); err != nil {
		t.Error(err)
	}
	s.awaitNoInboxes()
}
