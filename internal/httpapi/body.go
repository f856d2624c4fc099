package httpapi

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// bodyPatience is how long a body may pause. It is a variable for tests only.
var bodyPatience = time.Minute

// firstRoom is the most memory taken for a body before any of it has come, but
// for memory of an earlier one that waits to be used again.
const firstRoom = 16 << 10

// largestKept is the largest body whose memory waits to be used again.
const largestKept = 16 << 20

// Body is the body of a request, in memory on loan.
type Body struct {
	b []byte
}

var bodies = sync.Pool{New: func() any { return &Body{b: make([]byte, 0, firstRoom)} }}

// Bytes is valid until Release.
func (b *Body) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b
}

// Release gives the memory back. A nil Body has none.
func (b *Body) Release() {
	if b != nil && cap(b.b) <= largestKept {
		bodies.Put(b)
	}
}

// ReadBody reads a body of at most limit bytes, which the caller releases.
// Memory is taken as bytes arrive, whatever length they announce. A longer body
// is refused as [TooBig] with code, one that cannot be read as [Internal], with
// what came of it. It may take as long as it likes, as long as something of it
// comes within a minute.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int, code string) (*Body, error) {
	if r.ContentLength > int64(limit) {
		return nil, TooBig(code)
	}
	in := patientReader{r: r.Body, w: w}
	body := bodies.Get().(*Body)
	body.b = body.b[:0]
	for int64(len(body.b)) != r.ContentLength {
		if len(body.b) == cap(body.b) {
			body.b = slices.Grow(body.b, len(body.b)) // twice
		}
		n, err := in.Read(body.b[len(body.b):cap(body.b)])
		body.b = body.b[:len(body.b)+n]
		switch {
		case len(body.b) > limit:
			body.Release()
			return nil, TooBig(code)
		case err == io.EOF:
			return body, nil
		case err != nil:
			return body, Internal()
		}
	}
	return body, nil
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
