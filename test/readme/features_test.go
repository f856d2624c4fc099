package readme

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"qmq/test/process"
)

// example is a command of docs/features.md, and what is below it there: what it prints. In
// it … stands for anything in a line, and alone for any lines.
type example struct {
	command, prints string
}

// examplesOf are those of the blocks ```sh of a section, in which a command begins with a
// dollar sign, and goes on behind a backslash.
func examplesOf(section string) (list []example) {
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			var e example
			lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
			for len(lines) > 1 && strings.HasSuffix(lines[0], `\`) {
				lines[1] = strings.TrimSuffix(lines[0], `\`) + lines[1]
				lines = lines[1:]
			}
			e.command, e.prints = lines[0], strings.Join(lines[1:], "\n")
			list = append(list, e)
		}
	}
	return list
}

// matches tells whether the example prints out.
func (e *example) matches(out string) bool {
	pattern := "\n" + regexp.QuoteMeta(e.prints)
	pattern = strings.ReplaceAll(pattern, "\n…", "(?s:\n.*?)?…")
	pattern = strings.ReplaceAll(pattern, "…", ".*?")
	return regexp.MustCompile("^" + pattern + "$").MatchString("\n" + strings.TrimRight(out, "\n"))
}

// TestFeaturesWorkAsShown types what docs/features.md does, each section to daemons of its
// own, which listen elsewhere than there.
func TestFeaturesWorkAsShown(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "features.md"))
	if err != nil {
		t.Fatal(err)
	}
	bin := process.Build(t, "cmd/qd", "cmd/qlookupd", "cmd/q")
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, _, _ := strings.Cut(section, "\n")
		if examples := examplesOf(section); len(examples) > 0 {
			t.Run(name, func(t *testing.T) { typeExamples(t, bin, examples) })
		}
	}
}

func typeExamples(t *testing.T, bin string, examples []example) {
	tcp, http, lookup, lookupHTTP := process.Address(t), process.Address(t), process.Address(t), process.Address(t)
	process.Start(t, process.Command{Binary: filepath.Join(bin, "qlookupd"), Args: []string{"--tcp-address=" + lookup, "--http-address=" + lookupHTTP}}).Await(t, "HTTP: listening on ")
	node := process.Start(t, process.Command{Binary: filepath.Join(bin, "qd"), Args: []string{
		"--data-path=" + t.TempDir(), "--tcp-address=" + tcp, "--http-address=" + http, "--broadcast-address=127.0.0.1", "--lookupd-tcp-address=" + lookup,
	}})
	node.Await(t, "HTTP: listening on ")
	node.Await(t, "lookup directory knows what is here")
	at := strings.NewReplacer("127.0.0.1:4150", tcp, "127.0.0.1:4151", http, "127.0.0.1:4160", lookup, "127.0.0.1:4161", lookupHTTP)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, e := range examples {
		cmd := exec.CommandContext(ctx, "sh", "-c", at.Replace(e.command))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "Q_HTTP_ADDR="+http, "Q_ADDR="+tcp, "HOME="+dir, "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", e.command, err, out)
		}
		if !e.matches(string(out)) {
			t.Errorf("%s prints\n%s\nand not\n%s", e.command, out, e.prints)
		}
	}
}

func TestAnExampleMatchesWhatItPrints(t *testing.T) {
	for _, c := range []struct {
		prints, out string
		want        bool
	}{
		{"", "", true},
		{"OK", "OK\n", true},
		{"OK", "NOT OK\n", false},
		{"", "something", false},
		{`{"id":"…","a":1}`, `{"id":"07a","a":1}`, true},
		{`{"id":"…","a":1}`, "{\"id\":\"07a\"\n,\"a\":1}", false},
		{"first\n…\nlast", "first\n1\n2\nlast\n", true},
		{"first\n…\nlast", "first\nlast\n", true},
		{"first\n…", "first\nand more\n", true},
		{"…\nlast", "last\n", true},
		{"first\n…\nlast", "first\nlast of all\n", false},
	} {
		if e := (example{prints: c.prints}); e.matches(c.out) != c.want {
			t.Errorf("%q and %q: %v", c.prints, c.out, !c.want)
		}
	}
	list := examplesOf("\n```sh\n$ one \\\n  more\nprinted\n$ two\n```\ntext\n```sh\n$ three\n\nx\n```\n")
	if len(list) != 3 || list[0].command != "one   more" || list[0].prints != "printed" || list[1].prints != "" || list[2].prints != "\nx" {
		t.Errorf("%q", list)
	}
}
