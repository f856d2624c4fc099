//go:build unix

package vfs_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"

	"qmq/internal/vfs"
)

// TestMain lets the test binary be the other process that holds a lock.
func TestMain(m *testing.M) {
	if dir := os.Getenv("VFS_TEST_LOCK"); dir != "" {
		if _, err := vfs.OS.Lock(dir); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("locked\n")
		io.Copy(io.Discard, os.Stdin) // until killed
	}
	os.Exit(m.Run())
}

func TestLockOfAnotherProcessIsReleasedByItsDeath(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	must(t, err)
	other := exec.Command(exe)
	other.Env = append(os.Environ(), "VFS_TEST_LOCK="+dir)
	stdin, err := other.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	must(t, err)
	must(t, other.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	_, err = vfs.OS.Lock(dir)
	wantErr(t, "held by another process", err, vfs.ErrLocked)
	must(t, other.Process.Kill())
	other.Wait() // says that it was killed
	l, err := vfs.OS.Lock(dir)
	must(t, err)
	must(t, l.Close())
}
