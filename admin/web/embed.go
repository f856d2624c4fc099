// Package web holds the files of the admin page. It has no code that runs.
package web

import (
	"embed"
	"io/fs"
)

//go:embed static
var static embed.FS

// Files are those of the page, with index.html at the top.
func Files() fs.FS {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the path is valid
	}
	return files
}
