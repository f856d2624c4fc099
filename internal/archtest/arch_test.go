package archtest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// only are packages that no others import than those named, or those below a
// folder.
var only = map[string][]string{
	"config": {"daemon", "cmd/"},
}

// readSources looks at every source file. The list of imports comes from
// another process, so without this go test would not know that a result that
// it has cached is out of date.
func readSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// imports are those of each package of the module, both without its name.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	readSources(t)
	const module = "qmq/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		all[name] = nil
		for _, imported := range fields[1:] {
			if ours, ok := strings.CutPrefix(imported, module); ok {
				all[name] = append(all[name], ours)
			}
		}
	}
	return all
}

func TestImportsPointDownOnly(t *testing.T) {
	all := imports(t)
	depth := make(map[string]int) // 0 is the highest floor
	for i, floor := range floorsOf(t, architecture(t)) {
		for _, name := range floor {
			if _, twice := depth[name]; twice {
				t.Errorf("%s is in the picture twice", name)
			}
			if _, ours := all[name]; !ours {
				t.Errorf("%s is in the picture and no package", name)
			}
			depth[name] = i
		}
	}
	for name, imported := range all {
		at, ok := depth[name]
		if !ok {
			t.Errorf("%s has no floor in the picture", name)
		}
		for _, other := range imported {
			if depth[other] <= at {
				t.Errorf("%s imports %s, which is not below it", name, other)
			}
		}
	}
}

func TestSomeAreImportedByFew(t *testing.T) {
	for name, imported := range imports(t) {
		for _, other := range imported {
			allowed, few := only[other]
			for _, by := range allowed {
				few = few && name != by && !(strings.HasSuffix(by, "/") && strings.HasPrefix(name, by))
			}
			if few {
				t.Errorf("%s imports %s", name, other)
			}
		}
	}
}
