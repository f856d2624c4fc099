package process

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Build compiles commands of this module, such as "cmd/qd", and returns the
// directory with the binaries.
func Build(t testing.TB, commands ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := Compile(dir, nil, commands...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// WithBinaries compiles commands of this module once, for the TestMain of a package whose
// tests start many of them (linking takes longer than most tests), runs the tests with the
// directory that has the binaries, which is removed afterwards, and returns the exit code.
func WithBinaries(run func(dir string) (exit int), commands ...string) (exit int) {
	dir, err := os.MkdirTemp("", "binaries")
	if err == nil {
		defer os.RemoveAll(dir)
		err = Compile(dir, nil, commands...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(dir)
}

// Compile compiles commands of this module into a directory that exists, with
// more flags for go build.
func Compile(dir string, flags []string, commands ...string) error {
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	for _, c := range commands {
		args = append(args, "qmq/"+c)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Root is the directory of this module's sources.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Overlay is a flag for Compile by which source files, named by their path below
// the module's root, have other texts, or are there at all. What it needs is
// kept in dir.
func Overlay(dir string, texts map[string]string) (flag string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	replace := make(map[string]string)
	for name, text := range texts {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return "-overlay=" + file, os.WriteFile(file, list, 0o600)
}
