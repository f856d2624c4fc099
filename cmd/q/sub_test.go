package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"qmq/message"
)

// withChannel is a server whose topic t has a channel c.
func withChannel(t *testing.T, flags ...string) *server {
	s := startServer(t, flags...)
	s.post("/topic/create", "topic", "t")
	s.post("/channel/create", "topic", "t", "channel", "c")
	return s
}

// tailing starts q with these arguments and waits until it is a consumer.
func tailing(t *testing.T, s *server, args ...string) *running {
	t.Helper()
	eventually(t, "the one before has gone", func() bool { return !s.consumed("t") })
	r := begin(t, strings.NewReader(""), append(args, "--addr="+s.tcp)...)
	eventually(t, "it subscribes", func() bool { return s.consumed("t") || len(r.exit) > 0 })
	return r
}

// consumed tells whether a channel of the topic has a consumer.
func (s *server) consumed(topic string) bool {
	for _, c := range s.figures(topic).Channels {
		if len(c.Clients) > 0 {
			return true
		}
	}
	return false
}

func TestSubShowsWhatComesAndLeavesNothingBehind(t *testing.T) {
	s := withChannel(t)
	must(t, "", "pub", "t", "before", "--addr="+s.tcp)
	for _, name := range []string{"sub", "tail"} {
		r := tailing(t, s, name, "t")
		must(t, "one\ntwo\n", "pub", "t", "--addr="+s.tcp)
		eventually(t, "they are shown", func() bool { return r.out.String() == "one\ntwo\n" })
		if code := r.stop(); code != exitOK {
			t.Errorf("exit code %d, %s", code, r.errors)
		}
		eventually(t, "its channel is gone", func() bool { return len(s.figures("t").Channels) == 1 })
	}
	if c := s.figures("t").Channels[0]; c.Depth != 5 {
		t.Errorf("the other channel has %d messages", c.Depth)
	}
}

// TestSubTakesNoBacklog: a topic with messages and no channel has them after a
// tail as before.
func TestSubTakesNoBacklog(t *testing.T) {
	s := startServer(t)
	at := "--addr=" + s.tcp
	must(t, numbered(3), "pub", "t", at)
	wantRefusal(t, exitFailed, "3 messages wait for a first channel; q peek looks", "sub", "t", at)
	if f := s.figures("t"); f.Depth != 3 || len(f.Channels) != 0 {
		t.Errorf("%+v", f)
	}
	wantRefusal(t, exitFailed, "there is no such topic", "sub", "none", at)
	if f := s.figures("none"); f.Channels != nil {
		t.Error("it has made the topic")
	}
	if out := must(t, "", "sub", "t", "--take-backlog", "--count=3", at); out != numbered(3) {
		t.Errorf("with --take-backlog: %q", out)
	}
	s.post("/channel/create", "topic", "t", "channel", "c")
	s.post("/topic/pause", "topic", "t")
	wantRefusal(t, exitFailed, "the topic is paused", "sub", "t", at)
}

func TestSubOfADurableChannelAsksFirst(t *testing.T) {
	s := withChannel(t)
	at := "--addr=" + s.tcp
	must(t, numbered(4), "pub", "t", at)
	wantRefusal(t, exitFailed, "messages of channel c of topic t (4 messages now) are finished once they are printed: its consumers do not get them: without a terminal it needs --yes",
		"sub", "t", "c", at, "--http-addr="+s.http)
	if out := must(t, "", "sub", "t", "c", "--yes", "--count=1", at); out != "message 0\n" {
		t.Errorf("it shows %q", out)
	}
	eventually(t, "one is finished", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 3 && c.InFlight == 0 })
	if out := must(t, "", "sub", "t", "c", "--yes", "--ack=req", "--count=2", at); strings.Count(out, "\n") != 2 {
		t.Errorf("it shows %q", out)
	}
	eventually(t, "none of them is", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 3 && c.InFlight == 0 })
	must(t, "", "sub", "t", "c", "--yes", "--ack=none", "--count=1", at)
	eventually(t, "nor that one", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 3 && c.InFlight == 0 })
}

