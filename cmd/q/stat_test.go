package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"qmq/internal/nodeclient"
)

// lined is a table with its runs of blanks made one.
func lined(text string) string {
	var lines []string
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestStatShowsFiguresOverAllNodes(t *testing.T) {
	a, b := withChannel(t), withChannel(t)
	at := "--http-addr=" + a.http + "," + b.http
	must(t, numbered(3), "pub", "t", "--to=all", "--addr="+a.tcp+","+b.tcp)
	must(t, "", "pub", "other", "x", "--addr="+a.tcp)
	a.post("/channel/pause", "topic", "t", "channel", "c")
	for by, want := range map[string]string{
		"channel": "TOPIC CHANNEL STATE CLIENTS DEPTH DISK IN-FLIGHT DEFERRED REQUEUED TIMED-OUT MESSAGES\n" +
			"t c paused 0 6 0 0 0 0 0 6",
		"topic": "TOPIC STATE NODES CHANNELS CLIENTS DEPTH DISK MESSAGES\n" +
			"other running 1 0 0 1 0 1\n" +
			"t running 2 1 0 0 0 6",
	} {
		if got := lined(must(t, "", "stat", "--by="+by, at)); got != want {
			t.Errorf("by %s:\n%s\nwant\n%s", by, got, want)
		}
	}
	if got := lined(must(t, "", "stat", "t", "--by=node", at)); strings.Count(got, " c ") != 2 || !strings.Contains(got, a.http+" t c paused 0 3") {
		t.Errorf("by node:\n%s", got)
	}
	var report struct{ Figures []figure }
	if err := json.Unmarshal([]byte(must(t, "", "stat", "t", "c", "--json", at)), &report); err != nil || len(report.Figures) != 1 || report.Figures[0].Depth != 6 {
		t.Errorf("%+v, %v", report, err)
	}
	wantRefusal(t, exitFailed, "there is no topic none", "stat", "none", at)
	wantRefusal(t, exitFailed, "there is no channel none of a topic t", "stat", "t", "none", at)
	var listed nodeRow
	if err := json.Unmarshal([]byte(must(t, "", "nodes", "--json", "--http-addr="+a.http)), &listed); err != nil || listed.TCP != a.tcp {
		t.Errorf("%+v, %v", listed, err)
	}
	for _, list := range []string{"topics list none", "channels list none", "clients list none", "stat none --by=client"} {
		wantRefusal(t, exitFailed, "there is no topic none", append(strings.Fields(list), at)...)
	}
	wantRefusal(t, exitFailed, "there is no channel none of a topic t", "channels", "list", "t/none", at)
	wantRefusal(t, exitFailed, "there is no channel none of a topic t", "clients", "list", "t/none", at)
	must(t, "", "channels", "list", "other", at) // which has none
	wantRefusal(t, exitFailed, "connection refused", "stat", "--http-addr="+a.http+",127.0.0.1:1")
}

func TestStatRepeats(t *testing.T) {
	s := withChannel(t)
	out := must(t, "", "stat", "-i", "1ms", "-n", "3", "--http-addr="+s.http)
	if strings.Count(out, "TOPIC") != 3 || !strings.Contains(out, "IN/S") {
		t.Errorf("%s", out)
	}
	r := begin(t, strings.NewReader(""), "stat", "-i", "1h", "--addr="+s.tcp, "--http-addr="+s.http)
	eventually(t, "it prints once", func() bool { return strings.Contains(r.out.String(), "TOPIC") })
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestRatesAreDifferences(t *testing.T) {
	now := func(messages, depth int64) []*figure {
		s := snapshot{nodes: []nodeSnapshot{{stats: &nodeclient.Stats{Topics: []nodeclient.Topic{{Name: "t", Channels: []nodeclient.Channel{{Name: "c", Messages: messages, Depth: depth}}}}}}}}
		return s.figures("channel")
	}
	for _, test := range []struct {
		before, after []*figure
		in, out       rate
	}{
		{now(100, 10), now(300, 10), 100, 100},
		{now(100, 10), now(300, 210), 100, 0},
		{now(100, 50), now(100, 0), 0, 25},
		{now(100, 50), now(3, 0), -1, -1}, // it has started again
		{nil, now(3, 0), -1, -1},
	} {
		fillRates(test.before, test.after, 2*time.Second)
		if f := test.after[0]; f.In != test.in || f.Out != test.out {
			t.Errorf("in %v, out %v; want %v and %v", f.In, f.Out, test.in, test.out)
		}
	}
}

func TestClientsAreListed(t *testing.T) {
	s := withChannel(t)
	r := tailing(t, s, "sub", "t")
	out := lined(must(t, "", "clients", "--http-addr="+s.http))
	if !strings.Contains(out, "q/2.0.0 "+s.http) {
		t.Errorf("%s", out)
	}
	r.stop()
}

func TestTopicsAndChannelsAreChanged(t *testing.T) {
	s := startServer(t)
	at := "--http-addr=" + s.http
	for _, step := range [][2]string{
		{"topics create t", "topic t: created on 1 node\n"},
		{"channels create t c", "channel c of topic t: created on 1 node\n"},
		{"topics pause t", "topic t: paused on 1 node\n"},
		{"topics unpause t", "topic t: unpaused on 1 node\n"},
		{"channels pause t c", "channel c of topic t: paused on 1 node\n"},
		{"channels unpause t c", "channel c of topic t: unpaused on 1 node\n"},
	} {
		if out := must(t, "", append(strings.Fields(step[0]), at)...); out != step[1] {
			t.Errorf("q %s: %q", step[0], out)
		}
	}
	must(t, numbered(3), "pub", "t", "--addr="+s.tcp)
	wantRefusal(t, exitFailed, "empty channel c of topic t on 1 node: 3 messages in channels, which 0 clients read: without a terminal it needs --yes", "channels", "empty", "t", "c", at)
	must(t, "", "channels", "empty", "t", "c", "--yes", at)
	if c := s.figures("t").Channels[0]; c.Depth != 0 {
		t.Errorf("%+v", c)
	}
	must(t, "", "channels", "delete", "t", "c", "-y", at)
	must(t, numbered(3), "pub", "t", "--addr="+s.tcp)
	wantRefusal(t, exitFailed, "empty topic t on 1 node: 3 messages that wait for channels", "topics", "empty", "t", at)
	wantRefusal(t, exitFailed, "delete topic t on 1 node: 3 messages that wait for channels, 0 channels, 0 messages in channels, which 0 clients read", "topics", "delete", "t", at)
	must(t, "", "topics", "empty", "t", "-y", at)
	if f := s.figures("t"); f.Depth != 0 {
		t.Errorf("%+v", f)
	}
	must(t, "", "topics", "delete", "t", "-y", at)
	for _, args := range []string{"topics pause t", "topics delete t -y", "topics empty t -y"} {
		wantRefusal(t, exitFailed, "there is no topic t", append(strings.Fields(args), at)...)
	}
	wantRefusal(t, exitFailed, "a name is up to", "topics", "create", "bad name", at)
	if out := lined(must(t, "", "topics", at)); out != "TOPIC STATE NODES CHANNELS CLIENTS DEPTH DISK MESSAGES" {
		t.Errorf("topics: %q", out)
	}
}

func TestThroughADirectory(t *testing.T) {
	tcp, http := startDirectory(t)
	a, b := startServer(t, "--lookupd-tcp-address="+tcp), startServer(t, "--lookupd-tcp-address="+tcp)
	at := "--lookupd=" + http
	for _, s := range []*server{a, b} {
		must(t, "", "pub", "t", "x", "--addr="+s.tcp)
	}
	eventually(t, "both are listed", func() bool {
		return strings.Contains(q(t, "", "topics", at).out, "t      running") && strings.Count(q(t, "", "nodes", at).out, "\n") == 3
	})
	eventually(t, "the topic is on both", func() bool { return strings.Contains(lined(q(t, "", "topics", at).out), "t running 2 ") })
	if out := must(t, "", "topics", "create", "new", at); out != "topic new: created on the directories\n" {
		t.Errorf("%q", out)
	}
	if out := must(t, "", "channels", "create", "t", "c", at); out != "channel c of topic t: created on 2 nodes\n" {
		t.Errorf("%q", out)
	}
	wantRefusal(t, exitFailed, "these have it: ", "tombstone", "t", "nobody:1", at)
	if out := must(t, "", "tombstone", "t", b.http, "--yes", at); out != b.http+": hidden for topic t, which is deleted there\n" {
		t.Errorf("%q", out)
	}
	if f := b.figures("t"); f.Channels != nil {
		t.Error("the topic is still there")
	}
	must(t, "", "topics", "delete", "t", "-y", at)
	if f := a.figures("t"); f.Channels != nil {
		t.Error("the topic is still there")
	}
	wantRefusal(t, exitFailed, "no directory answers", "topics", "--lookupd=127.0.0.1:1")
}

func TestHealthIsAnExitCode(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	must(t, numbered(1), "pub", "t", "--addr="+s.tcp)
	if out := must(t, "", "health", at); !strings.HasPrefix(out, "Q OK: 1 node, 1 topic, 1 message waits | ") {
		t.Error(out)
	}
	must(t, numbered(4), "pub", "t", "--addr="+s.tcp)
	for _, test := range []struct {
		code int
		want string
		args []string
	}{
		{healthOK, "Q OK: 1 node, 1 topic, 5 messages wait | nodes=1 topics=1 depth=5 clients=0\n", nil},
		{healthOK, "Q OK: ", []string{"--warn-depth=5"}},
		{healthWarning, "Q WARNING: 5 messages wait in t/c | ", []string{"--warn-depth=4", "--topic=t", "--channel=c"}},
		{healthCritical, "Q CRITICAL: 5 messages wait in t/c | ", []string{"--warn-depth=1", "--crit-depth=4"}},
		{healthWarning, "nobody reads t/c, where 5 messages wait", []string{"--warn-no-consumer"}},
		{healthCritical, "Q CRITICAL: 127.0.0.1:1: ", []string{"--http-addr=127.0.0.1:1"}},
		{healthUnknown, "Q UNKNOWN: no directory answers: 1 of 1 gave no answer: 127.0.0.1:1: dial tcp 127.0.0.1:1: ", []string{"--lookupd=127.0.0.1:1"}},
	} {
		args := append([]string{"health"}, test.args...)
		if !strings.Contains(fmt.Sprint(test.args), "127.0.0.1:1") {
			args = append(args, at)
		}
		if r := q(t, "", args...); r.code != test.code || !strings.Contains(r.out, test.want) || r.errors != "" || strings.Count(r.out, "\n") != 1 {
			t.Errorf("q %v: exit code %d, %s%s", args, r.code, r.out, r.errors)
		}
	}
	if out := must(t, "", "health", "--json", at); !strings.Contains(out, `"state":"OK"`) {
		t.Errorf("%s", out)
	}
}
