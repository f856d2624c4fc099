//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

// shows waits until the program has written something.
func (p *onTerminal) shows(text string) {
	p.t.Helper()
	eventually(p.t, "the terminal shows "+text, func() bool { return strings.Contains(p.out.String(), text) })
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
			before, err := term.GetState(int(p.tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
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
			if err != nil || *before != *after {
				t.Errorf("the terminal is not as it was: %v", err)
			}
			p.shows(backToScreen)
			if text := p.out.String(); strings.LastIndex(text, showCursor) < strings.LastIndex(text, "\x1b[?25l") {
				t.Errorf("there is no cursor: %q", text)
			}
		})
	}
}
