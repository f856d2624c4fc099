package readme

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qmq/test/process"
)

// move is the walk of docs/from-nsq.md from nsqd to qd and back.
type move struct {
	bin  string // directory of the programs; nsqd is a link to qd there
	data string // what an nsqd left
	at   *strings.Replacer
	node *process.Process // the one that runs
	args []string         // of nodes: where they listen
}

// TestMoveFromNSQWorksAsTyped types what docs/from-nsq.md says, on ports of its own and
// a directory that an nsqd wrote. In nsqd's place there is qd under its name.
func TestMoveFromNSQWorksAsTyped(t *testing.T) {
	m := &move{bin: process.Build(t, "cmd/qd", "cmd/qlookupd", "cmd/q"), data: filepath.Join(t.TempDir(), "nsqd")}
	if err := os.Symlink("qd", filepath.Join(m.bin, "nsqd")); err != nil {
		t.Fatal(err)
	}
	unpack(t, filepath.Join("..", "..", "fromnsq", "testdata", "clean.tar.gz"), m.data)
	tcp, http := process.Address(t), process.Address(t)
	m.at = strings.NewReplacer("/var/lib/nsqd", m.data, "127.0.0.1:4160", process.Address(t), "127.0.0.1:4161", process.Address(t), "127.0.0.1:4151", http)
	m.args = []string{"--tcp-address=" + tcp, "--http-address=" + http, "--broadcast-address=127.0.0.1"}
	for _, line := range moveCommands(t) {
		m.run(t, line)
	}
}

// moveCommands are the commands of the section of docs/from-nsq.md, in their order.
func moveCommands(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-nsq.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## From nsqd to qd\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(section, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(lines) < 7 {
		t.Fatalf("there are %d commands", len(lines))
	}
	return lines
}

func (m *move) run(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(m.at.Replace(line))
	switch c := (process.Command{Binary: filepath.Join(m.bin, words[0]), Args: words[1:]}); {
	case strings.Contains(line, "--import=dry-run"):
		m.want(t, words, "topic orders: 0 messages", "channel billing: 200 messages, 180 of them delivered before", "906 messages")
	case words[0] == "qlookupd":
		process.Start(t, c).Await(t, "TCP: listening on ")
	case words[0] == "qd":
		c.Args = append(c.Args, m.args...)
		m.node = process.Start(t, c)
		m.node.Await(t, "import of nsqd's data is done")
		m.node.Await(t, "HTTP: listening on ")
	case words[0] == "q":
		m.want(t, words, "orders", "billing", "200", "audit", "320")
	case words[0] == "curl": // it ends as soon as nobody consumes: what waits is not waited for
		m.want(t, words)
		process.Next(t, m.node.Ended())
		if err := m.node.Err(); err != nil {
			t.Fatal(err)
		}
	case words[0] == "nsqd":
		c.Args = append(c.Args, m.args...)
		m.node = process.Start(t, c)
		m.node.Await(t, "HTTP: listening on ")
		m.want(t, strings.Fields(m.at.Replace("q stat --http-addr=127.0.0.1:4151")), "orders", "billing", "200")
		m.node.Stop(t)
	default:
		t.Fatalf("nobody knows how to try %q", line)
	}
}

// want runs a command to its end, which has to print the texts.
func (m *move) want(t *testing.T, words []string, texts ...string) {
	t.Helper()
	name := words[0]
	if name != "curl" {
		name = filepath.Join(m.bin, name)
	}
	out, err := exec.Command(name, words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", words, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			t.Errorf("%s does not say %q:\n%s", words, text, out)
		}
	}
}

// unpack makes a directory of a packed one.
func unpack(t *testing.T, packed, dir string) {
	t.Helper()
	f, err := os.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
