package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// bodyPatience is how long a body may pause. It is a variable for tests only.
var bodyPatience = time.Minute

// firstRoom is the most memory taken for a body before any of it has come.
const firstRoom = 16 << 10

// ReadBody reads a body of at most limit bytes. Memory is taken as bytes
// arrive, whatever length they announce. A longer body is refused as [TooBig]
// with code, one that cannot be read as [Internal]. It may take as long as it
// likes, as long as something of it comes within a minute.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int, code string) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, TooBig(code)
	}
	in := &patientReader{r: r.Body, control: http.NewResponseController(w)}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength+bytes.MinRead, firstRoom)))
	}
	_, err := body.ReadFrom(io.LimitReader(in, int64(limit)+1))
	switch {
	case err != nil:
		return body.Bytes(), Internal()
	case body.Len() > limit:
		return nil, TooBig(code)
	}
	return body.Bytes(), nil
}

// patientReader moves the deadline with each read.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	// A writer without deadlines, as in tests, just waits.
	_ = p.control.SetReadDeadline(time.Now().Add(bodyPatience))
	return p.r.Read(b)
}

// limitWaits sets a deadline to a body that no handler asks for: the HTTP
// server reads it before it answers, and would wait for ever. (There is none
// for a request without body; it would end long profiles.)
func limitWaits(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		}
		next.ServeHTTP(w, r)
	})
}
