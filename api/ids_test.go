package api

import (
	"encoding/json"
	"testing"

	"qmq/broker"
	"qmq/test/node"
)

// publishedIDs are the ids of an answer.
func publishedIDs(t *testing.T, answer string) []string {
	t.Helper()
	var a PublishedIDs
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(answer, err)
	}
	return a.IDs
}

func TestPublishersLearnTheIDsThatConsumersSee(t *testing.T) {
	r := start(t)
	want := publishedIDs(t, r.must("POST", "/pub?topic=t&ids=true", "a"))
	want = append(want, publishedIDs(t, r.must("POST", "/mpub?topic=t&ids=true", "b\nc\n"))...)
	want = append(want, publishedIDs(t, r.must("POST", "/pub?topic=t&ids=true&defer=1", "d"))...)
	if none := publishedIDs(t, r.must("POST", "/mpub?topic=t&ids=true", "\n")); len(none) != 0 {
		t.Error(none)
	}
	if plain := r.must("POST", "/pub?topic=t&ids=false", "e"); plain != "OK" {
		t.Error(plain)
	}
	got := make(map[string]string)
	for len(got) < 5 {
		for _, m := range r.sub("topic=t&channel=c&max=5&wait=10000").Messages {
			got[m.ID] = m.Body
		}
	}
	for i, body := range []string{"a", "b", "c", "d"} {
		if got[want[i]] != body {
			t.Errorf("%s is %q, want %q", want[i], got[want[i]], body)
		}
	}
}

func TestMessagesThatAnEphemeralTopicDropsHaveNoIDs(t *testing.T) {
	r := startOn(t, node.Open(t, func(o *broker.Options) { o.MemQueueSize = 2 }))
	if ids := publishedIDs(t, r.must("POST", "/mpub?topic=t%23ephemeral&ids=true", "a\nb\nc\n")); len(ids) != 2 {
		t.Error(ids)
	}
}
