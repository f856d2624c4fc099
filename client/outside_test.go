package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// outside is a program of somebody else.
const outside = `package main

import (
	"fmt"

	"qmq/client"
)

func main() {
	_, err := client.Open(client.Options{})
	fmt.Println(err != nil)
}
`

// TestProgramOutsideTheRepositoryUsesThePackage as features.md says, and needs no network that
// the repository itself did not need: that has the sums of its modules in go.sum.
func TestProgramOutsideTheRepositoryUsesThePackage(t *testing.T) {
	text, err := os.ReadFile("../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("`go mod edit ([^`]*)`, then `go mod tidy`").FindSubmatch(text)
	if said == nil {
		t.Fatal("features.md does not say how")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(outside), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("mod", "init", "example.org/program")
	run(append([]string{"mod", "edit"}, strings.Fields(strings.ReplaceAll(string(said[1]), "/path/to/q", root))...)...)
	run("mod", "tidy", "-e") // what only tests of other modules need was perhaps never fetched here
	if out := run("run", "."); out != "true\n" {
		t.Errorf("it says %q", out)
	}
}
