package settings

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEverySettingIsDocumented, and none that does not exist: in the tables of settings.md, those
// of topics and those of channels.
func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	for title, list := range map[string][]Setting{"Topics": OfTopics(), "Channels": OfChannels()} {
		_, part, ok := strings.Cut(string(text), "\n## "+title+"\n")
		if !ok {
			t.Fatalf("there is no part %s", title)
		}
		part, _, _ = strings.Cut(part, "\n## ")
		documented := documentedIn(part)
		for _, s := range list {
			if !slices.Contains(documented, s.Name) {
				t.Errorf("%s: %s is missing", title, s.Name)
			}
		}
		for _, name := range documented {
			if !slices.ContainsFunc(list, func(s Setting) bool { return s.Name == name }) {
				t.Errorf("%s: there is no %s", title, name)
			}
		}
		if slices.Sort(documented); len(slices.Compact(slices.Clone(documented))) != len(documented) {
			t.Errorf("%s: one is there twice: %v", title, documented)
		}
	}
}

var code = regexp.MustCompile("`([^`]+)`")

// documentedIn is what the first cells of the rows of a table name.
func documentedIn(text string) (names []string) {
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.TrimSpace(cells[0]) != "" {
			continue
		}
		for _, name := range code.FindAllStringSubmatch(cells[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}
