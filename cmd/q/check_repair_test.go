package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"qmq/broker"
	"qmq/daemon"
)

// one is the only file of a pattern below a directory.
func one(t *testing.T, parts ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(parts...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v: %q, %v", parts, found, err)
	}
	return found[0]
}

// flip changes a byte of a file.
func flip(t *testing.T, path string, offset int) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[offset] ^= 0xff
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRepairSetsAsideWhatIsWrongAndMadeAnew: an index, and metadata.json; what was
// in them is there still, under other names.
func TestRepairSetsAsideWhatIsWrongAndMadeAnew(t *testing.T) {
	dir := storedNode(t)
	index, metadata := one(t, dir, "topics", "orders-*", "*.idx"), filepath.Join(dir, "metadata.json")
	wrong := map[string][]byte{index: flip(t, index, 20), metadata: flip(t, metadata, 0)}
	if r := q(t, "", "check", dir); r.code != exitFailed || !strings.Contains(r.errors, "2 findings") {
		t.Fatalf("exit code %d, %s%s", r.code, r.out, r.errors)
	}
	out := must(t, "", "check", "--repair", dir)
	for _, want := range []string{"set aside: " + index + ".aside\n", "set aside: " + metadata + ".aside\n", "2 findings before, 0 left\n", "nothing is amiss"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for path, text := range wrong {
		if kept, err := os.ReadFile(path + ".aside"); err != nil || !slices.Equal(kept, text) {
			t.Errorf("%s: %v", path, err)
		}
	}
	must(t, "", "check", dir)
	if lines := dumpedLines(t, must(t, "", "dump", dir)); len(lines) != 2 {
		t.Errorf("%+v", lines)
	}
}

// TestRepairKeepsDamagedBytesAndSaysWhatIsLost, until somebody has seen it.
func TestRepairKeepsDamagedBytesAndSaysWhatIsLost(t *testing.T) {
	dir := storedNode(t)
	damageMessage(t, dir)
	segment := one(t, dir, "topics", "orders-*", "*.seg")
	before, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	r := q(t, "", "check", "--repair", "--json", dir)
	var told broker.Repaired
	if err := json.Unmarshal([]byte(r.out), &told); err != nil {
		t.Fatal(err)
	}
	if r.code != exitFailed || told.Found.Amiss() != 1 || told.Left.Amiss() != 1 || !strings.Contains(r.errors, "1 finding left, of 1") {
		t.Errorf("exit code %d, %+v, %s", r.code, told, r.errors)
	}
	if after, err := os.ReadFile(segment); err != nil || !slices.Equal(before, after) {
		t.Errorf("the segment is changed: %v", err)
	}
	wantRefusal(t, exitUnchecked, "they need --repair", "check", "--acknowledge", dir)
	must(t, "", "check", "--repair", "--acknowledge", dir)
	must(t, "", "check", dir)
	if lines := dumpedLines(t, q(t, "", "dump", dir).out); len(lines) != 1 || *lines[0].Body != "message-one" {
		t.Errorf("%+v", lines)
	}
}

// TestRepairAdoptsWhatNoJournalKnows, where it is told to, and never into a topic
// that there is.
func TestRepairAdoptsWhatNoJournalKnows(t *testing.T) {
	dir, other := storedNode(t), storedNode(t)
	unknown := one(t, other, "topics", "orders-*")
	name := filepath.Base(unknown)
	if err := os.CopyFS(filepath.Join(dir, "topics", name), os.DirFS(unknown)); err != nil {
		t.Fatal(err)
	}
	r := q(t, "", "check", "--repair", dir)
	if r.code != exitFailed || !strings.Contains(r.out, "unknown_directory, topic orders") {
		t.Errorf("exit code %d, %s%s", r.code, r.out, r.errors)
	}
	r = q(t, "", "check", "--repair", "--adopt=all", dir)
	if r.code != exitFailed || !strings.Contains(r.out, "not adopted: "+name+": there is a topic of that name\n") {
		t.Errorf("exit code %d, %s%s", r.code, r.out, r.errors)
	}
	if out := must(t, "", "check", "--repair", "--adopt="+name+"=recovered", dir); !strings.Contains(out, "adopted: "+name+" is topic recovered\n") {
		t.Errorf("%s", out)
	}
	for _, topic := range []string{"orders", "recovered"} {
		if lines := dumpedLines(t, must(t, "", "dump", dir, topic)); len(lines) != 2 {
			t.Errorf("%s: %+v", topic, lines)
		}
	}
}

// TestRepairMakesAgainWhatTheJournalLost.
func TestRepairMakesAgainWhatTheJournalLost(t *testing.T) {
	dir := storedNode(t)
	if err := os.Rename(filepath.Join(dir, "journal"), filepath.Join(t.TempDir(), "journal")); err != nil {
		t.Fatal(err)
	}
	if r := q(t, "", "check", dir); r.code != exitFailed || !strings.Contains(r.out, "reconstructed, topic orders") {
		t.Errorf("exit code %d, %s%s", r.code, r.out, r.errors)
	}
	must(t, "", "check", "--repair", "--acknowledge", dir)
	if lines := dumpedLines(t, must(t, "", "dump", dir)); len(lines) != 2 {
		t.Errorf("%+v", lines)
	}
}

func TestRepairLeavesMembersOfReplicatedSetsToThemselves(t *testing.T) {
	dir := storedNode(t)
	if err := os.MkdirAll(filepath.Join(dir, "raft", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	wantRefusal(t, exitUnchecked, "is not repaired: it is of a member of a replicated set", "check", "--repair", dir)
	if after := contents(t, dir); !slices.Equal(before, after) {
		t.Error("something is changed")
	}
}

func TestRepairRefusesADirectoryInUse(t *testing.T) {
	s := startServer(t)
	must(t, "", "pub", "t", "x", "--addr="+s.tcp)
	before := contents(t, filepath.Join(s.path, "topics"))
	wantRefusal(t, exitUnchecked, "is in use: stop the qd", "check", "--repair", s.path)
	wantRefusal(t, exitUnchecked, "neither a journal nor a topic", "check", "--repair", t.TempDir())
	if after := contents(t, filepath.Join(s.path, "topics")); !slices.Equal(before, after) {
		t.Error("something is changed")
	}
}

// TestRepairOfAWholeDirectoryLeavesWhatIsOwedAsItWas.
func TestRepairOfAWholeDirectoryLeavesWhatIsOwedAsItWas(t *testing.T) {
	dir := t.TempDir()
	d, err := daemon.Launch(daemon.QD, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t, d, d.Addresses()["TCP"], d.Addresses()["HTTP"], dir}
	s.post("/topic/create", "topic", "t")
	for _, channel := range []string{"a", "b"} {
		s.post("/channel/create", "topic", "t", "channel", channel)
	}
	must(t, numbered(100), "pub", "t", "--addr="+s.tcp)
	must(t, "", "pub", "t", "late", "--defer=1h", "--addr="+s.tcp)
	must(t, "", "sub", "t", "a", "--yes", "--count=40", "--addr="+s.tcp)
	eventually(t, "they are finished", func() bool { c := s.figures("t").Channels[0]; return c.Depth == 60 && c.InFlight == 0 })
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	before := must(t, "", "dump", dir)
	if out := must(t, "", "check", "--repair", dir); !strings.HasPrefix(out, "0 findings before, 0 left\n") {
		t.Errorf("%s", out)
	}
	if after := must(t, "", "dump", dir); after != before || strings.Count(after, "\n") != 101 {
		t.Errorf("before\n%safterwards\n%s", before, after)
	}
}
