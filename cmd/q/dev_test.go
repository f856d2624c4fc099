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
	for lines := bufio.NewScanner(read); told["data"] == "" && lines.Scan(); {
		first, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		told[first] = strings.TrimSpace(rest)
	}
	publish := strings.Trim(told["publish"][strings.Index(told["publish"], "http"):], "'")
	response, err := http.Post(publish, "", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if topics := topicsOf(t, told["look"]+"/api/topics"); response.StatusCode != http.StatusOK || len(topics) != 1 || topics[0] != "greetings" {
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
