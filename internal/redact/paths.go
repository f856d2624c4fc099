package redact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Paths is what a client learns of an error: all of it, but for where on the disks
// of this machine it was. The log has that.
func Paths(err error) string {
	text := err.Error()
	for _, path := range pathsIn(err) {
		if strings.ContainsRune(path, filepath.Separator) {
			text = strings.ReplaceAll(text, path, filepath.Base(path))
		}
	}
	return longPath.ReplaceAllString(text, "$1")
}

// longPath is a path of the file system that stands in a text, with its last
// part. One that does not begin with / has two of them at least: what has one may
// be anything.
var longPath = regexp.MustCompile(`[^\s/:"'(=]*(?:/[^\s/:"']+)+/([^\s/:"']+)`)

// pathsIn are those that an error and those behind it carry.
func pathsIn(err error) (paths []string) {
	var at *fs.PathError
	if errors.As(err, &at) {
		paths = append(paths, at.Path)
	}
	var between *os.LinkError
	if errors.As(err, &between) {
		paths = append(paths, between.Old, between.New)
	}
	return paths
}
