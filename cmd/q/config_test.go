package main

import (
	"strings"
	"testing"
)

func TestSettingsAreShownAndSet(t *testing.T) {
	s := startServer(t)
	s.post("/topic/create", "topic", "orders")
	s.post("/channel/create", "topic", "orders", "channel", "billing")
	at := "--http-addr=" + s.http
	out := must(t, "", "topics", "config", "orders", "max_age=24h", "max_bytes=10GiB", "overflow=drop-oldest", at)
	for _, want := range []string{"On " + s.http, `"24h"`, "10737418240", `"drop-oldest"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %s", out, want)
		}
	}
	must(t, "", "topics", "config", "orders", "max_bytes=", at)
	out = must(t, "", "topics", "config", "orders", "--json", at)
	if want := `"set":{"max_age":"24h","overflow":"drop-oldest"}`; !strings.Contains(out, want) {
		t.Errorf("%s lacks %s", out, want)
	}
	out = must(t, "", "channels", "config", "orders", "billing", "max_in_flight=7", "rate=0.5", "--json", at)
	if want := `"set":{"max_in_flight":7,"rate":0.5}`; !strings.Contains(out, want) {
		t.Errorf("%s lacks %s", out, want)
	}
	wantRefusal(t, exitFailed, "in force is \"24h\"", "topics", "config", "orders", "max_age=soon", at)
	wantRefusal(t, exitFailed, "there is no setting max_ages, did you mean \"max_age\"?", "topics", "config", "orders", "max_ages=1h", at)
	wantRefusal(t, exitFailed, "there is no setting colour, only max_bytes, max_messages, ", "topics", "config", "orders", "colour=red", at)
	wantRefusal(t, exitFailed, "sets nothing", "topics", "config", "orders", "max_age", at)
	wantRefusal(t, exitFailed, "there is no topic nope", "topics", "config", "nope", at)
	if got := strings.Join(completed(t, "zsh", "topics", "config", "orders", "max_"), " "); got != "max_bytes= max_messages= max_age= max_channels=" {
		t.Errorf("completed are %s", got)
	}
}
