//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// onTerminal is a program on a terminal of its own.
type onTerminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File // the program's side
	keys *os.File // ours
	out  *watched // what the program has written
	read chan struct{}

	before *term.State // of the terminal, before the program was started
}

// startOnTerminal starts a program, of the size given, until the end of the test.
func startOnTerminal(t *testing.T, width, height uint16, name string, args ...string) *onTerminal {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &onTerminal{t: t, cmd: exec.Command(name, args...), tty: tty, keys: keys, out: new(watched), read: make(chan struct{})}
	p.resize(width, height)
	p.cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if p.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.read)
		var buf [4096]byte
		for {
			n, err := keys.Read(buf[:])
			p.out.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		tty.Close()
		keys.Close()
		<-p.read
	})
	return p
}

func (p *onTerminal) resize(width, height uint16) {
	p.t.Helper()
	if err := pty.Setsize(p.keys, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		p.t.Fatal(err)
	}
}

// looks are what only changes how a terminal looks.
var looks = regexp.MustCompile("\x1b\\[[0-9;]*m")

// shows waits until the program has written something, whatever it looks like.
func (p *onTerminal) shows(text string) {
	p.t.Helper()
	for start := time.Now(); !strings.Contains(p.out.String(), text) && !strings.Contains(looks.ReplaceAllString(p.out.String(), ""), text); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > testTimeout {
			p.t.Fatalf("not within %v: the terminal shows %q: %q", testTimeout, text, p.out)
		}
	}
}

func (p *onTerminal) press(keys string) {
	p.t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// Sequences of a terminal.
const (
	toOtherScreen = "\x1b[?1049h"
	backToScreen  = "\x1b[?1049l"
	showCursor    = "\x1b[?25h"
)

// TestTopOnATerminal takes it over, follows its size, and gives it back as it was,
// whether somebody quits or a signal comes.
func TestTopOnATerminal(t *testing.T) {
	s := withChannel(t)
	must(t, numbered(42), "pub", "t", "--addr="+s.tcp)
	for name, end := range map[string]func(*onTerminal){
		"q":       func(p *onTerminal) { p.press("q") },
		"Ctrl-C":  func(p *onTerminal) { p.press("\x03") },
		"SIGINT":  func(p *onTerminal) { p.cmd.Process.Signal(unix.SIGINT) },
		"SIGTERM": func(p *onTerminal) { p.cmd.Process.Signal(unix.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			p := startOnTerminal(t, 100, 10, filepath.Join(program(t), "q"), "top", "-i", "50ms", "--http-addr="+s.http)
			p.shows(toOtherScreen)
			p.shows("42")
			p.resize(40, 10)
			p.shows("q quit  ? keys  t topics  c channels  n ")
			p.press("?")
			p.shows("Keys of q top")
			p.press("x")
			end(p)
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("%v: %q", err, p.out)
			}
			after, err := term.GetState(int(p.tty.Fd()))
			if err != nil || *p.before != *after {
				t.Errorf("the terminal is not as it was: %v", err)
			}
			p.shows(backToScreen)
			if text := p.out.String(); strings.LastIndex(text, showCursor) < strings.LastIndex(text, "\x1b[?25l") {
				t.Errorf("there is no cursor: %q", text)
			}
		})
	}
}

// TestProgressIsShownOnATerminal of archive, restore and forward, with what is
// logged above it, and what was done at the end.
func TestProgressIsShownOnATerminal(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	other := startServer(t)
	bin := filepath.Join(program(t), "q")
	must(t, numbered(500), "pub", "t", "--addr="+s.tcp)
	writeFile(t, filepath.Join(dir, "t.x-000000.old.jsonl.q-part"), objects(1, "left"))

	archive := startOnTerminal(t, 150, 24, bin, "archive", "t", "--channel=c", "-d", dir, "--host-identifier=x", "--sync-interval=10ms", "--addr="+s.tcp)
	eventually(t, "all are archived", func() bool { c := s.figures("t").Channels[0]; return c.Depth+c.InFlight == 0 })
	archive.shows("archived")
	archive.shows("[500 in ")
	archive.ends("500 messages archived in 1 file\r\n")
	if !strings.Contains(archive.out.String(), "a file that was not completed is") {
		t.Errorf("%q", archive.out)
	}

	file := writeFile(t, filepath.Join(t.TempDir(), "t.jsonl"), objects(1000, "x"))
	restore := startOnTerminal(t, 150, 24, bin, "restore", file, "--addr="+s.tcp)
	restore.shows("t.jsonl")
	restore.shows("1000 messages of 1 file published\r\n")
	restore.shows("done!")

	forward := startOnTerminal(t, 150, 24, bin, "forward", "t", "--channel=c", "--to-qd="+other.tcp, "--addr="+s.tcp)
	forward.shows("[1.00K in ")
	forward.ends("1000 messages forwarded, 0 given back\r\n")
}

// ends ends the program with a signal and waits until it has said something.
func (p *onTerminal) ends(text string) {
	p.t.Helper()
	p.cmd.Process.Signal(unix.SIGINT)
	p.shows(text)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%v: %q", err, p.out)
	}
}