func TestSubFinishesWhatItShowed(t *testing.T) {
	s := withChannel(t)
	at := "--addr=" + s.tcp
	must(t, numbered(20000), "pub", "t", at)
	r := begin(t, strings.NewReader(""), "sub", "t", "c", "--yes", "--max-in-flight=2500", at)
	eventually(t, "all are shown", func() bool { return strings.Count(r.out.String(), "\n") == 20000 })
	if code := r.stop(); code != exitOK || r.out.String() != numbered(20000) {
		t.Errorf("exit code %d; they are others, or in another order", code)
	}
	eventually(t, "all are finished", func() bool { c := s.figures("t").Channels[0]; return c.Depth+c.InFlight == 0 })
	if c := s.figures("t").Channels[0]; c.Requeued != 0 {
		t.Errorf("%+v", c)
	}
}

func TestSubPicks(t *testing.T) {
	s := withChannel(t)
	at := "--addr=" + s.tcp
	r := tailing(t, s, "sub", "t", "--grep=7$")
	must(t, numbered(100), "pub", "t", at)
	eventually(t, "it shows those that match", func() bool { return strings.Count(r.out.String(), "\n") == 10 })
	r.stop()
	for _, sample := range []string{"25", "25.5"} {
		r = tailing(t, s, "sub", "t", "--sample="+sample)
		must(t, numbered(2000)+"end\n", "pub", "t", at)
		eventually(t, "about a quarter comes", func() bool { return strings.Count(r.out.String(), "\n") > 350 })
		r.stop()
		if n := strings.Count(r.out.String(), "\n"); n > 650 {
			t.Errorf("--sample=%s shows %d of 2000", sample, n)
		}
	}
}

func TestSubFormats(t *testing.T) {
	s := withChannel(t)
	at := "--addr=" + s.tcp
	show := func(body string, args ...string) string {
		must(t, "", "pub", "t", body, at)
		return must(t, "", append([]string{"sub", "t", "c", "--yes", "--count=1", at}, args...)...)
	}
	var r record
	if err := json.Unmarshal([]byte(show(`{"a":[1]}`, "--format=json")), &r); err != nil || *r.Body != `{"a":[1]}` || r.Topic != "t" || r.Channel != "c" || r.Attempts != 1 || r.Size != 9 || r.Node != s.tcp || len(r.ID) != 16 {
		t.Errorf("%+v, %v", r, err)
	}
	if out := show("\xff\x00", "--format=json"); !strings.Contains(out, `"body_base64":"/wA="`) {
		t.Errorf("bytes that are no text: %s", out)
	}
	if out := show(`{"a":[1]}`, "--format=pretty"); !strings.Contains(out, "attempt 1  9 bytes  "+s.tcp+"\n{\n  \"a\": [\n    1\n  ]\n}\n") {
		t.Errorf("set out: %s", out)
	}
	if out := show("abc", "--format=hex"); !strings.Contains(out, "61 62 63") {
		t.Errorf("hex: %s", out)
	}
	if out := show("abc", "--print=attempts,size,node"); out != "1\t3\t"+s.tcp+"\tabc\n" {
		t.Errorf("--print: %q", out)
	}
	wantRefusal(t, exitFailed, `"colour" is none of`, "sub", "t", "--print=colour", at)
}

// TestCopyingATopicThroughAPipe: what sub prints as JSON, pub reads.
func TestCopyingATopicThroughAPipe(t *testing.T) {
	s := withChannel(t)
	at := "--addr=" + s.tcp
	bodies := []string{"text", "\xfe\xff", `{"body":"x"}`, "ü"}
	for _, body := range bodies {
		must(t, "", "pub", "t", body, at)
	}
	lines := must(t, "", "sub", "t", "c", "--yes", fmt.Sprint("--count=", len(bodies)), "--format=json", at)
	must(t, lines, "pub", "copy", "--json-lines", at)
	if out := must(t, "", "sub", "copy", "c", "--yes", fmt.Sprint("--count=", len(bodies)), at); out != strings.Join(bodies, "\n")+"\n" {
		t.Errorf("%q", out)
	}
}

