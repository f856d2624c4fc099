package process

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// Start runs the program until the end of the test, unless that ends it
// before. When the test has failed, the log is shown.
func Start(t testing.TB, c Command) *Process {
	t.Helper()
	p, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s %s:\n%s", p.name, strings.Join(c.Args, " "), strings.Join(p.Log(), "\n"))
		}
	})
	return p
}

// Await is Find for a test, which ends if there is no such line.
func (p *Process) Await(t testing.TB, text string) (after string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	after, err := p.Find(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// Stop is Terminate for a test, which ends unless the process ends well.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.Terminate(Timeout); err != nil {
		t.Fatal(err)
	}
}

// Eventually asks until the condition holds. What it waits for happens where
// nobody tells of it, such as in another process.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(Timeout)
	for !condition() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// Next waits for something to arrive.
func Next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Timeout):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// InFolder runs the tests of a package with a folder of its own, which is
// removed afterwards, and returns the exit code.
func InFolder(m *testing.M, use func(dir string)) int {
	dir, err := os.MkdirTemp("", "test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	use(dir)
	return m.Run()
}
