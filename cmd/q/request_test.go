package main

import (
	"strings"
	"testing"
)

// replying starts q reply and waits until it is a consumer.
func replying(t *testing.T, s *server, topic string, args ...string) *running {
	t.Helper()
	r := begin(t, strings.NewReader(""), append([]string{"reply", topic, "--addr=" + s.tcp}, args...)...)
	eventually(t, "it subscribes", func() bool { return s.consumed(topic) || len(r.exit) > 0 })
	return r
}

func TestRequestsAreRepliedTo(t *testing.T) {
	s := startServer(t)
	reach := []string{"--addr=" + s.tcp, "--http-addr=" + s.http, "--wait=1m"}
	echo := replying(t, s, "echo#ephemeral", "--echo")
	upper := replying(t, s, "upper", "--command=tr a-z A-Z", "--parallel=3")
	fails := replying(t, s, "fails", "--command=echo broken >&2; exit 3")
	fixed := replying(t, s, "fixed", "all is well", "-n", "2")
	if out := must(t, "", append([]string{"request", "echo#ephemeral", "hello"}, reach...)...); out != "hello\n" {
		t.Errorf("%q", out)
	}
	if out := must(t, "from the input", append([]string{"request", "upper", "--raw"}, reach...)...); out != "FROM THE INPUT" {
		t.Errorf("%q", out)
	}
	if out := must(t, "", append([]string{"request", "echo#ephemeral", "hello", "--headers", "-H", "a=1"}, reach...)...); !strings.HasPrefix(out, "correlation-id: ") || !strings.HasSuffix(out, "\n\nhello\n") {
		t.Errorf("%q", out)
	}
	wantRefusal(t, exitFailed, "the command failed: exit status 3 broken", append([]string{"request", "fails", "x"}, reach...)...)
	for range 2 {
		if out := must(t, "", append([]string{"request", "fixed", "how is it?"}, reach...)...); out != "all is well\n" {
			t.Errorf("%q", out)
		}
	}
	if code := fixed.wait(); code != exitOK {
		t.Error(code, fixed.errors)
	}
	for _, r := range []*running{echo, upper, fails} {
		if code := r.stop(); code != exitOK {
			t.Error(code, r.errors)
		}
	}
	eventually(t, "nobody replies any more", func() bool { return !s.consumed("fixed") })
	wantRefusal(t, exitFailed, "nobody consumes the topic: q reply does", append([]string{"request", "fixed", "still there?"}, reach...)...)
	eventually(t, "inboxes are gone", func() bool {
		for _, topic := range s.topics() {
			if strings.HasPrefix(topic, "inbox-") {
				return false
			}
		}
		return true
	})
}

// topics are those that the server has.
func (s *server) topics() []string {
	s.t.Helper()
	return strings.Fields(must(s.t, "", "topics", "--http-addr="+s.http))
}

func TestRequestsAndRepliesThatCannotBe(t *testing.T) {
	for want, args := range map[string][]string{
		`topic "*"`:          {"request", "*", "x"},
		"an empty request":   {"request", "t", ""},
		"--wait is a time":   {"request", "t", "x", "--wait=0s"},
		"it is KEY=VALUE":    {"request", "t", "x", "-H", "a"},
		`header "a b"`:       {"request", "t", "x", "-H", "a b=1"},
		"reply-to":           {"request", "t", "x", "-H", "Reply-To=t"},
		`channel "a b"`:      {"reply", "t", "--echo", "--channel=a b"},
		"is one of BODY":     {"reply", "t"},
		"one of BODY, --ech": {"reply", "t", "x", "--echo"},
		"--parallel is 1":    {"reply", "t", "--echo", "--parallel=0"},
	} {
		wantRefusal(t, exitFailed, want, append(args, "--addr=127.0.0.1:1")...)
	}
	wantRefusal(t, exitFailed, "no reply within 1s (--wait): not published to t", "request", "t", "x", "--addr=127.0.0.1:1", "--wait=1s")
}
