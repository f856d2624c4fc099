package api

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRepeatedParametersBeyondNSQAreRefused(t *testing.T) {
	r := start(t)
	r.must("POST", "/topic/create?topic=t", "")
	r.must("POST", "/channel/create?topic=t&channel=c", "")
	r.must("POST", "/pub?topic=t", "1")
	for target, parameter := range map[string]string{
		"POST /channel/create?topic=t&channel=d&from=first&from=last":         "from",
		"POST /channel/create?topic=t&channel=d&until=last&until=last":        "until",
		"POST /channel/create?topic=t&channel=d&until=last&then=&then=delete": "then",
		"POST /channel/rewind?topic=t&channel=c&to=first&to=last":             "to",
		"POST /pub?topic=t&key=a&key=b":                                       "key",
		"POST /mpub?topic=t&priority=1&priority=2":                            "priority",
		"POST /sub?topic=t&channel=c&wait=0&max=1&max=2":                      "max",
		"GET /topic/peek?topic=t&limit=1&limit=2":                             "limit",
		"GET /channel/peek?topic=t&channel=c&order=oldest&order=newest":       "order",
		"POST /topic/delete?topic=t&everywhere=true&everywhere=false":         "everywhere",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := r.call(method, path, "x")
		if want := `{"allowed":"one value","message":"REPEATED_PARAMETER","parameter":"` + parameter + `"}`; w.Code != 400 || w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
	if w := r.call("POST", "/message/finish?topic=t&channel=c&id=1&id=2", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "INVALID_ARG_ID") {
		t.Errorf("two ids of one message: %d %s", w.Code, w.Body)
	}
	// Of what NSQ knows the first counts, and what nobody knows is ignored.
	for _, target := range []string{
		"/pub?topic=t&topic=u&defer=1&defer=x", "/mpub?topic=t&binary=false&binary=true", "/channel/create?topic=t&channel=e&channel=f",
		"/pub?topic=t&other=1&other=2",
	} {
		r.must("POST", target, "x")
	}
	r.must("GET", "/stats?format=json&format=text&include_clients=true&include_clients=false&topic=t&topic=u", "")
	if len(r.broker.Topics()) != 1 {
		t.Error("the second topic counts")
	}
}

// TestEveryParameterIsKnown: one that is read is NSQ's, or may come once only.
func TestEveryParameterIsKnown(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`(?:\b[qv]\.(?:Get|Has)\(|(?:flag|[wW]ithin|numberParameter)\(q, |\bq\[)"([a-z_]+)"`)
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllSubmatch(text, -1) {
			found++
			if name := string(m[1]); slices.Contains(ofNSQ, name) == slices.Contains(beyondNSQ, name) {
				t.Errorf("%s reads %q, which is listed neither as NSQ's nor as ours, or as both", file, name)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d parameters are read", found)
	}
}
