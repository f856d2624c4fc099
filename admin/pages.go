package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"qmq/internal/httpapi"
)

// pages serves the files of the page.
type pages struct {
	files fs.FS
	base  string
}

// plainBase is the tag of index.html that names the base path.
const plainBase = `<base href="/">`

func newPages(files fs.FS, base string) (*pages, error) {
	p := &pages{files: files, base: strings.TrimSuffix(base, "/") + "/"}
	text, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(text, []byte(plainBase)) {
		return nil, fmt.Errorf("index.html has no %s", plainBase)
	}
	return p, nil
}

// index is the page, for every path that it has a view for.
func (p *pages) index(w http.ResponseWriter, r *http.Request) {
	text, err := p.indexText()
	if err != nil {
		noFile(w)
		return
	}
	p.send(w, r, "index.html", text)
}

func (p *pages) indexText() ([]byte, error) {
	text, err := fs.ReadFile(p.files, "index.html")
	tag := `<base href="` + html.EscapeString(p.base) + `">`
	return bytes.Replace(text, []byte(plainBase), []byte(tag), 1), err
}

// wantsPage is true for a browser that goes to an address, scripts apart.
func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// missing is the page for a path that it has no view for, which it says.
func (p *pages) missing(w http.ResponseWriter, _ *http.Request) {
	text, err := p.indexText()
	if err != nil {
		noFile(w)
		return
	}
	w.Header().Set("Content-Type", kindOf("index.html"))
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusNotFound)
	w.Write(text)
}

// file is one of those that the page needs.
func (p *pages) file(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(httpapi.Param(r, "file"), "/")
	text, err := fs.ReadFile(p.files, path.Clean(name))
	if err != nil || name == "index.html" {
		noFile(w)
		return
	}
	p.send(w, r, name, text)
}

// icon is for whoever asks for it where browsers look by themselves.
func (p *pages) icon(w http.ResponseWriter, r *http.Request) {
	text, err := fs.ReadFile(p.files, "icon.svg")
	if err != nil {
		noFile(w)
		return
	}
	p.send(w, r, "icon.svg", text)
}

func noFile(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	w.Write([]byte("NOT_FOUND"))
}

// send answers with a file, unless the browser has it already.
func (p *pages) send(w http.ResponseWriter, r *http.Request, name string, text []byte) {
	sum := sha256.Sum256(text)
	head := w.Header()
	head.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	head.Set("Cache-Control", "no-cache")
	if name != "index.html" && r.URL.Query().Has("v") {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if kind := kindOf(name); kind != "" {
		head.Set("Content-Type", kind)
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
}

// kinds do not depend on what the machine's tables say.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".png": "image/png", ".ico": "image/x-icon", ".json": "application/json", ".map": "application/json",
	".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json",
}

func kindOf(name string) string {
	if kind, ok := kinds[path.Ext(name)]; ok {
		return kind
	}
	return mime.TypeByExtension(path.Ext(name))
}
