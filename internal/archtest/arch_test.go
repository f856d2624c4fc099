package archtest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// floors are the packages from the ground up. A package imports only packages
// of lower floors; those of one line do not import one another.
var floors = [][]string{
	{"internal/address", "internal/crc32c", "internal/redact"},
	{"internal/clock", "internal/names", "internal/seqset", "internal/seqtable", "internal/dueheap", "internal/ring", "internal/vfs/ram", "internal/archtest", "internal/version", "internal/quantile", "internal/acceptloop", "internal/budget", "internal/filereload", "internal/guess", "message", "config"},
	{"internal/vfs", "state", "internal/deadline", "internal/httpapi", "internal/apiclient", "internal/certs"},
	{"server/stream", "internal/auth", "internal/httpauth", "internal/vfs/crashfs", "protocol", "journal", "diskqueue", "channel"},
	{"topic"},
	{"broker"},
	{"server", "lookup", "internal/nodeclient", "internal/tcpclient", "admin/web", "admin/words"},
	{"admin/cluster"},
	{"admin"},
	{"daemon", "loadgen", "test/process", "test/wire"},
	{"tools/benchdoc/testbed"},
	{"tools/benchdoc/table", "tools/benchdoc/growth"},
	{"cmd/qd", "cmd/qlookupd", "cmd/qadmin", "cmd/q", "tools/benchdoc", "test/semantics", "test/compose", "test/cluster", "test/page", "examples/consumer", "test/crash", "test/powercut", "test/readme"},
}

// readSources looks at every source file. The list of imports comes from
// another process, so without this go test would not know that a result that
// it has cached is out of date.
func readSources(t *testing.T) {
	root := filepath.Join("..", "..")
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

func TestImportsPointDownOnly(t *testing.T) {
	readSources(t)
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "qmq/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	floor := make(map[string]int)
	for i, names := range floors {
		for _, name := range names {
			floor["qmq/"+name] = i
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		at, ok := floor[fields[0]]
		if !ok {
			t.Errorf("%s has no floor in the picture", fields[0])
		}
		for _, imported := range fields[1:] {
			if below, ours := floor[imported]; ours && below >= at {
				t.Errorf("%s imports %s, which is not below it", fields[0], imported)
			}
		}
	}
}
