package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
