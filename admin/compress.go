package admin

import (
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// compress sends answers gzipped to those who take it, streams and pictures
// excepted.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if r.Method == http.MethodHead || !takesGzip(r) {
			next.ServeHTTP(w, r)
			return
		}
		z := &gzipWriter{ResponseWriter: w}
		defer z.close()
		next.ServeHTTP(z, r)
	})
}

// takesGzip reads Accept-Encoding as far as anybody uses it.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		weight = strings.ReplaceAll(weight, " ", "")
		return weight != "q=0" && weight != "q=0.0" && weight != "q=0.00" && weight != "q=0.000"
	}
	return false
}

var gzipPool = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return z
}}

// gzipWriter decides with the status whether to compress.
type gzipWriter struct {
	http.ResponseWriter
	z     *gzip.Writer // nil: as it is
	begun bool
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *gzipWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *gzipWriter) WriteHeader(status int) {
	if !w.begun && status >= 200 {
		w.begun = true
		if head := w.Header(); compressible(head, status) {
			head.Set("Content-Encoding", "gzip")
			head.Del("Content-Length")
			head.Del("Accept-Ranges")
			if tag := head.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
				head.Set("ETag", "W/"+tag)
			}
			w.z = gzipPool.Get().(*gzip.Writer)
			w.z.Reset(w.ResponseWriter)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func compressible(head http.Header, status int) bool {
	if status != http.StatusOK && status < 400 || head.Get("Content-Encoding") != "" || head.Get("Content-Length") == "0" {
		return false
	}
	kind, _, _ := strings.Cut(head.Get("Content-Type"), ";")
	switch kind {
	case "application/json", "text/html", "text/css", "text/javascript", "text/plain", "image/svg+xml":
		return true
	}
	return false
}

func (w *gzipWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.z != nil {
		return w.z.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

func (w *gzipWriter) close() {
	if w.z == nil {
		return
	}
	_ = w.z.Close() // the connection is gone
	w.z.Reset(nil)
	gzipPool.Put(w.z)
}
