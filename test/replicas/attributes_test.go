package replicas

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/client"
	"qmq/test/process"
)

// told is what a peek tells of the messages of a topic, by body: what must stay, wherever
// they go.
func (m *member) told(topic string) (map[string]string, error) {
	answer, err := m.ask("GET", "/topic/peek?limit=100&topic="+url.QueryEscape(topic), "")
	if err != nil {
		return nil, err
	}
	var peeked struct {
		Messages []struct {
			Body    string          `json:"body"`
			Headers json.RawMessage `json:"headers"`
		} `json:"messages"`
	}
	if err := json.Unmarshal([]byte(answer), &peeked); err != nil {
		return nil, err
	}
	all := make(map[string]string)
	for _, one := range peeked.Messages {
		all[one.Body] = string(one.Headers)
	}
	return all, nil
}

// wantTold waits until a member tells the same of a topic, but for the messages whose body
// is one of those.
func (s *set) wantTold(m *member, topic string, want map[string]string, where string) {
	s.t.Helper()
	var got map[string]string
	var err error
	deadline := time.Now().Add(process.Timeout)
	for time.Now().Before(deadline) {
		if got, err = m.told(topic); err == nil && len(got) == len(want) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(got) != len(want) {
		s.t.Fatalf("%s: %d messages of %d, %v", where, len(got), len(want), err)
	}
	for body, headers := range want {
		if got[body] != headers {
			s.t.Errorf("%s: of message %s it is told\n%.300s, and not\n%.300s", where, body, got[body], headers)
		}
	}
}

// describedMessages have all that may be said of one.
func describedMessages() []client.Message {
	long := client.Headers{{Key: "long", Value: strings.Repeat("\x00\xff\n", 16<<10/3-3)}}
	var many client.Headers
	for i := range 61 {
		many = append(many, client.Header{Key: fmt.Sprint("h", i), Value: strings.Repeat("v", i)})
	}
	return []client.Message{
		{Body: []byte("nothing is said")},
		{Body: []byte("long"), Headers: long, Key: strings.Repeat("k", 255), Priority: 9},
		{Body: []byte("many"), Headers: slices.Concat(many, client.Headers{{Key: "Same", Value: "1"}, {Key: "same", Value: "2"}}), Key: "\x00 key", Priority: 1, DedupID: "many"},
		{Body: []byte("id"), DedupID: strings.Repeat("i", 1000), Key: "u-1"},
		{Body: []byte("trace"), Headers: client.Headers{{Key: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}, {Key: "empty", Value: ""}}},
	}
}

// run runs q to its end.
func (s *set) run(args ...string) string {
	s.t.Helper()
	q := filepath.Join(binaries, "q")
	p, err := process.Command{Binary: q, Args: args}.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Kill()
	select {
	case <-p.Ended():
	case <-time.After(process.Timeout):
		s.t.Fatalf("q %s does not end:\n%s", strings.Join(args, " "), strings.Join(p.Log(), "\n"))
	}
	if err := p.Err(); err != nil {
		s.t.Fatalf("q %s: %v\n%s", strings.Join(args, " "), err, strings.Join(p.Log(), "\n"))
	}
	return strings.Join(p.Log(), "\n")
}

// What is said of messages goes with them: through kill -9 and a stop of their node, a check
// of its directory, an archive and back, to a set and to a member of it whose disk was
// empty, through the death of a leader, to the dead letters and back, to another topic, and
// from a node's own topic into one of the set.
func TestWhatIsSaidOfMessagesGoesWithThem(t *testing.T) {
	s := startSet(t)
	lone := &member{dir: t.TempDir()}
	lone.Daemon = process.NewDaemon(t, process.Command{Binary: s.qd, Args: []string{"--data-path=" + lone.dir, "--https-address=", "--broadcast-address=127.0.0.1"}})
	lone.Start(t)
	for _, path := range []string{"/topic/create?topic=t", "/channel/create?topic=t&channel=archive", "/channel/create?topic=t&channel=forward"} {
		s.insist(lone, path, "")
	}
	c := s.open(lone)
	for _, m := range describedMessages() {
		if err := c.Publish(t.Context(), "t", m); err != nil {
			t.Fatal(err)
		}
	}
	want, err := lone.told("t")
	if err != nil || len(want) != len(describedMessages()) {
		t.Fatalf("%d messages, %v", len(want), err)
	}
	s.wantTold(lone, "t", want, "as they were published")
	lone.Kill()
	lone.Start(t)
	s.wantTold(lone, "t", want, "after kill -9")
	if err := lone.Terminate(process.Timeout); err != nil {
		t.Fatal(err)
	}
	s.run("check", lone.dir)
	lone.Start(t)
	s.wantTold(lone, "t", want, "after a stop and a check")

	s.archiveAndRestore(lone, want)
	s.forwardInto(lone, want)

	m := s.members[0]
	m.Kill()
	if err := errors.Join(os.RemoveAll(m.dir), os.Mkdir(m.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	m.Start(t)
	s.awaitVotes(s.members[1], 3)
	s.wantTold(m, "forwarded", want, "at a member that began with an empty disk")
	s.leader("forwarded").Kill()
	for _, m := range s.members {
		select {
		case <-m.Ended():
			m.Start(t)
		default:
		}
	}
	for _, m := range s.members {
		s.wantTold(m, "forwarded", want, "after the leader's death, at "+m.address)
	}
	s.throughDeadLetters(want)
	s.adoptInto(want)
}

// archiveAndRestore archives the topic t and publishes it anew as another one.
func (s *set) archiveAndRestore(lone *member, want map[string]string) {
	s.t.Helper()
	dir := s.t.TempDir()
	q := filepath.Join(binaries, "q")
	archive, err := process.Command{Binary: q, Args: []string{"archive", "t", "-d", dir, "--addr=" + lone.TCP, "--http-addr=" + lone.HTTP}}.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	defer archive.Kill()
	process.Eventually(s.t, "all is received", func() bool {
		answer, err := lone.ask("GET", "/stats?format=json&topic=t&channel=archive", "")
		return err == nil && strings.Contains(answer, fmt.Sprintf(`"in_flight_count":%d`, len(want)))
	})
	if err := archive.Terminate(process.Timeout); err != nil {
		s.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		s.t.Fatal(files, err)
	}
	s.run(append([]string{"restore", "--topic=restored", "--addr=" + lone.TCP}, files...)...)
	s.wantTold(lone, "restored", want, "after an archive and back")
}

// forwardInto forwards the topic t to the set.
func (s *set) forwardInto(lone *member, want map[string]string) {
	s.t.Helper()
	q := filepath.Join(binaries, "q")
	s.change(s.members[0], "/topic/create?topic=forwarded")
	s.change(s.members[0], "/channel/create?topic=forwarded&channel=work")
	forward, err := process.Command{Binary: q, Args: []string{"forward", "t", "--to-qd=" + s.members[1].TCP, "--destination-topic=forwarded", "--addr=" + lone.TCP, "--http-addr=" + lone.HTTP}}.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	defer forward.Kill()
	for _, m := range s.members {
		s.wantTold(m, "forwarded", want, "after a forward, at "+m.address+"\n"+strings.Join(forward.Log(), "\n"))
	}
	if err := forward.Terminate(process.Timeout); err != nil {
		s.t.Fatal(err)
	}
}

// throughDeadLetters has all messages become dead letters, put back, and moved.
func (s *set) throughDeadLetters(want map[string]string) {
	s.t.Helper()
	s.insistPut("/channel/config?topic=forwarded&channel=work", `{"max_attempts":1,"dead_letter_topic":"dead"}`)
	var got []string
	for late := time.Now().Add(process.Timeout); len(got) < len(want) && time.Now().Before(late); {
		var answer struct{ Messages []leased }
		if err := json.Unmarshal([]byte(s.insist(s.members[2], "/sub?topic=forwarded&channel=work&max=100&wait=1000", "")), &answer); err != nil {
			s.t.Fatal(err)
		}
		for _, id := range idsOf(answer.Messages) {
			got = append(got, id)
			s.insist(s.members[1], "/req?topic=forwarded&channel=work&id="+id, "")
		}
	}
	s.wantTold(s.members[0], "dead", want, "as dead letters")
	s.insist(s.members[0], "/deadletter/putback?topic=dead&all=true", "")
	s.change(s.members[0], "/topic/create?topic=moved")
	process.Eventually(s.t, "all are back", func() bool {
		st, ok := s.leader("forwarded").stats("forwarded")
		return ok && len(st.Channels) == 1 && st.Channels[0].Depth == len(want)
	})
	s.insist(s.members[1], "/channel/move?topic=forwarded&channel=work&to=moved", "")
	s.wantTold(s.members[2], "moved", want, "put back and moved")
}

// adoptInto has a topic of one member become one of the set.
func (s *set) adoptInto(want map[string]string) {
	s.t.Helper()
	m := s.members[0]
	s.change(m, "/topic/create?topic=mine&replicated=false")
	s.change(m, "/channel/create?topic=mine&channel=work")
	c := s.open(m)
	for _, one := range describedMessages() {
		if err := c.Publish(s.t.Context(), "mine", one); err != nil {
			s.t.Fatal(err)
		}
	}
	s.wantTold(m, "mine", want, "in a topic of one member")
	s.change(s.members[1], "/cluster/adopt?topic=mine")
	process.Eventually(s.t, "it is adopted", func() bool {
		moving, ok := m.adopting("mine")
		return ok && !moving
	})
	for _, m := range s.members {
		s.wantTold(m, "mine", want, "adopted, at "+m.address)
	}
}
