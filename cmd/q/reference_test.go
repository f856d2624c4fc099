package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the documents that are made of declarations")

// TestReferenceIsCurrent: docs/q.md, the man page and docs/configuration.md say
// what --help says. With -update they are written.
func TestReferenceIsCurrent(t *testing.T) {
	for format, name := range map[string]string{"markdown": "q.md", "man": "q.1", "configuration": "configuration.md"} {
		text := must(t, "", "reference", format)
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != text {
			t.Errorf("docs/%s is out of date (go test ./cmd/q -run Reference -update): %v", name, err)
		}
	}
}
