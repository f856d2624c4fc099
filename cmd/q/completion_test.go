package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// completed are the words that q complete offers.
func completed(t *testing.T, shell string, typed ...string) (words []string) {
	t.Helper()
	for line := range strings.Lines(must(t, "", append([]string{"complete", shell}, typed...)...)) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		words = append(words, word)
	}
	return words
}

func TestCompletion(t *testing.T) {
	s := startServer(t)
	at := "--http-addr=" + s.http
	t.Setenv("Q_HTTP_ADDR", "127.0.0.1:1") // of no node, as the default one on this machine may be of one
	for _, channel := range []string{"orders billing", "orders bulk", "other c"} {
		topic, name, _ := strings.Cut(channel, " ")
		must(t, "", "topics", "create", topic, at)
		must(t, "", "channels", "create", topic, name, at)
	}
	for _, test := range []struct {
		typed string // the words, with the one that is completed
		want  string // what it may become
	}{
		{"top|", "top topics"},
		{"no-such|", ""},
		{"topics |", "list create pause unpause config empty delete"}, // and topics, of a node that is not there
		{"channels d|", "delete"},
		{"help topics p|", "pause"},
		{"help |", "*"},
		{"completion |", "bash zsh fish"},
		{"top --by |", "channel topic node client"},
		{"top --by=t|", "--by=topic"},
		{"top -i 1s --b|", "--by"},
		{"forward t --mode h|", "hostpool hash"},
		{"pub t --whole --t|", "--to --tls --tls-root-ca-file --tls-cert --tls-key --tls-insecure --timeout"},
		{"pub t -f |", ":files"},
		{"pub t --file=x|", ":files"},
		{"check /|", ":dirs"},
		{"restore a |", ":files"},
		{"pub -- --t|", ""},
		{"stat AT o|", "orders other"},
		{"topics delete AT ot|", "other"},
		{"topics AT o|", "orders other"},
		{"archive orders AT o|", "orders other"},
		{"sub AT orders |", "billing bulk"},
		{"channels pause orders AT bi|", "billing"},
		{"peek AT o|", "orders other"},
		{"peek AT orders/|", "orders/billing orders/bulk"},
		{"channels pause orders/bi|", ""}, // of a node that is not there
		{"channels config AT orders/billing ordere|", "ordered="},
		{"health AT --topic |", "orders other"},
		{"health AT --topic=other --channel |", "c"},
		{"topics create AT o|", ""},
		{"tombstone orders AT |", s.http},
		{"stat --http-addr=127.0.0.1:1 o|", ""},
		{"stat --lookupd=x --http-addr=y o|", ""}, // which exclude each other
	} {
		words := strings.Split(strings.ReplaceAll(strings.TrimSuffix(test.typed, "|"), "AT", at), " ")
		got := strings.Join(completed(t, "zsh", words...), " ")
		if test.want == "*" && len(got) > 100 {
			continue
		}
		if got != test.want {
			t.Errorf("q %s: %q, want %q", test.typed, got, test.want)
		}
	}
	if out := must(t, "", "complete", "fish", "completi"); out != "completion\tPrint the script that has a shell complete the words of q\n" {
		t.Errorf("%q", out)
	}
	for _, words := range [][]string{{}, {"bash"}, {"bash", ""}} {
		must(t, "", append([]string{"complete"}, words...)...)
	}
}

// TestCompletionTakesWhatBashMakesOfWords: it ends them at = and at :, and wants what
// is behind those.
func TestCompletionTakesWhatBashMakesOfWords(t *testing.T) {
	for _, test := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"top", "--by", "=", "t"}, "topic"},
		{[]string{"top", "--by", "="}, "channel topic node client"},
		{[]string{"top", "--addr", "=", "127.0.0.1", ":", "4150", "--by", "cl"}, "client"},
		{[]string{"pub", "t", "--js"}, "--json-lines --json"},
	} {
		if got := strings.Join(completed(t, "bash", test.pieces...), " "); got != test.want {
			t.Errorf("%q: %q, want %q", test.pieces, got, test.want)
		}
	}
}

