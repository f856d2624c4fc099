package readme

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promise is a sentence of a document: a row of a table whose last column is "held by".
type promise struct {
	text  string
	tests []string // package.Test
}

var testName = regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// promises reads the tables of a document.
func promises(t *testing.T, document string) []promise {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", document))
	if err != nil {
		t.Fatal(err)
	}
	var list []promise
	held := false // in such a table
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			held = false
		case strings.TrimSpace(cells[len(cells)-1]) == "held by":
			held = true
		case held && !strings.HasPrefix(line, "|--"):
			p := promise{text: strings.TrimSpace(cells[0])}
			for _, m := range testName.FindAllStringSubmatch(cells[len(cells)-1], -1) {
				p.tests = append(p.tests, m[1]+"."+m[2])
			}
			list = append(list, p)
		}
	}
	return list
}

// TestEveryPromiseNamesTestsThatExist: a guarantee without a test is a hope.
func TestEveryPromiseNamesTestsThatExist(t *testing.T) {
	list := promises(t, "guarantees.md")
	if len(list) < 20 {
		t.Fatalf("%d promises found in docs/guarantees.md", len(list))
	}
	failures := promises(t, "replication.md")
	if len(failures) < 15 {
		t.Fatalf("%d failures found in docs/replication.md", len(failures))
	}
	list = append(list, failures...)
	known := make(map[string]map[string]bool)
	for _, p := range list {
		if len(p.tests) == 0 {
			t.Errorf("no test is named for: %s", p.text)
		}
		for _, name := range p.tests {
			dir, test, _ := strings.Cut(name, ".")
			if known[dir] == nil {
				known[dir] = testsOf(t, dir)
			}
			if !known[dir][test] {
				t.Errorf("there is no test %s, named for: %s", name, p.text)
			}
		}
	}
}

// testsOf lists the test functions of a package.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	return tests
}