// TestSubThatCannotPrintFinishesNothing of what was not printed.
func TestSubThatCannotPrintFinishesNothing(t *testing.T) {
	s := withChannel(t)
	must(t, "one\ntwo\n", "pub", "t", "--addr="+s.tcp)
	read, write := io.Pipe()
	read.CloseWithError(io.ErrShortWrite)
	var errors watched
	code := run([]string{"sub", "t", "c", "--yes", "--addr=" + s.tcp}, console{strings.NewReader(""), write, &errors, nil})
	if code != exitFailed || !strings.Contains(errors.String(), "cannot print") {
		t.Errorf("exit code %d, %s", code, &errors)
	}
	eventually(t, "they are there", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 2 && c.InFlight == 0 })
}

func TestPeekChangesNothing(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	must(t, "one\ntwo\n", "pub", "t", "--addr="+s.tcp)
	for _, args := range [][]string{{"t/c"}, {"t", "c"}} {
		if out := must(t, "", append([]string{"peek", at}, args...)...); out != "one\ntwo\n" {
			t.Errorf("it shows %q", out)
		}
	}
	if out := must(t, "", "peek", "t/c", at, "-n", "1", "--format=json"); !strings.Contains(out, `"state":"ready","body":"one"`) {
		t.Errorf("as JSON: %s", out)
	}
	if c := s.figures("t").Channels[0]; c.Depth != 2 || c.Requeued != 0 {
		t.Errorf("%+v", c)
	}
	wantRefusal(t, exitFailed, "there is no topic none", "peek", "none/c", at)
	wantRefusal(t, exitFailed, "topic t has no channel none", "peek", "t/none", at)
	wantRefusal(t, exitFailed, "--state is that of messages of a channel", "peek", "t", "--state=deferred", at)
}

func TestTopicIsPeekedFromEachPlace(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	must(t, "one\ntwo\nthree\n", "pub", "t", "--addr="+s.tcp)
	if out := must(t, "", "sub", "t/c", "--yes", "-n", "3", "--addr="+s.tcp, at); out != "one\ntwo\nthree\n" {
		t.Errorf("%q", out)
	}
	first := must(t, "", "peek", "t", "--order=oldest", "-n", "1", "--format=json", at)
	var oldest struct{ ID, Time string }
	if err := json.Unmarshal([]byte(first), &oldest); err != nil {
		t.Fatal(first, err)
	}
	id, err := strconv.ParseUint(oldest.ID, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	number := strconv.FormatUint(id&message.MaxSeq, 10)
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "three\ntwo\none\n"}, {[]string{"-n", "1"}, "three\n"}, {[]string{"--order=oldest", "-n2"}, "one\ntwo\n"},
		{[]string{"--from=first"}, "one\ntwo\nthree\n"}, {[]string{"--from", "-1h"}, "one\ntwo\nthree\n"}, {[]string{"--from", number, "-n1"}, "one\n"},
		{[]string{"--from=" + oldest.Time}, "one\ntwo\nthree\n"}, {[]string{"--from=-0s"}, ""},
	} {
		if out := must(t, "", append([]string{"peek", "t", at}, test.args...)...); out != test.want {
			t.Errorf("%v: %q, want %q", test.args, out, test.want)
		}
	}
	wantRefusal(t, exitFailed, "INVALID_SINCE: allowed is a time (RFC 3339), one before now", "peek", "t", "--from=yesterday", at)
	wantRefusal(t, exitFailed, "--from shows the oldest first", "peek", "t", "--from=first", "--order=newest", at)
	wantRefusal(t, exitUsage, "a place is missing", "peek", "t", "--from", "--order=newest", at)
}
