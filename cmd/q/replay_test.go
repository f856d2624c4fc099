package main

import (
	"strings"
	"testing"

	"qmq/internal/nodeclient"
)

func TestChannelIsRewound(t *testing.T) {
	s := withChannel(t)
	must(t, "one\ntwo\n", "pub", "t", "--addr="+s.tcp)
	at := "--http-addr=" + s.http
	if out := must(t, "", "sub", "t", "c", "--yes", "-n", "2", "--addr="+s.tcp, at); out != "one\ntwo\n" {
		t.Errorf("%q", out)
	}
	out := must(t, "", "channels", "rewind", "t", "c", "first", at)
	if !strings.Contains(out, "channel c of topic t: rewound on 1 node\n") || !strings.Contains(out, "2 messages from ") || !strings.Contains(out, "the oldest that is still there (retention_time") {
		t.Errorf("%q", out)
	}
	if c := s.figures("t").Channels[0]; c.Depth != 2 {
		t.Errorf("%+v", c)
	}
	wantRefusal(t, exitFailed, `INVALID_TO: "2250-01-01T00:00:00Z" is `, "channels", "rewind", "t", "c", "2250-01-01T00:00:00Z", at)
	wantRefusal(t, exitFailed, "CHANNEL_EXISTS: the channel is there already: q channels rewind has it begin anew", "channels", "create", "t", "c", "--from=first", at)
	wantRefusal(t, exitFailed, "INVALID_UNTIL: ", "sub", "t", "--until=soon", "--addr="+s.tcp, at)
}

func TestSubShowsAPartAndEnds(t *testing.T) {
	s := withChannel(t)
	at := []string{"--addr=" + s.tcp, "--http-addr=" + s.http}
	must(t, "one\ntwo\n", "pub", "t", at[0])
	if out := must(t, "", append([]string{"sub", "t", "--until=last"}, at...)...); out != "one\ntwo\n" {
		t.Errorf("%q", out)
	}
	eventually(t, "its channel is gone", func() bool { return len(s.figures("t").Channels) == 1 })
	if out := must(t, "", append([]string{"sub", "t", "--from=first", "-n", "2"}, at...)...); out != "one\ntwo\n" {
		t.Errorf("%q", out)
	}
	must(t, "", "channels", "create", "t", "part", "--from=first", "--until=last", at[1])
	if out := must(t, "", "channels", "list", "t", at[1]); !strings.Contains(out, "bounded") {
		t.Errorf("%q", out)
	}
}

func TestWhatAnotherMemberHasDoneIsSaid(t *testing.T) {
	if got, want := told(nodeclient.Replay{From: 7, Messages: 2, Retained: true, Joined: true}), "2 messages from 7; done a moment ago through another member"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
