package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVulncheckSaysWhenItHasNoDatabase, and is no success then. In the place of go
// there is a script that says what govulncheck says.
func TestVulncheckSaysWhenItHasNoDatabase(t *testing.T) {
	const without = "NOT CHECKED: there is no vulnerability database at file:///db."
	for _, test := range []struct {
		says  string
		code  int
		want  int
		plain bool // nothing is said of a database
	}{
		{"No vulnerabilities found.", 0, 0, true},
		{"Vulnerability #1: GO-2026-0001", 3, 3, true},
		{"govulncheck: loading packages: no such file or directory", 1, 1, true},
		{"govulncheck: fetching vulnerabilities: Get \"x\": no such host", 1, 1, false},
		{"creating client: stat /db: no such file or directory", 2, 2, false},
		{"fetching vulnerabilities: again", 0, 1, false},
	} {
		fake := filepath.Join(t.TempDir(), "go")
		script := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'tool govulncheck -db file:///db ./...' ] || exit 99\ncat <<'END'\n%s\nEND\nexit %d\n", test.says, test.code)
		if err := os.WriteFile(fake, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), filepath.Join("..", "..", "tools", "vulncheck.sh"), "./...")
		c.Env = append(os.Environ(), "GO="+fake, "GOVULNDB=file:///db")
		out, _ := c.CombinedOutput()
		if code := c.ProcessState.ExitCode(); code != test.want || strings.Contains(string(out), without) == test.plain || !strings.Contains(string(out), test.says) {
			t.Errorf("%q and code %d: code %d, %s", test.says, test.code, code, out)
		}
	}
}
