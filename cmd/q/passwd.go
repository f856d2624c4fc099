package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"qmq/admin"
)

// passwdCommand is q passwd.
type passwdCommand struct {
	File   string `arg:"" complete:"file" help:"File of users, which qadmin reads with --users-file; made if it is not there."`
	Name   string `arg:"" help:"Name of the user."`
	Role   string `placeholder:"ROLE" help:"Role of the user: ${roles}. Default: the one that the user has, and viewer for a new one."`
	Delete bool   `help:"Remove the user; qadmin ends the sessions."`
	JSON   bool   `name:"json" help:"Say in JSON what was done."`
}

// Run asks for a password, twice on a terminal, and writes the line. Without a
// terminal the password is the first line of the input.
func (p *passwdCommand) Run(c console) error {
	if p.Delete {
		if err := admin.RemoveUser(p.File, p.Name); err != nil {
			return err
		}
		return p.tell(c, "removed", "%s: %s is removed\n")
	}
	if err := admin.CheckUser(p.Name, p.Role); err != nil { // before anybody types a password
		return err
	}
	password, err := readPassword(c, "Password of "+p.Name+": ")
	if err != nil {
		return err
	}
	if err := admin.SetUser(p.File, p.Name, p.Role, password); err != nil {
		return err
	}
	return p.tell(c, "set", "%s: the password of %s is set\n")
}

// tell says what was done.
func (p *passwdCommand) tell(c console, done, line string) error {
	if p.JSON {
		return printJSON(c.out, map[string]string{"file": p.File, "user": p.Name, "done": done})
	}
	_, err := fmt.Fprintf(c.out, line, p.File, p.Name)
	return err
}

// maxLine bounds what is read as a password, in bytes.
const maxLine = 1 << 10

func readPassword(c console, prompt string) (string, error) {
	in, ok := c.in.(*os.File)
	if !ok || !terminal(in) {
		return readLine(c.in)
	}
	restore := hideInput(in)
	defer restore()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-c.signals:
			restore() // reading goes on until a line is typed
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	ask := func(prompt string) (string, error) {
		fmt.Fprint(c.err, prompt)
		defer fmt.Fprintln(c.err)
		return readLine(in)
	}
	first, err := ask(prompt)
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err == nil && again != first {
		err = errors.New("the passwords differ")
	}
	return first, err
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", fmt.Errorf("no password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
