package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"qmq/test/wire"
)

// configure sets settings of channel c of topic t.
func (s *server) configure(body string) {
	s.t.Helper()
	request, err := http.NewRequest("PUT", "http://"+s.http+"/channel/config?topic=t&channel=c", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatal(response.Status)
	}
}

// giveUp has a consumer of channel c give up messages.
func (s *server) giveUp(n int) {
	s.t.Helper()
	before := s.figures("t").Channels[0].DeadLettered
	c := wire.Consume(s.t, s.tcp, "t", "c", n)
	for range n {
		c.Req(c.Message(), 0)
	}
	c.Send("RDY 0\n")
	// They are in the dead-letter topic before the channel has done with them.
	eventually(s.t, "they are dead letters", func() bool {
		return s.figures("dead").Depth == int64(n) && s.figures("t").Channels[0].DeadLettered == before+int64(n)
	})
}

func TestDeadLettersAreShownAndPutBack(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	s.configure(`{"max_attempts": 1, "dead_letter_topic": "dead"}`)
	must(t, "one\ntwo\nthree\n", "pub", "t", "--addr="+s.tcp)
	s.giveUp(3)
	lines := strings.Split(strings.TrimSpace(must(t, "", "dead-letters", "dead", at)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "t/c  requeue after 1 attempt at ") || !strings.HasSuffix(lines[2], `"three"`) {
		t.Fatalf("it shows %q", lines)
	}
	if out := must(t, "", "stat", "t", "c", "--json", at); !strings.Contains(out, `"dead_lettered_count":3`) {
		t.Errorf("q stat says %s", out)
	}
	var first letterRecord
	if err := json.Unmarshal([]byte(must(t, "", "dead-letters", "list", "dead", at, "--json", "-n", "1")), &first); err != nil {
		t.Fatal(err)
	}
	if *first.Body != "one" || first.Origin.Topic != "t" || first.Origin.Channel != "c" || first.Origin.Reason != "requeue" || first.Origin.Published == "" {
		t.Errorf("as JSON: %+v", first)
	}
	if out := must(t, "", "dead-letters", "put-back", "dead", first.ID, at); out != "1 message put back\n" {
		t.Errorf("one: %s", out)
	}
	wantRefusal(t, exitFailed, "there is no such dead letter", "dead-letters", "put-back", "dead", first.ID, at)
	if c := s.figures("t").Channels[0]; c.Depth != 1 {
		t.Errorf("after one: %+v", c)
	}
	if out := must(t, "", "dead-letters", "put-back", "dead", "--all", at); out != "2 messages put back\n" {
		t.Errorf("all: %s", out)
	}
	if c := s.figures("t").Channels[0]; c.Depth != 3 || s.figures("dead").Depth != 0 {
		t.Errorf("after all: %+v", c)
	}
	wantRefusal(t, exitFailed, "either ids or --all", "dead-letters", "put-back", "dead", at)
	wantRefusal(t, exitFailed, "no topic none", "dead-letters", "none", at)

	s.giveUp(3)
	s.post("/channel/delete", "topic", "t", "channel", "c")
	wantRefusal(t, exitFailed, "3 dead letters left: topic t has no channel c here", "dead-letters", "put-back", "dead", "--all", at)
}

func TestGivingBackIsRefusedWhereItMakesDeadLetters(t *testing.T) {
	s := withChannel(t)
	at := "--http-addr=" + s.http
	s.configure(`{"max_attempts": 3, "dead_letter_topic": "dead"}`)
	for _, ack := range []string{"req", "none"} {
		wantRefusal(t, exitFailed, "max_attempts 3", "sub", "t", "c", "--yes", "--ack="+ack, at)
	}
	must(t, "one\n", "pub", "t", "--addr="+s.tcp)
	if out := must(t, "", "sub", "t", "c", "--yes", "-n", "1", at); out != "one\n" {
		t.Errorf("with --ack=fin: %q", out)
	}
}
