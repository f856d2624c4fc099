package daemon

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func writeSecret(t *testing.T, text string, mode os.FileMode) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNodesAreListedOnlyWithTheSecretOfTheDirectory(t *testing.T) {
	file := writeSecret(t, "not to be guessed\n", 0o644)
	directory := launch(t, QLookupd, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1",
		"--registration-secret-file="+file)
	directory.line("WARNING: file with a secret can be read by others option=--registration-secret-file")
	tcp, web := directory.line("TCP: listening on "), directory.line("HTTP: listening on ")
	qd := func(more ...string) *running {
		return start(t, append([]string{"--data-path", t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0",
			"--broadcast-address=127.0.0.1", "--lookupd-tcp-address=" + tcp}, more...)...)
	}
	nodes := func() string {
		list, err := newClient(t).Nodes(t.Context(), []string{web})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(list))
	}
	without := qd()
	without.line("E_UNAUTHORIZED IDENTIFY registration secret is missing or wrong")
	wrong := qd("--registration-secret-file=" + writeSecret(t, "guessed wrongly", 0o600))
	wrong.line("E_UNAUTHORIZED IDENTIFY registration secret is missing or wrong")
	until(t, "0", nodes)
	with := qd("--registration-secret-file=" + writeSecret(t, "not to be guessed", 0o600))
	until(t, "1", nodes)
	rotated := writeSecret(t, "guessed wrongly", 0o600)
	if err := os.Rename(rotated, file); err != nil {
		t.Fatal(err)
	}
	// The files are read again by themselves, too, but only after some seconds.
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	directory.line("reading certificates and credentials again")
	until(t, "2", nodes)
	for _, r := range []*running{without, wrong, with, directory} {
		r.stop()
	}
}

func TestSecretThatIsNoneStopsTheStart(t *testing.T) {
	for _, test := range []struct{ arg, says string }{
		{"", "--registration-secret-file must not be empty"},
		{filepath.Join(t.TempDir(), "none"), "failed to read --registration-secret-file - stat "},
		{writeSecret(t, " short \n", 0o600), "must hold at least 8 characters"},
	} {
		for name, run := range map[string]func(args []string, out *bytes.Buffer) int{
			"qd": func(args []string, out *bytes.Buffer) int {
				return Main(QD, append(args, "--data-path="+t.TempDir(), "--tcp-address=127.0.0.1:0"), out, out, nil)
			},
			"qlookupd": func(args []string, out *bytes.Buffer) int { return Main(QLookupd, args, out, out, nil) },
		} {
			var out bytes.Buffer
			if code := run([]string{name, "--registration-secret-file=" + test.arg}, &out); code != exitFailed || !strings.Contains(out.String(), test.says) {
				t.Errorf("%s %s: exit code %d\n%s", name, test.arg, code, &out)
			}
			if strings.Contains(out.String(), "short") {
				t.Errorf("it tells the secret: %s", &out)
			}
		}
	}
}

// TestDirectoriesAreForTheirOwnerAlone: those that qd makes. What is there keeps
// its mode and is warned about.
func TestDirectoriesAreForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "journal")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	r := start(t, "--data-path="+dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
	r.line("WARNING: others may look into a directory of messages directory=" + dir + " mode=drwxr-xr-x")
	r.line("WARNING: others may look into a directory of messages directory=" + old + " mode=drwxr-xr-x")
	ask(t, "POST", r.line("HTTP: listening on "), "/pub?topic=t", "x")
	r.stop()
	made := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if path == dir || path == old {
			want = 0o755
		} else if entry.IsDir() {
			made++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || made < 2 {
		t.Errorf("%d directories made, %v", made, err)
	}
}

func TestFilesWithSecretsThatOthersReadAreWarnedAbout(t *testing.T) {
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true} {
		file := writeSecret(t, "not to be guessed", 0o600)
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		warnReadable("http-auth", file, NewLogger(&log, "", slog.LevelInfo))
		if strings.Contains(log.String(), "WARNING: file with a secret can be read by others option=--http-auth") != warned {
			t.Errorf("%v: %s", mode, log.String())
		}
	}
	credential := "admin bearer sha256:" + strings.Repeat("0", 64)
	files := writePair(t, t.TempDir(), "q")
	if err := os.Chmod(files.key, 0o644); err != nil {
		t.Fatal(err)
	}
	r := start(t, "--data-path="+t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--https-address=127.0.0.1:0",
		"--tls-cert="+files.cert, "--tls-key="+files.key, "--http-auth="+writeSecret(t, credential, 0o644))
	r.line("can be read by others option=--tls-key")
	r.line("can be read by others option=--http-auth")
	r.stop()
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for flag, text := range map[string]string{"users-file": "ann:admin:" + string(hash), "http-client-auth-file": "bearer x"} {
		page := launch(t, QAdmin, "--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1", "--"+flag+"="+writeSecret(t, text, 0o644))
		page.line("can be read by others option=--" + flag)
		page.stop()
	}
}

// TestLogAndOptionsShowNoSecrets of URLs.
func TestLogAndOptionsShowNoSecrets(t *testing.T) {
	r := start(t, "--data-path="+t.TempDir(), "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--auth-http-address=http://ann:s3cret@127.0.0.1:1/T0KEN")
	tcp, web := r.line("TCP: listening on "), r.line("HTTP: listening on ")
	conn, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "  V2AUTH\n\x00\x00\x00\x01s"); err != nil {
		t.Fatal(err)
	}
	if line := r.line("WARNING: auth server "); !strings.HasPrefix(line, "address=http://redacted@127.0.0.1:1/redacted error=") || strings.Contains(line, "s3cret") || strings.Contains(line, "T0KEN") {
		t.Errorf("logged %s", line)
	}
	if got := get(t, web, "/config/auth_http_addresses"); got != `["http://redacted@127.0.0.1:1/redacted"]` {
		t.Errorf("shown is %s", got)
	}
	r.stop()
	var stderr bytes.Buffer
	Main(QAdmin, []string{"qadmin", "--nsqd-http-address=http://ann:s3cret@no.such.host.invalid:1"}, io.Discard, &stderr, nil)
	if text := stderr.String(); !strings.Contains(text, "failed to resolve address (http://redacted@no.such.host.invalid:1)") || strings.Contains(text, "s3cret") {
		t.Errorf("mistakes say %s", text)
	}
}
