package bench

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qmq/test/process"
)

var (
	serverPath  = flag.String("server", "", "binary to measure; built from cmd/qd when empty")
	serverFlags = flag.String("server-flags", "", "more flags for it, separated by blanks")
)

// server is a running daemon.
type server struct {
	tcp, http string
	cmd       *exec.Cmd
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "qd-bench")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "qd")
	out, err := exec.Command("go", "build", "-o", path, "qmq/cmd/qd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func startServer(tb testing.TB, flags ...string) *server {
	tb.Helper()
	path := *serverPath
	if path == "" {
		var err error
		if path, err = build(); err != nil {
			tb.Fatal(err)
		}
	}
	s := &server{tcp: process.Address(tb), http: process.Address(tb)}
	args := append([]string{"-tcp-address", s.tcp, "-http-address", s.http, "-data-path", tb.TempDir()}, flags...)
	args = append(args, strings.Fields(*serverFlags)...)
	s.cmd = exec.Command(path, args...)
	var log strings.Builder
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		s.cmd.Wait()
	})
	for deadline := time.Now().Add(5 * time.Second); ; {
		resp, err := http.Get("http://" + s.http + "/ping")
		if err == nil {
			resp.Body.Close()
			return s
		}
		if time.Now().After(deadline) {
			tb.Fatalf("server does not answer: %v\n%s", err, log.String())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (s *server) post(tb testing.TB, path string) {
	tb.Helper()
	resp, err := http.Post("http://"+s.http+path, "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		tb.Fatalf("POST %s: %s", path, resp.Status)
	}
}

// cpu is the CPU time that the process has used.
func (s *server) cpu(tb testing.TB) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	// The fields after the command's name, which may hold blanks; utime and
	// stime are the 14th and 15th of all, in ticks of 10 ms.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
