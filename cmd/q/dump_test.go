package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qmq/daemon"
)

// dumpedLines runs q dump and reads what it prints.
func dumpedLines(t *testing.T, text string) (list []dumped) {
	t.Helper()
	for line := range strings.Lines(text) {
		var d dumped
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// TestDumpPrintsWhatTheLogsHold: every message of every topic, with who has not
// finished it.
func TestDumpPrintsWhatTheLogsHold(t *testing.T) {
	dir := t.TempDir()
	d, err := daemon.Launch(daemon.QD, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t, d, d.Addresses()["TCP"], d.Addresses()["HTTP"], dir}
	at := "--addr=" + s.tcp
	for _, channel := range []string{"billing", "stock"} {
		must(t, "", "topics", "create", "orders", "--http-addr="+s.http)
		must(t, "", "channels", "create", "orders", channel, "--http-addr="+s.http)
	}
	must(t, "one\ntwo\nthree\n", "pub", "orders", at)
	must(t, "", "pub", "orders", "\xff\x00", at)
	must(t, "", "pub", "orders", "late", "--defer=1h", at)
	must(t, "", "pub", "other", "<x>", at)
	must(t, "", "sub", "orders", "billing", "--yes", "--count=2", at)
	eventually(t, "they are finished", func() bool { c := s.figures("orders").Channels[0]; return c.Depth == 2 && c.InFlight == 0 })
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}

	lines := dumpedLines(t, must(t, "", "dump", dir))
	var bodies []string
	for _, l := range lines {
		body := string(l.Base64)
		if l.Body != nil {
			body = *l.Body
		}
		bodies = append(bodies, fmt.Sprintf("%s %q %s %v", l.Topic, body, l.Batch, l.Channels))
		if _, err := time.Parse(time.RFC3339Nano, l.Time); err != nil || l.Size != len(body) {
			t.Errorf("%+v, %v", l, err)
		}
	}
	want := []string{
		`orders "one" first [stock]`, `orders "two" middle [stock]`, `orders "three" last [billing stock]`,
		`orders "\xff\x00"  [billing stock]`, `orders "late"  [billing stock]`, `other "<x>"  []`,
	}
	if !slices.Equal(bodies, want) {
		t.Errorf("%q, want %q", bodies, want)
	}
	due, err := time.Parse(time.RFC3339Nano, lines[4].Attributes["deliver_at"])
	if until := time.Until(due); err != nil || until < 55*time.Minute || until > time.Hour {
		t.Errorf("attributes %v", lines[4].Attributes)
	}

	for args, want := range map[string]int{
		"orders": 5, "other orders": 6, "orders --channel=billing": 3, "--channel=stock": 5,
		fmt.Sprintf("orders --from=%d", lines[1].Seq): 4, fmt.Sprintf("orders --from=%d --to=%[1]d", lines[1].Seq): 1, "-n 2": 2,
	} {
		if got := dumpedLines(t, must(t, "", append([]string{"dump", dir}, strings.Fields(args)...)...)); len(got) != want {
			t.Errorf("q dump %s: %d messages", args, len(got))
		}
	}
	wantRefusal(t, exitUnchecked, "there is no topic none", "dump", dir, "none")
	wantRefusal(t, exitUnchecked, "topic other has no channel billing", "dump", dir, "other", "--channel=billing")
	wantRefusal(t, exitUnchecked, "no topic has a channel none", "dump", dir, "--channel=none")
}

// TestDumpOfADirectoryThatNoJournalKnows: the directory of one topic is enough.
func TestDumpOfADirectoryThatNoJournalKnows(t *testing.T) {
	dir := storedNode(t)
	found, err := filepath.Glob(filepath.Join(dir, "topics", "orders-*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	elsewhere := filepath.Join(t.TempDir(), filepath.Base(found[0]))
	if err := os.CopyFS(elsewhere, os.DirFS(found[0])); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{found[0], elsewhere} {
		if lines := dumpedLines(t, must(t, "", "dump", path)); len(lines) != 2 || lines[0].Topic != "orders" || *lines[1].Body != "message-two" {
			t.Errorf("%+v", lines)
		}
	}
}

// TestDumpPassesOverWhatIsDamaged, says so, and changes nothing.
func TestDumpPassesOverWhatIsDamaged(t *testing.T) {
	dir := storedNode(t)
	damageMessage(t, dir)
	before := contents(t, dir)
	r := q(t, "", "dump", dir)
	if lines := dumpedLines(t, r.out); r.code != exitFailed || len(lines) != 1 || *lines[0].Body != "message-one" ||
		!strings.Contains(r.errors, "damaged, topic orders, number") || !strings.Contains(r.errors, "1 finding") {
		t.Errorf("exit code %d, %+v, %s", r.code, lines, r.errors)
	}
	if after := contents(t, dir); !slices.Equal(before, after) {
		t.Error("something is changed")
	}
}

// contents are the names and texts of all files below a directory.
func contents(t *testing.T, dir string) (list []string) {
	t.Helper()
	for _, file := range archived(t, dir) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, file+"\x00"+string(text))
	}
	return list
}

// TestDumpCanBePublishedAgain: what it prints, q pub and q restore read.
func TestDumpCanBePublishedAgain(t *testing.T) {
	dir := storedNode(t)
	s := startServer(t)
	lines := must(t, "", "dump", dir)
	must(t, lines, "pub", "copy", "--json-lines", "--addr="+s.tcp)
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "", "restore", file, "--addr="+s.tcp)
	if a, b := s.figures("copy"), s.figures("orders"); a.Depth != 2 || b.Depth != 2 {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestDumpRefusesADirectoryInUse(t *testing.T) {
	s := startServer(t)
	must(t, "", "pub", "t", "x", "--addr="+s.tcp)
	wantRefusal(t, exitUnchecked, "is in use: stop the qd", "dump", s.path)
	found, err := filepath.Glob(filepath.Join(s.path, "topics", "t-*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	wantRefusal(t, exitUnchecked, "is in use: stop the qd", "dump", found[0])
	wantRefusal(t, exitUnchecked, "neither a journal nor a topic", "dump", t.TempDir())
}
