package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qmq/config"
)

// TestFlagsInTheDocumentsExist: one that is renamed, or was never made, is named
// nowhere.
func TestFlagsInTheDocumentsExist(t *testing.T) {
	q := filepath.Join(t.TempDir(), "q")
	if out, err := exec.Command("go", "build", "-o", q, "qmq/cmd/q").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	helps := []string{config.UsageQD("qd"), config.UsageQLookupd("qlookupd"), config.UsageQAdmin("qadmin")}
	for _, command := range []string{"", "dev", "ping", "passwd", "bench pub", "bench sub", "bench pubsub", "bench latency", "bench table", "bench growth"} {
		out, err := exec.Command(q, append(strings.Fields(command), "--help")...).Output()
		if err != nil {
			t.Fatalf("q %s --help: %v", command, err)
		}
		helps = append(helps, string(out))
	}
	known := make(map[string]bool)
	for _, found := range regexp.MustCompile(`--(?:\[no-\])?([a-z][a-z0-9-]*)`).FindAllStringSubmatch(strings.Join(helps, "\n"), -1) {
		known[found[1]] = true
	}
	for _, others := range []string{"build", "rm", "no-deps", "data-binary", "cert", "key", "name", "flag"} { // of docker, curl and the imagination
		known[others] = true
	}
	for _, name := range []string{"README.md", "docs/security.md", "docs/operations.md", "docs/http-auth.md", "docs/compatibility.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile("(?:^|[ `(\n])--([a-z][a-z0-9-]*)").FindAllStringSubmatch(string(text), -1) {
			if !known[found[1]] {
				t.Errorf("%s: there is no --%s", name, found[1])
			}
		}
	}
}
