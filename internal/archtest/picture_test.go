package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the module's directory.
const root = "../.."

// architecture is the text of docs/architecture.md.
func architecture(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// floorsOf reads the picture of the house: the block below its title. A line
// begins with packages, two blanks apart; what follows is of several words, for
// people. Floors have an arrow between them. The first floor is the highest.
func floorsOf(t *testing.T, text string) (floors [][]string) {
	t.Helper()
	_, text, _ = strings.Cut(text, "## The house\n")
	_, text, begun := strings.Cut(text, "```\n")
	picture, _, ended := strings.Cut(text, "```\n")
	if !begun || !ended {
		t.Fatal("docs/architecture.md has no picture of the house")
	}
	var floor []string
	for line := range strings.Lines(picture) {
		if strings.Trim(line, "│v \n") == "" {
			if len(floor) > 0 {
				floors = append(floors, floor)
				floor = nil
			}
			continue
		}
		names := packagesOf(line)
		if len(names) == 0 {
			t.Errorf("no package in %q", line)
		}
		floor = append(floor, names...)
	}
	return append(floors, floor)
}

var (
	gap     = regexp.MustCompile(`  +`)
	packed  = regexp.MustCompile(`^([a-z0-9/]*)\{([a-z0-9/, ]+)\}$`)
	written = regexp.MustCompile(`^[a-z0-9/]+$`)
)

// packagesOf are those that a line of the picture begins with; a/{b, c} is a/b
// and a/c.
func packagesOf(line string) (names []string) {
	for _, field := range gap.Split(strings.TrimSpace(line), -1) {
		switch m := packed.FindStringSubmatch(field); {
		case m != nil:
			for name := range strings.SplitSeq(m[2], ",") {
				names = append(names, m[1]+strings.TrimSpace(name))
			}
		case written.MatchString(field):
			names = append(names, field)
		default:
			return names
		}
	}
	return names
}

func TestPictureIsRead(t *testing.T) {
	const picture = "# A\n## The house\n```\n  cmd/{a, b}  c      of several words\n      │\n      v\n  one/two\n  three  for people\n```\n"
	got := floorsOf(t, picture)
	want := [][]string{{"cmd/a", "cmd/b", "c"}, {"one/two", "three"}}
	if len(got) != len(want) || strings.Join(got[0], " ") != strings.Join(want[0], " ") || strings.Join(got[1], " ") != strings.Join(want[1], " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

var quoted = regexp.MustCompile("`([A-Za-z0-9_/.-]+)`")

// TestFilesThatTheArchitectureNamesExist: a file without a folder is in that of
// the one before it in the line.
func TestFilesThatTheArchitectureNamesExist(t *testing.T) {
	for line := range strings.Lines(architecture(t)) {
		folder := ""
		for _, m := range quoted.FindAllStringSubmatch(line, -1) {
			name := m[1]
			if !strings.HasSuffix(name, ".go") && !strings.Contains(name, "/") {
				continue
			}
			if strings.HasPrefix(name, "/") { // an address over HTTP
				continue
			}
			if strings.Contains(name, "/") {
				folder = filepath.Dir(name)
			} else {
				name = filepath.Join(folder, name)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s is not there, of the line %s", name, line)
			}
		}
	}
}
