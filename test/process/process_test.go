package process

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script runs lines of a shell.
func script(t *testing.T, text string) *Process {
	t.Helper()
	return Start(t, Command{Binary: "/bin/sh", Args: []string{"-c", text}, Env: []string{"WORD=blue"}})
}

// What a process was given is its own while it is there: another one, which begins its search
// at the same port, is given another.
func TestAnAddressIsGivenToOneProcessAtATime(t *testing.T) {
	address := Address(t)
	if err := new(claimed).take(address); err == nil {
		t.Errorf("%s is given twice", address)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := new(claimed).take(l.Addr().String()); err == nil {
		t.Errorf("%s is given while a daemon listens there", l.Addr())
	}
}

func TestLinesOfBothOutputsAreFound(t *testing.T) {
	p := script(t, `echo one; echo "two $WORD" >&2; printf three`)
	if after := p.Await(t, "two "); after != "blue" {
		t.Errorf("found %q", after)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if after := p.Await(t, "thr"); after != "ee" || len(p.Log()) != 3 || len(p.Logged("o")) != 2 {
		t.Errorf("found %q in %q", after, p.Log())
	}
}

func TestFindEndsWithTheProcessAndWithItsContext(t *testing.T) {
	p := script(t, "exit 3")
	if _, err := p.Find(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("after the process: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := script(t, "exec sleep 60").Find(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: %v", err)
	}
}

func TestTerminateTellsHowItEnded(t *testing.T) {
	for text, want := range map[string]string{
		"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done": "",
		"trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done": "exit status 7",
		"trap '' TERM; echo up; while :; do sleep 0.01; done":       "does not end within",
		"echo up; exit 5": "exit status 5",
	} {
		p := script(t, text)
		p.Await(t, "up")
		limit := Timeout
		if strings.HasPrefix(want, "does not") {
			limit = time.Millisecond
		}
		if strings.Contains(text, "exit 5") {
			<-p.Ended()
		}
		err := p.Terminate(limit)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
		p.Kill() // when it is gone, nothing
	}
}

func TestProcessMayHaveFewDescriptorsAndAnInput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := Start(t, Command{Binary: "/bin/sh", Args: []string{"-c", "ulimit -n; read word; echo got $word"}, Stdin: in, Files: 17})
	in.Close()
	defer out.Close()
	if _, err := out.WriteString("this\n"); err != nil {
		t.Fatal(err)
	}
	if after := p.Await(t, "got "); after != "this" || p.Log()[0] != "17" {
		t.Errorf("%q", p.Log())
	}
}

func TestOverlayReplacesSources(t *testing.T) {
	dir := t.TempDir()
	flag, err := Overlay(dir, map[string]string{"cmd/qlookupd/main.go": "package main\n\nfunc main() { println(\"patched\") }\n"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Compile(dir, []string{flag}, "cmd/nothing"); err == nil || !strings.Contains(err.Error(), "cmd/nothing") {
		t.Errorf("a command that is not there: %v", err)
	}
	if err := Compile(dir, []string{flag}, "cmd/qlookupd"); err != nil {
		t.Fatal(err)
	}
	p := Start(t, Command{Binary: filepath.Join(dir, "qlookupd")})
	p.Await(t, "patched")
}

func TestDaemonComesBackWhereItWas(t *testing.T) {
	d := NewDaemon(t, Command{Binary: filepath.Join(Build(t, "cmd/qlookupd"), "qlookupd"), Args: []string{"--broadcast-address=127.0.0.1"}})
	for range 2 {
		d.Start(t)
		if answer, err := Ask(t.Context(), http.DefaultClient, http.MethodGet, d.HTTP, "/ping", ""); err != nil || string(answer) != "OK" {
			t.Errorf("%q, %v", answer, err)
		}
		d.Stop(t)
	}
}

func TestStatusOtherThan200IsAnError(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := Ask(t.Context(), s.Client(), http.MethodPost, s.Listener.Addr().String(), "/x", "body")
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound || err.Error() != "POST /x: 404 Not Found: 404 page not found" {
		t.Errorf("%v", err)
	}
}

func TestKeysComeInTheirOrder(t *testing.T) {
	if got := strings.Join(Keys(t, []byte(`{"b":{"x":1},"a":[1,2],"c":null}`)), " "); got != "b a c" {
		t.Errorf("%q", got)
	}
}

func TestWaitingEndsWhenItIsSo(t *testing.T) {
	asked := 0
	Eventually(t, "third", func() bool { asked++; return asked == 3 })
	c := make(chan int, 1)
	c <- asked
	if got := Next(t, c); got != 3 {
		t.Errorf("asked %d times", got)
	}
}
