package daemon

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qmq/config"
)

func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	tcp, web := filepath.Join(dir, "tcp"), filepath.Join(dir, "http")
	// As a process that was killed leaves it.
	stale, err := net.Listen("unix", tcp)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	r := start(t, "--data-path", t.TempDir(), "--tcp-address="+tcp, "--http-address="+web)
	r.line("HTTP: listening on " + web)
	conn, err := net.Dial("unix", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(testTimeout))
	io.WriteString(conn, "  V2PUB t\n\x00\x00\x00\x01x")
	answer := make([]byte, 10)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer[8:]) != "OK" {
		t.Fatalf("%q, %v", answer, err)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", web)
		},
	}}
	for path, want := range map[string]string{
		"/stats?format=json": `"remote_address":"@"`,
		"/info":              `"http_port":-1,"tcp_port":-1`,
	} {
		response, err := client.Get("http://q" + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: %s is not in %s", path, want, text)
		}
	}

	// Somebody listens there: nobody else may.
	second := start(t, "--data-path", t.TempDir(), "--tcp-address="+tcp, "--http-address=")
	second.line("FATAL: failed to start qd - listen (" + tcp + ") failed - ")
	if code := second.exitCode(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.Dial("unix", tcp); err != nil {
		t.Errorf("the first one has lost its socket: %v", err)
	}
	r.stop()
	if _, err := os.Lstat(tcp); !os.IsNotExist(err) {
		t.Errorf("the socket file is still there: %v", err)
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listen(file); err == nil {
		l.Close()
		t.Error("it listens on a file")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "x" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// TestModeOfSocketsIsAsAskedFor from the moment at which they are there, and the
// umask is as before.
func TestModeOfSocketsIsAsAskedFor(t *testing.T) {
	was := syscall.Umask(0o022)
	defer syscall.Umask(was)
	for mode, want := range map[string]fs.FileMode{"": 0o755, "0660": 0o660, "600": 0o600, "0o777": 0o777} {
		path := filepath.Join(t.TempDir(), "s")
		settings, err := config.ParseQD([]string{"--tcp-address=" + path, "--http-address=", "--socket-mode=" + mode})
		if err != nil {
			t.Fatal(err)
		}
		q := settings.Values()
		l, err := openSockets(&q)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", mode, info.Mode(), err)
		}
		l.close()
		if now := syscall.Umask(0o022); now != 0o022 {
			t.Errorf("the umask is now %o", now)
		}
	}
	for _, wrong := range []string{"8", "1777", "rw", "-1"} {
		if _, err := config.ParseQD([]string{"--socket-mode=" + wrong}); err == nil {
			t.Errorf("%s is a mode", wrong)
		}
	}
}
