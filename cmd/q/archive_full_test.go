//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// qWithFullDisk runs q in a process of its own.
func qWithFullDisk(t *testing.T, limit int, args ...string) result {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), fmt.Sprint(fileLimit, "=", limit))
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), errors.String()}
}

// TestArchiveThatFindsNoRoomInTheMiddle finishes what is on the disk, gives the
// rest back, says what to do and ends; what is in its file is whole.
func TestArchiveThatFindsNoRoomInTheMiddle(t *testing.T) {
	s, dir := withChannel(t), t.TempDir()
	must(t, numbered(5000), "pub", "t", "--addr="+s.tcp)
	r := qWithFullDisk(t, 256<<10, "archive", "t", "--channel=c", "-d", dir, "--max-in-flight=200", "--sync-interval=5ms", "--addr="+s.tcp)
	if r.code != exitFailed || !strings.Contains(r.errors, "file too large") || !strings.Contains(r.errors, "given back; make room or mend it, and start again") {
		t.Fatalf("exit code %d, %s", r.code, r.errors)
	}
	archived := 0
	eventually(t, "the rest is given back", func() bool {
		c := s.figures("t").Channels[0]
		archived = 5000 - int(c.Depth)
		return c.InFlight == 0
	})
	if archived == 0 || archived == 5000 {
		t.Fatalf("%d are archived", archived)
	}
	archiveAll(t, s, "-d", dir).stop() // into a file of its own
	wantRestored(t, dir, strings.Split(strings.TrimSpace(numbered(5000)), "\n"))
}
