package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"qmq/broker"
	"qmq/daemon"
)

// storedNode is the data directory of a node that has stopped, with two messages
// in the topic orders.
func storedNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	d, err := daemon.Launch(daemon.QD, []string{"--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--data-path=" + dir}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"message-one", "message-two"} {
		must(t, "", "pub", "orders", body, "--addr="+d.Addresses()["TCP"])
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// damageMessage flips a bit of a message in the directory.
func damageMessage(t *testing.T, dir string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "topics", "orders-*", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %q, %v", segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	text[bytes.Index(text, []byte("message-two"))] ^= 1
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckOfAWholeDirectory(t *testing.T) {
	dir := storedNode(t)
	out := must(t, "", "check", dir)
	for _, want := range []string{"TOPIC", "orders", "ok", "nothing is amiss"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	var checked broker.Checked
	if err := json.Unmarshal([]byte(must(t, "", "check", "--json", dir)), &checked); err != nil {
		t.Fatal(err)
	}
	if len(checked.Topics) != 1 || checked.Topics[0].Messages != 2 || len(checked.Findings) != 0 {
		t.Errorf("%+v", checked)
	}
}

func TestCheckTellsWhatIsDamagedAndExitsWithOne(t *testing.T) {
	dir := storedNode(t)
	damageMessage(t, dir)
	r := q(t, "", "check", dir)
	if r.code != exitFailed || !strings.Contains(r.errors, "1 finding") {
		t.Errorf("exit code %d, %s", r.code, r.errors)
	}
	for _, want := range []string{"damaged, topic orders, number", "1 message lost", "damaged on the disk", ".seg"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in\n%s", want, r.out)
		}
	}
	r = q(t, "", "check", "--json", dir)
	var checked broker.Checked
	if err := json.Unmarshal([]byte(r.out), &checked); err != nil {
		t.Fatal(err)
	}
	if r.code != exitFailed || len(checked.Findings) != 1 || checked.Findings[0].Kind != broker.DamagedRecords || checked.Findings[0].Messages != 1 {
		t.Errorf("exit code %d, %+v", r.code, checked.Findings)
	}
}

func TestCheckRefusesADirectoryInUse(t *testing.T) {
	s := startServer(t)
	wantRefusal(t, exitUnchecked, "is in use: stop the qd", "check", s.path)
}

func TestCheckRefusesWhatIsNoDataDirectory(t *testing.T) {
	dir := t.TempDir()
	wantRefusal(t, exitUnchecked, "neither a journal nor a topic", "check", dir)
	wantRefusal(t, exitUnchecked, "no such file", "check", filepath.Join(dir, "nothing"))
}

func TestCheckThatIsInterruptedSaysSo(t *testing.T) {
	dir := storedNode(t)
	pipe := filepath.Join(dir, "journal", "ffffffffffffffff.log") // reading it does not come to an end
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	var out, errors bytes.Buffer
	if code := run([]string{"check", dir}, console{strings.NewReader(""), &out, &errors, signals}); code != exitInterrupted || !strings.Contains(errors.String(), "nothing was changed") {
		t.Errorf("exit code %d, %s", code, errors.String())
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets the check go on
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestCheckTellsWhatAStartBringsBesides(t *testing.T) {
	var out bytes.Buffer
	if err := printCheck(&out, &broker.Checked{Entries: 3}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no topics\n", "3 entries, which a start applies again", "nothing is amiss"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "SEGMENTS") {
		t.Errorf("a head over nothing:\n%s", out.String())
	}
}
