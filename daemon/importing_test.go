package daemon

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeNSQDirectory writes what an nsqd leaves that had topic t with a channel c, in which
// a message of each size waits.
func writeNSQDirectory(t *testing.T, dir string, sizes ...int) {
	t.Helper()
	var queue []byte
	for i, size := range sizes {
		n := 26 + size
		queue = append(queue, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		queue = append(queue, make([]byte, 10)...)
		queue = fmt.Appendf(queue, "%016x", i+1)
		queue = append(queue, bytes.Repeat([]byte("x"), size)...)
	}
	for name, text := range map[string]string{
		"nsqd.dat":                 `{"topics":[{"name":"t","paused":false,"channels":[{"name":"c","paused":true}]}],"version":"1.3.0"}`,
		"t.diskqueue.meta.dat":     "0\n0,0\n0,0\n",
		"t:c.diskqueue.meta.dat":   fmt.Sprintf("%d\n0,0\n0,%d\n", len(sizes), len(queue)),
		"t:c.diskqueue.000000.dat": string(queue),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func namesIn(t *testing.T, dir string) (names string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names += e.Name() + " "
	}
	return names
}

func TestFirstStartOnADirectoryOfNSQDImportsIt(t *testing.T) {
	dir := privateDir(t)
	writeNSQDirectory(t, dir, 10, 5000)
	args := []string{"--data-path=" + dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--max-msg-size=100"}
	r := start(t, args...)
	r.line("INFO: import of nsqd's data begins")
	r.line("INFO: imported from nsqd topic=t messages=2")
	r.line("INFO: import of nsqd's data is done")
	_, address := r.untilListening()
	text := get(t, address, "/stats?format=text")
	if !strings.Contains(text, "*P [c                        ] depth: 2 ") && !strings.Contains(text, "[c                        ] depth: 2 ") {
		t.Errorf("stats are %s", text)
	}
	r.stop()
	if got := namesIn(t, filepath.Join(dir, "imported-from-nsqd")); got != "nsqd.dat t.diskqueue.meta.dat t:c.diskqueue.000000.dat t:c.diskqueue.meta.dat " {
		t.Errorf("set aside are %s", got)
	}
	writeNSQDirectory(t, dir, 7) // an nsqd was started there once more
	r = start(t, args...)
	r.line("WARNING: an nsqd's files are beside data of Q and are not imported: nothing is merged.")
	r.untilListening()
	r.stop()
	if got := namesIn(t, dir); !strings.Contains(got, "nsqd.dat ") {
		t.Errorf("the files of the later nsqd are gone: %s", got)
	}
}

func TestImportIsTriedWithoutAStart(t *testing.T) {
	dir := privateDir(t)
	writeNSQDirectory(t, dir, 10, 20, 30)
	was := namesIn(t, dir)
	var out bytes.Buffer
	if code := Main(QD, []string{"qd", "--data-path=" + dir, "--import=dry-run"}, &out, io.Discard, nil); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "channel c: 3 messages, paused") {
		t.Errorf("it prints %s", out.String())
	}
	if now := namesIn(t, dir); now != was {
		t.Errorf("there are %s, and there were %s", now, was)
	}
}

func TestImportThatCannotBeDoneFailsTheStartAndChangesNothing(t *testing.T) {
	tests := []struct {
		name string
		args []string
		text string // of nsqd.dat; empty: a good one
		want string
	}{
		{"no metadata", nil, "{", "nothing was changed: "},
		{"a member of a set", []string{"--cluster-peers=a:1,b:1,c:1", "--cluster-address=a:1", "--cluster-secret-file=" + filepath.Join(t.TempDir(), "secret")}, "", "not imported on a member of a replicated set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := privateDir(t)
			writeNSQDirectory(t, dir, 10)
			for _, arg := range tt.args {
				if _, file, is := strings.Cut(arg, "--cluster-secret-file="); is {
					if err := os.WriteFile(file, []byte("a secret that is long enough\n"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.text != "" {
				if err := os.WriteFile(filepath.Join(dir, "nsqd.dat"), []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			was := namesIn(t, dir)
			r := start(t, append([]string{"--data-path=" + dir, "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"}, tt.args...)...)
			r.line(tt.want)
			if code := r.exitCode(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			if now := namesIn(t, dir); now != was {
				t.Errorf("there are %s, and there were %s", now, was)
			}
		})
	}
}
