package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSettingsComeFromFlagThenEnvironmentThenContext(t *testing.T) {
	a, b, c := startServer(t), startServer(t), startServer(t)
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	file := filepath.Join(dir, "q", "config.toml")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() [3]int64 {
		return [3]int64{a.figures("t").MessageCount, b.figures("t").MessageCount, c.figures("t").MessageCount}
	}
	write("context = 'one'\n[contexts.one]\naddr = ['" + a.tcp + "']\ntimeout = '2s'\n[contexts.two]\naddr = '" + b.tcp + "'\nsnappy = true\n")
	must(t, "", "pub", "t", "x")
	must(t, "", "pub", "t", "x", "--context=two")
	t.Setenv("Q_CONTEXT", "two")
	must(t, "", "pub", "t", "x")
	if got := counts(); got != [3]int64{1, 2, 0} {
		t.Errorf("by context: %v", got)
	}
	t.Setenv("Q_ADDR", c.tcp)
	must(t, "", "pub", "t", "x")
	must(t, "", "pub", "t", "x", "--addr="+a.tcp)
	if got := counts(); got != [3]int64{2, 2, 1} {
		t.Errorf("with the environment and a flag: %v", got)
	}
	os.Unsetenv("Q_ADDR")
	wantRefusal(t, exitUsage, `has no context "three"; it has: one, two`, "pub", "t", "x", "--context=three")
	write("[contexts.two]\nadr = 'x'\n")
	wantRefusal(t, exitUsage, "context two: adr is no setting; there are addr, auth-secret", "pub", "t", "x")
	write("contexts = \n")
	wantRefusal(t, exitUsage, "configuration: toml: ", "pub", "t", "x")
	wantRefusal(t, exitUsage, "no such file", "pub", "t", "x", "--config=/no/such/file")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	os.Unsetenv("Q_CONTEXT")
	wantRefusal(t, exitUsage, `there is no context "three": `+file+" is not there, or has none", "pub", "t", "x", "--context=three")
	must(t, "", "pub", "t", "x", "--addr="+a.tcp) // without a file
}
