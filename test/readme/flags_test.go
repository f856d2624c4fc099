package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qmq/config"
	"qmq/test/process"
)

// TestFlagsInTheDocumentsExist: one that is renamed, or was never made, is named
// nowhere.
func TestFlagsInTheDocumentsExist(t *testing.T) {
	bin := process.Build(t, "cmd/q", "tools/benchdoc")
	helps := []string{config.UsageQD("qd"), config.UsageQLookupd("qlookupd"), config.UsageQAdmin("qadmin")}
	for _, command := range []string{"q reference", "benchdoc table --help", "benchdoc growth --help", "benchdoc set --help", "benchdoc peers --help"} {
		words := strings.Fields(command)
		out, err := exec.Command(filepath.Join(bin, words[0]), words[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
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
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/performance.md", "docs/security.md", "docs/operations.md", "docs/http-auth.md", "docs/compatibility.md", "docs/features.md"} {
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
