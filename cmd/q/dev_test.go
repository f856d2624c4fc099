package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDevRunsEverythingUntilToldToStop: what is published at qd is known to
// qlookupd and shown by qadmin, and all of it ends with one signal.
func TestDevRunsEverythingUntilToldToStop(t *testing.T) {
	read, write := io.Pipe()
	signals := make(chan os.Signal, 2)
	exit := make(chan int, 1)
	args := []string{"dev", "--data-path=" + filepath.Join(t.TempDir(), "new", "data")}
	for _, flag := range []string{"qd=--tcp-address", "qd=--http-address", "qlookupd=--tcp-address", "qlookupd=--http-address", "qadmin=--http-address"} {
		args = append(args, "--"+flag+"=127.0.0.1:0")
	}
	go func() {
		exit <- run(args, console{nil, write, io.Discard, signals})
		write.Close()
	}()
	told := make(map[string]string) // by the first word of a line, the rest
	for lines := bufio.NewScanner(read); lines.Scan() && lines.Text() != ""; {
		first, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		told[first] = strings.TrimSpace(rest)
	}
	publish := strings.Trim(told["or"][strings.Index(told["or"], "http"):], "'")
	page, _, _ := strings.Cut(told["look"], ",")
	response, err := http.Post(publish, "", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if topics := topicsOf(t, page+"/api/topics"); response.StatusCode != http.StatusOK || len(topics) != 1 || topics[0] != "greetings" {
		t.Errorf("%s; the page shows %v", response.Status, topics)
	}
	http.DefaultClient.CloseIdleConnections()
	signals <- os.Interrupt
	if code := <-exit; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// topicsOf asks until there is a topic: qlookupd hears of it a moment after
// its first publish was answered.
func topicsOf(t *testing.T, url string) []string {
	t.Helper()
	for {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Topics []string }
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		if err != nil || len(answer.Topics) > 0 || t.Context().Err() != nil {
			return answer.Topics
		}
	}
}

// TestDevFindsMistakesBeforeAnythingListens, those of all daemons.
func TestDevFindsMistakesBeforeAnythingListens(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") // so that qlookupd would fail to start, were it started
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr bytes.Buffer
	args := []string{"dev", "--data-path=" + t.TempDir(), "--qlookupd=--tcp-address=" + taken.Addr().String(), "--qd=--mem-queue-size=x", "--qadmin=--no-such-flag"}
	code := run(args, console{nil, io.Discard, &stderr, nil})
	text := stderr.String()
	if code != exitFailed || !strings.Contains(text, "qd: ") || !strings.Contains(text, "qadmin: flag provided but not defined: --no-such-flag") || strings.Contains(text, "listen") {
		t.Errorf("exit code %d, %s", code, text)
	}
}

// TestDevBesideAnother: what is in use is named with the way around it.
func TestDevBesideAnother(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	// The offset that leads qd to the port that is taken; the others are free.
	offset := taken.Addr().(*net.TCPAddr).Port - 4150
	var stderr bytes.Buffer
	args := []string{"dev", "--data-path=" + t.TempDir(), fmt.Sprintf("--port-offset=%d", offset),
		"--qlookupd=--tcp-address=127.0.0.1:0", "--qlookupd=--http-address=127.0.0.1:0"}
	code := run(args, console{nil, io.Discard, &stderr, nil})
	want := "listen (" + taken.Addr().String() + ") failed"
	if code != exitFailed || !strings.Contains(stderr.String(), want) || !strings.Contains(stderr.String(), "already running? A second one beside it needs --port-offset") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// TestDevOfSeveralNodes: they listen on ports of their own and keep messages apart,
// what it says can be done works, and nothing is left behind.
func TestDevOfSeveralNodes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := begin(t, strings.NewReader(""), "dev", "--nodes=3", "--free-ports", "--temporary")
	eventually(t, "it says where everything is", func() bool { return strings.HasSuffix(r.out.String(), "\n\n") || len(r.exit) > 0 })
	said := make(map[string][]string) // by the first word of a line, the rest of each
	for line := range strings.Lines(r.out.String()) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[first] = append(said[first], strings.TrimSpace(rest))
	}
	command := func(line string) []string {
		return strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "q "), "'", ""))
	}
	var reach string
	if list := command(said["publish"][0]); len(list) == 4 {
		reach = list[3]
	}
	eventually(t, "the nodes are listed", func() bool { return strings.Count(q(t, "", "nodes", reach).out, "\n") == 4 })
	for range 6 {
		must(t, "", command(said["publish"][0])...)
	}
	if out := must(t, "", append(command(said["consume"][0]), "--count=6")...); out != strings.Repeat("hello\n", 6) {
		t.Errorf("%q", out)
	}
	ids := make(map[string]bool)
	for _, line := range said["node"] {
		_, rest, _ := strings.Cut(line, "qd is at ")
		at, path, _ := strings.Cut(rest, ",")
		_, path, _ = strings.Cut(path, "data in ")
		if _, err := os.Stat(filepath.Join(path, "journal")); err != nil {
			t.Error(err)
		}
		must(t, "", "pub", "ids", "x", "--addr="+at)
		out := must(t, "", "sub", "ids", "c", "--yes", "--count=1", "--print=id", "--addr="+at)
		ids[out] = true
	}
	if len(ids) != 3 {
		t.Errorf("nodes %v, ids %v", said["node"], ids)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
	if left := archived(t, os.TempDir()); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestDevRefusesWhatCannotBe(t *testing.T) {
	for args, want := range map[string]string{
		"--nodes=0":                           "--nodes must be in [1,50], not 0",
		"--nodes=51":                          "--nodes must be in [1,50], not 51",
		"--nodes=3 --port-offset=61200":       "--port-offset must be in [0,61182], not 61200",
		"--free-ports --port-offset=1":        "exclude each other",
		"--temporary --data-path=elsewhere":   "exclude each other",
		"--replicated --nodes=2":              "--replicated takes three nodes at least",
		"--replicated --nodes=3 --free-ports": "--free-ports goes with --temporary",
	} {
		wantRefusal(t, exitFailed, want, append([]string{"dev"}, strings.Fields(args)...)...)
	}
}

func TestDevKeepsWhatOneNodeHadWhenThereAreMore(t *testing.T) {
	d := devCommand{Nodes: 3, DataPath: "some/data/"}
	for i, want := range []string{"some/data/", "some/data-2", "some/data-3"} {
		if got := d.path(i); got != want {
			t.Errorf("node %d: %s, want %s", i, got, want)
		}
	}
	for i, want := range []string{"--tcp-address=:4150", "--tcp-address=:4250", "--tcp-address=:4350"} {
		if flags := d.qdFlags(i, ""); !slices.Contains(flags, want) {
			t.Errorf("node %d: %q", i, flags)
		}
	}
}

// TestDevOfAReplicatedSet: what is published at one member is consumed at another.
func TestDevOfAReplicatedSet(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := begin(t, strings.NewReader(""), "dev", "--nodes=3", "--replicated", "--free-ports", "--temporary", "--qd=--replicated-topics=*", "--log-level=error")
	eventually(t, "it says where everything is", func() bool { return strings.HasSuffix(r.out.String(), "\n\n") || len(r.exit) > 0 })
	var nodes []string
	for line := range strings.Lines(r.out.String()) {
		if _, rest, ok := strings.Cut(line, "qd is at "); ok {
			at, _, _ := strings.Cut(rest, ",")
			nodes = append(nodes, at)
		}
	}
	if len(nodes) != 3 || !strings.Contains(r.out.String(), " cluster status --lookupd=") {
		t.Fatalf("%s%s", r.out, r.errors)
	}
	eventually(t, "the set takes a message", func() bool { return q(t, "", "pub", "t", "hello", "--addr="+nodes[0]).code == exitOK })
	if out := must(t, "", "sub", "t", "c", "--yes", "--count=1", "--addr="+nodes[2]); out != "hello\n" {
		t.Errorf("%q", out)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit code %d, %s", code, r.errors)
	}
}
