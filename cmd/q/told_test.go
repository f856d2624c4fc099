package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// toldJSON are the objects that a command prints, a line each.
func toldJSON(t *testing.T, text string) (list []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(one, "seconds")
		list = append(list, one)
	}
	return list
}

// wantTold checks what a command says in JSON.
func wantTold(t *testing.T, text string, want ...map[string]any) {
	t.Helper()
	if got := toldJSON(t, text); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestChangesAreToldInJSON by every command that makes one.
func TestChangesAreToldInJSON(t *testing.T) {
	tcp, directory := startDirectory(t)
	s := startServer(t, "--lookupd-tcp-address="+tcp)
	nodes := []any{s.http}
	for _, verb := range []string{"create", "pause", "unpause", "empty", "delete"} {
		args := []string{verb, "t", "--json", "--http-addr=" + s.http}
		if verb == "empty" || verb == "delete" {
			args = append(args, "--yes")
		}
		if verb != "delete" {
			wantTold(t, must(t, "", append([]string{"topics"}, args...)...), map[string]any{"topic": "t", "done": past[verb], "nodes": nodes})
		}
		wantTold(t, must(t, "", append(append([]string{"channels"}, args...), "c")...), map[string]any{"topic": "t", "channel": "c", "done": past[verb], "nodes": nodes})
	}
	at := "--lookupd=" + directory
	eventually(t, "it is listed", func() bool { return strings.Contains(q(t, "", "topics", at).out, "t ") })
	wantTold(t, must(t, "", "topics", "create", "new", "--json", at), map[string]any{"topic": "new", "done": "created", "nodes": []any{}, "directories": true})
	wantTold(t, must(t, "", "tombstone", "t", s.http, "--keep", "--json", at), map[string]any{"topic": "t", "done": "hidden", "nodes": nodes, "directories": true})
	file := filepath.Join(t.TempDir(), "users")
	wantTold(t, must(t, "a long password\n", "passwd", file, "maria", "--json"), map[string]any{"file": file, "user": "maria", "done": "set"})
	must(t, "another password\n", "passwd", file, "jo")
	wantTold(t, must(t, "", "passwd", file, "maria", "--delete", "--json"), map[string]any{"file": file, "user": "maria", "done": "removed"})
}

// TestArchivesAreToldInJSON: each file once it is complete, and the sum; and what is
// restored of them.
func TestArchivesAreToldInJSON(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	must(t, numbered(5000), "pub", "t", "--addr="+s.tcp)
	r := archiveAll(t, s, "-d", dir, "--json", "--rotate-size=100000")
	if code := r.stop(); code != exitOK {
		t.Fatalf("exit code %d, %s", code, r.errors)
	}
	lines := toldJSON(t, r.out.String())
	sum := lines[len(lines)-1]
	var messages, bytes float64
	var files []any
	for _, l := range lines[:len(lines)-1] {
		messages, bytes, files = messages+l["messages"].(float64), bytes+l["bytes"].(float64), append(files, l["file"])
		if l["topic"] != "t" {
			t.Errorf("%v", l)
		}
	}
	if len(files) < 2 || len(files) != len(archived(t, dir)) || messages != 5000 || !reflect.DeepEqual(sum, map[string]any{"messages": messages, "bytes": bytes, "files": float64(len(files))}) {
		t.Errorf("%v, and in all %v", lines, sum)
	}

	file := writeFile(t, filepath.Join(t.TempDir(), "x.jsonl"), objects(3, "x"))
	broken := writeFile(t, filepath.Join(t.TempDir(), "y.jsonl"), objects(2, "y")+"{")
	wantTold(t, must(t, "", "restore", file, "--json", "--addr="+s.tcp), map[string]any{
		"messages": 3.0, "files": []any{map[string]any{"file": file, "lines": 3.0, "messages": 3.0}},
	})
	again := q(t, "", "restore", broken, "--json", "--addr="+s.tcp)
	if told := toldJSON(t, again.out)[0]["files"].([]any)[0].(map[string]any); again.code != exitFailed || told["lines"] != 2.0 || told["breaks"] != "the file ends in the middle of a message" {
		t.Errorf("exit code %d, %v", again.code, told)
	}
}

// TestForwardsAreToldInJSON at the end.
func TestForwardsAreToldInJSON(t *testing.T) {
	s := withChannel(t)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	must(t, `{"a":1}`+"\n"+`{"b":1}`+"\n"+`{"a":2}`+"\n", "pub", "t", "--addr="+s.tcp)
	r := begin(t, strings.NewReader(""), "forward", "t", "--channel=c", "--to-http="+web.URL, "--require-json-field=a", "--json", "--addr="+s.tcp)
	eventually(t, "all are done with", func() bool { c := s.figures("t").Channels[0]; return c.Depth+c.InFlight == 0 })
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	wantTold(t, r.out.String(), map[string]any{"messages": 2.0, "filtered": 1.0, "given_back": 0.0, "given_up": 0.0, "destinations": map[string]any{web.URL: 2.0}})
}