// TestCompletionOffersNoNamesThatAShellWouldObey, whatever a server says.
func TestCompletionOffersNoNamesThatAShellWouldObey(t *testing.T) {
	for _, name := range []string{"$(reboot)", "a b", "`x`", "a;b", "a\nb", ""} {
		if harmless.MatchString(name) {
			t.Errorf("%q", name)
		}
	}
	for _, name := range []string{"orders.new-1_x", "tail#ephemeral", "[::1]:4151", "t/c"} {
		if !harmless.MatchString(name) {
			t.Errorf("%q", name)
		}
	}
}

// script writes what q completion prints and returns where.
func script(t *testing.T, shell string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "completion."+shell)
	if err := os.WriteFile(path, []byte(must(t, "", "completion", shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// calls checks a script where its shell is not there: it asks q complete, and tells
// it which shell it is.
func calls(t *testing.T, shell string, parts ...string) {
	t.Helper()
	text := must(t, "", "completion", shell)
	for _, part := range append(parts, " complete "+shell+" ", ":files", ":dirs") {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

func TestCompletionInBash(t *testing.T) {
	calls(t, "bash", "complete -F _q_complete q")
	bash, err := exec.LookPath("bash")
	if err != nil {
		return
	}
	s := withChannel(t)
	file := script(t, "bash")
	for typed, want := range map[string]string{
		"tops":                               "",
		"topi":                               "topics",
		"top --by = no":                      "node",
		"check " + filepath.Dir(file):        filepath.Dir(file),
		"pub t -f " + file[:len(file)-3]:     file,
		"stat --http-addr = " + s.http + " ": "t",
	} {
		words := "'" + strings.Join(strings.Split(typed, " "), "' '") + "'"
		cmd := exec.Command(bash, "--norc", "-c", `source "$0"; COMP_WORDS=(q `+words+`); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _q_complete; printf '%s\n' "${COMPREPLY[@]}"`, file)
		cmd.Env = append(os.Environ(), "PATH="+program(t)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("q %s: %q, %v; want %q", typed, got, err, want)
		}
	}
}

func TestCompletionInZsh(t *testing.T) {
	calls(t, "zsh", "#compdef q\n", "compdef _q q")
	zsh, err := exec.LookPath("zsh")
	if err != nil {
		return
	}
	s := withChannel(t)
	p := startOnTerminal(t, 120, 24, zsh, "-f", "-i")
	p.press("PS1='ready> ' PATH=" + program(t) + ":$PATH ZDOTDIR=" + t.TempDir() + "; autoload -Uz compinit; compinit -u -D; source " + script(t, "zsh") + "; print so-far\n")
	p.shows("so-far\r\n")
	for typed, want := range map[string]string{
		"q topi\t":                            "q topics",
		"q top --by=no\t":                     "--by=node",
		"q sub --http-addr=" + s.http + " \t": "--http-addr=" + s.http + " t",
	} {
		p.press(typed)
		p.shows(want)
		p.press("\x15") // the line is typed anew
	}
	p.press("exit\n")
}

func TestCompletionInFish(t *testing.T) {
	calls(t, "fish", "complete -c q")
	fish, err := exec.LookPath("fish")
	if err != nil {
		return
	}
	s := withChannel(t)
	file := script(t, "fish")
	for typed, want := range map[string]string{
		"q topi":                            "topics\tList and change topics",
		"q top --by no":                     "node",
		"q top --by=no":                     "--by=node",
		"q sub --http-addr=" + s.http + " ": "t",
		"q check " + file[:len(file)-1]:     "",
		"q pub t -f " + file[:len(file)-1]:  file,
	} {
		cmd := exec.Command(fish, "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, file, typed)
		cmd.Env = append(os.Environ(), "PATH="+program(t)+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", typed, got, err, want)
		}
	}
}
