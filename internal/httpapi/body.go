package httpapi

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"qmq/internal/budget"
)

// initialBody is the most memory taken for a body before any of it has come, but
// for memory of an earlier one that waits to be used again. So much need not be
// asked for.
const initialBody = 16 << 10

// maxKeptBody is the largest body whose memory waits to be used again.
const maxKeptBody = 16 << 20

// Body is the body of a request, in memory on loan.
type Body struct {
	b     []byte
	claim budget.Claim // to what is more than initialBody
	from  *visit       // nil without connection
}

// ErrClosing refuses a request that the server has no time for any more.
var ErrClosing error = &Error{Status: http.StatusServiceUnavailable, Code: "EXITING"}

var bodies = sync.Pool{New: func() any { return &Body{b: make([]byte, 0, initialBody)} }}

// Bytes is valid until Release.
func (b *Body) Bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b
}

// Release gives the memory back. A nil Body has none.
func (b *Body) Release() {
	if b == nil {
		return
	}
	b.claim.Set(0)
	if cap(b.b) <= maxKeptBody {
		b.claim, b.from = budget.Claim{}, nil
		bodies.Put(b)
	}
}

// ReadBody reads a body of at most limit bytes, which the caller releases.
// Memory is taken as bytes arrive, whatever length they announce, and where
// there is little of it, reading waits until others have given some back. A
// longer body is refused as [TooBig] with code, one that cannot be read as
// [Internal], with what came of it; where the server closes before there is
// memory, the error is ErrClosing. It must come at the pace that the server
// asks for: 64 KiB a second after half a minute.
func ReadBody(r *http.Request, limit int, code string) (*Body, error) {
	if r.ContentLength > int64(limit) {
		return nil, TooBig(code)
	}
	body := bodies.Get().(*Body)
	body.b = body.b[:0]
	if body.from = visitOf(r); body.from != nil {
		body.claim.From(body.from.server.o.Unfinished)
	}
	in, asked := BodyOf(r), initialBody
	for int64(len(body.b)) != r.ContentLength {
		if len(body.b) >= asked {
			asked *= 2
			if err := body.ask(int64(asked)); err != nil {
				body.Release()
				return nil, err
			}
		}
		if len(body.b) == cap(body.b) {
			body.b = slices.Grow(body.b, len(body.b)) // twice
		}
		n, err := in.Read(body.b[len(body.b):min(cap(body.b), asked)])
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

// Spend waits for n bytes of memory that are used as long as the body, for what
// is made of it. The error is a refusal: the server is closing.
func (b *Body) Spend(n int) error { return b.ask(b.claim.Size() + int64(n)) }

// ask makes the claim as large as to.
func (b *Body) ask(to int64) error {
	if b.from == nil {
		return nil
	}
	began := time.Now()
	if !b.claim.Grow(to, b.from.server.closing) {
		return ErrClosing
	}
	b.from.body.wait(began)
	return nil
}
