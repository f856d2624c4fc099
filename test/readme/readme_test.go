// Package readme types the README's commands, so that they stay true.
package readme

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmq/test/process"
)

// commands returns the lines of the README's shell blocks, in order.
func commands(t *testing.T) []string {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	return lines
}

// TestQuickStartWorksAsTyped builds the binaries, starts a node and types what
// the README says, on ports of its own.
func TestQuickStartWorksAsTyped(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "qmq/cmd/q", "qmq/examples/consumer").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	http, lookup, page := process.Address(t), process.Address(t), process.Address(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	startDaemons(t, dir, http, lookup, page)

	lines := commands(t)
	if lines[0] != "make run" {
		t.Fatalf("the README starts with %q", lines[0])
	}
	if text, err := os.ReadFile(filepath.Join(root, "Makefile")); err != nil || !strings.Contains(string(text), "\nrun: build") {
		t.Fatalf("the Makefile has no target run: %v", err)
	}
	for _, line := range lines[1:] {
		line = strings.NewReplacer("127.0.0.1:4151", http, "127.0.0.1:4171", page).Replace(line)
		if strings.HasPrefix(line, "bin/consumer") {
			wantMessages(t, ctx, dir, line+" -lookupd-http-address="+lookup, "hello", "one", "two", "later")
			continue
		}
		if strings.HasPrefix(line, "bin/q ") {
			wantFromQ(t, ctx, dir, line, http)
			continue
		}
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Dir = dir
		out, err := cmd.Output()
		switch {
		case err != nil:
			t.Fatalf("%s: %v", line, err)
		case strings.Contains(line, "pub?") && string(out) != "OK":
			t.Fatalf("%s: %q", line, out)
		case !strings.Contains(line, "pub?") && !strings.Contains(string(out), `"topic_name":"greetings"`):
			t.Fatalf("%s: %s", line, out)
		}
	}
}

// wantFromQ runs a command of q: what it publishes, the others show.
func wantFromQ(t *testing.T, ctx context.Context, dir, line, http string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "Q_HTTP_ADDR="+http)
	want := "again\n"
	if strings.Contains(line, " pub ") {
		want = ""
	}
	if out, err := cmd.Output(); err != nil || string(out) != want {
		t.Fatalf("%s: %v, %q", line, err, out)
	}
}

// startDaemons starts what make run starts and waits until it says that it
// runs.
func startDaemons(t *testing.T, dir, http, lookup, page string) {
	t.Helper()
	const anywhere = "--tcp-address=127.0.0.1:0"
	cmd := exec.Command("bin/q", "dev", "--data-path="+t.TempDir(),
		"--qd="+anywhere, "--qd=--http-address="+http, "--qlookupd="+anywhere, "--qlookupd=--http-address="+lookup, "--qadmin=--http-address="+page)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "data in") { // the last one
			return
		}
	}
	t.Fatal("it ended before it listened")
}

// wantMessages runs a consumer until the bodies have come, in any order.
func wantMessages(t *testing.T, ctx context.Context, dir, line string, bodies ...string) {
	t.Helper()
	args := strings.Fields(line)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	missing := make(map[string]bool)
	for _, body := range bodies {
		missing[body] = true
	}
	lines := bufio.NewScanner(out)
	for len(missing) > 0 {
		if !lines.Scan() {
			t.Fatalf("%s: messages missing: %v", line, missing)
		}
		delete(missing, lines.Text())
	}
}

// TestCloneComesFirst and what takes longer the first time is said.
func TestCloneComesFirst(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	clone, run := strings.Index(readme, "\ngit clone "), strings.Index(readme, "\nmake run\n")
	if clone < 0 || run < clone || !strings.Contains(readme[:run], "with warm caches") {
		t.Errorf("git clone at %d, make run at %d", clone, run)
	}
}

// TestBrowserIsInstalledWithAWord where there is none; and make test runs it.
func TestBrowserIsInstalledWithAWord(t *testing.T) {
	gnumake, err := exec.LookPath("make")
	if err != nil {
		t.Fatal(err)
	}
	run := func(programs map[string]string) (out string, err error) {
		bin := t.TempDir()
		for name, script := range programs {
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(gnumake, "browser")
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = []string{"PATH=" + bin}
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	const apt, root, other = "echo apt-get $*", "echo 0", "echo 1000"
	if out, err := run(map[string]string{"id": root, "apt-get": apt}); err != nil || !strings.Contains(out, "installing chromium with apt-get") || !strings.Contains(out, "apt-get install -y -q --no-install-recommends chromium") {
		t.Errorf("as root: %v\n%s", err, out)
	}
	for name, programs := range map[string]map[string]string{"as somebody else": {"id": other, "apt-get": apt}, "without apt-get": {"id": root}} {
		if out, err := run(programs); err == nil || !strings.Contains(out, "Install Chromium: ") || strings.Contains(out, "apt-get update") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if out, err := run(map[string]string{"id": root, "apt-get": apt, "chromium-browser": ""}); err != nil || strings.Contains(out, "apt-get") {
		t.Errorf("with a browser: %v\n%s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join("..", "..", "Makefile")); err != nil || !strings.Contains(string(text), "\ntest: browser ") {
		t.Errorf("make test does not look for one: %v", err)
	}
}
