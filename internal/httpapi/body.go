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
	in := patientReader{r: r.Body, w: w, until: time.Now().Add(bodyPatience)} // limitWaits has set that one
	if n := r.ContentLength; n >= 0 && n <= firstRoom {
		body := make([]byte, n)
		read, err := io.ReadFull(&in, body)
		if err != nil {
			return body[:read], Internal()
		}
		return body, nil
	}
	var body bytes.Buffer
	body.Grow(firstRoom)
	_, err := body.ReadFrom(io.LimitReader(&in, int64(limit)+1))
	switch {
	case err != nil:
		return body.Bytes(), Internal()
	case body.Len() > limit:
		return nil, TooBig(code)
	}
	return body.Bytes(), nil
}

// patientReader moves the deadline on with the reads.
type patientReader struct {
	r     io.Reader
	w     http.ResponseWriter
	until time.Time // the deadline that is set
}

func (p *patientReader) Read(b []byte) (int, error) {
	const slack = 64 // parts of the patience that a deadline may come early
	if until := time.Now().Add(bodyPatience); until.Sub(p.until) > bodyPatience/slack {
		p.until = until
		// A writer without deadlines, as in tests, just waits.
		_ = http.NewResponseController(p.w).SetReadDeadline(until)
	}
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
