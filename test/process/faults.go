package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Patch replaces a snippet of a source file, which occurs once. When it is not found any more, look
// for the place that it is about now.
type Patch struct{ File, Old, New string } // File is the path below the module's root

// Fault is a mistake that a program makes when it is told to. In the new snippets FAULT says whether
// it is.
type Fault struct {
	Name    string
	Patches []Patch
}

// Faulty is an overlay, as of [Overlay], of a build that has all the faults in, so that one build is
// enough for all of them: a process makes the one that an environment variable names, and none
// without that.
func Faulty(dir, variable string, faults ...Fault) (flag string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	const name = "internal/fault/fault.go"
	texts := map[string]string{name: fmt.Sprintf("package fault\n\nimport \"os\"\n\nvar On = os.Getenv(%q)\n", variable)}
	for _, f := range faults {
		for _, p := range f.Patches {
			if texts[p.File] == "" {
				b, err := os.ReadFile(filepath.Join(root, p.File))
				if err != nil {
					return "", err
				}
				texts[p.File] = string(b)
			}
			if n := strings.Count(texts[p.File], p.Old); n != 1 {
				return "", fmt.Errorf("%s: found %d times, want once: %s", p.File, n, p.Old)
			}
			made := strings.ReplaceAll(p.New, "FAULT", fmt.Sprintf("(fault.On == %q)", f.Name))
			texts[p.File] = strings.Replace(texts[p.File], p.Old, made, 1)
		}
	}
	for file, text := range texts {
		if strings.Contains(text, "(fault.On == ") {
			texts[file] = strings.Replace(text, "import (", "import (\n\t\"qmq/internal/fault\"", 1)
		}
	}
	return Overlay(dir, texts)
}
