package web

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxBytes is what the whole page may weigh, uncompressed, without what no browser asks
// for: the licences of what is not ours, and where that is from.
const maxBytes = 300_000

// files of the page by their paths.
func files(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := fs.WalkDir(Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Files(), path)
		texts[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestEveryModuleIsPreloadedAndNothingElse(t *testing.T) {
	page := files(t)
	var listed, modules []string
	for _, m := range regexp.MustCompile(`<link rel="modulepreload" href="static/([^"]+)">`).FindAllStringSubmatch(page["index.html"], -1) {
		listed = append(listed, m[1])
	}
	for path := range page {
		// The first is no module, the second is asked for by the page itself.
		if strings.HasSuffix(path, ".js") && path != "theme.js" && path != "app.js" {
			modules = append(modules, path)
		}
	}
	slices.Sort(listed)
	slices.Sort(modules)
	if !slices.Equal(listed, modules) {
		t.Errorf("index.html preloads\n%v, the modules are\n%v", listed, modules)
	}
	if regexp.MustCompile(`[A-Z]{5,}`).MatchString(page["index.html"]) {
		t.Error("index.html has a placeholder left")
	}
}

func TestEveryStylesheetIsLinked(t *testing.T) {
	page := files(t)
	for path := range page {
		if strings.HasSuffix(path, ".css") && !strings.Contains(page["index.html"], `<link rel="stylesheet" href="static/`+path+`">`) {
			t.Errorf("%s is not linked", path)
		}
	}
}

func browsersAskFor(path string) bool {
	return !strings.HasPrefix(path, "vendor/") || strings.HasSuffix(path, ".js")
}

// TestLicencesOfLibrariesComeWithThem: who distributes the program distributes them.
func TestLicencesOfLibrariesComeWithThem(t *testing.T) {
	page := files(t)
	for library, words := range map[string]string{"htm": "Apache License", "preact": "The MIT License"} {
		licence := "vendor/" + library + ".LICENSE"
		if !strings.Contains(page[licence], words) || !strings.Contains(page["vendor/VERSION"], library+".LICENSE") {
			t.Errorf("%s: its licence is %.80q", library, page[licence])
		}
		if strings.Contains(page["index.html"], licence) || strings.Contains(page["vendor/"+library+".js"], words) {
			t.Errorf("%s: browsers load its licence", library)
		}
	}
}

func TestPageStaysSmall(t *testing.T) {
	sum := 0
	for path, text := range files(t) {
		if browsersAskFor(path) {
			sum += len(text)
		}
	}
	if sum > maxBytes {
		t.Errorf("the page has %d bytes, more than %d", sum, maxBytes)
	}
}

// TestNothingRefersToAnotherHost: the page works without the Internet, and tells
// nobody that it is looked at. Names of XML vocabularies are no addresses.
func TestNothingRefersToAnotherHost(t *testing.T) {
	address := regexp.MustCompile(`(?:https?:)?//[\w.-]+\.\w+[^\s'"` + "`" + `)]*`)
	comment := regexp.MustCompile(`(?m)(^|\s)//\s.*$`)
	for path, text := range files(t) {
		if !browsersAskFor(path) {
			continue // licences, and where the code is from
		}
		for _, found := range address.FindAllString(comment.ReplaceAllString(text, ""), -1) {
			if !strings.HasPrefix(found, "http://www.w3.org/") {
				t.Errorf("%s refers to %s", path, found)
			}
		}
	}
}

// TestNoInlineScriptOrStyle: the content policy forbids them, so they would not
// work.
func TestNoInlineScriptOrStyle(t *testing.T) {
	page := files(t)
	inline := regexp.MustCompile(`(?i)<script(>|\s[^>]*[^>s]>[^<])|<style|\sstyle="|\son\w+="|javascript:`)
	if found := inline.FindString(page["index.html"]); found != "" {
		t.Errorf("index.html has %q", found)
	}
	written := regexp.MustCompile(`(?i)<script|<style|\sstyle="|\son[a-z]+="|javascript:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function`)
	for path, text := range page {
		if !strings.HasSuffix(path, ".js") || strings.HasPrefix(path, "vendor/") {
			continue
		}
		if found := written.FindString(text); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}
