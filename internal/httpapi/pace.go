package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// How fast the other side must be. A client that is slower is cut off: whoever
// takes a connection and memory does something with them.
const (
	// A body may take graceTime, and timePerPiece for each piece of it that has
	// come, from the end of the request's headers on.
	graceTime    = 30 * time.Second
	timePerPiece = time.Second
	// pieceBytes is also how much of an answer must be taken within
	// answerTimeout, again and again: it may be as long as it likes.
	pieceBytes    = 64 << 10
	answerTimeout = 30 * time.Second
)

// deadlineSlack is how much later than promised a deadline may be, so that it
// need not be moved with every read and write.
const deadlineSlack = time.Second

// visit is a connection as its requests see it, one at a time: the writer of
// the answer and the reader of the body, which move its deadlines on.
type visit struct {
	http.ResponseWriter // of the request under way
	server              *Server
	conn                net.Conn
	answerBy            time.Time // the write deadline that is set since the request came
	knownHost           string    // which a request named and was let in
	body                pacedBody
}

// pacedBody is the body of the request under way.
type pacedBody struct {
	io.ReadCloser
	conn  net.Conn
	began time.Time
	come  int64     // bytes
	by    time.Time // the read deadline that is set
}

type visitKey struct{}

// remember makes the visit of a new connection.
func (s *Server) remember(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, visitKey{}, &visit{server: s, conn: conn})
}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// BodyOf is the body of a request for those who read it bit by bit: other than
// r.Body, it gives clients more time as it comes.
func BodyOf(r *http.Request) io.ReadCloser {
	if v := visitOf(r); v != nil && r.ContentLength != 0 {
		return &v.body
	}
	return r.Body
}

// Wait lets a request take as long as it likes from now on: its body has come, and what
// ends it is the connection's end.
func Wait(r *http.Request) {
	if v := visitOf(r); v != nil && v.body.conn != nil {
		v.body.by = time.Time{}
		v.conn.SetReadDeadline(time.Time{})
	}
}

// pace sets the deadlines of each request, also of those that nobody reads the
// body of: the HTTP server reads some of it before it answers. (It tells by the
// type of r.Body how much, which is why BodyOf is apart.)
func (s *Server) pace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r)
		if v == nil { // there is no connection, as in tests
			next.ServeHTTP(w, r)
			return
		}
		v.ResponseWriter = w
		v.answerBy = time.Time{} // the HTTP server took it away after the last answer
		if r.ContentLength != 0 {
			v.body = pacedBody{ReadCloser: r.Body, conn: v.conn, began: time.Now()}
			v.body.extend()
		}
		next.ServeHTTP(v, r)
		v.extend() // what was kept back is sent now
	})
}

// Read reads what has come of the body.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	b.come += int64(n)
	return n, err
}

// extend moves the deadline on, with what has come.
func (b *pacedBody) extend() {
	by := b.began.Add(graceTime + time.Duration(b.come/pieceBytes)*timePerPiece)
	if b.by.Before(by) {
		b.by = by.Add(deadlineSlack)
		b.conn.SetReadDeadline(b.by)
	}
}

// wait gives the body the time that the server was busy otherwise.
func (b *pacedBody) wait(since time.Time) {
	b.began = b.began.Add(time.Since(since))
	b.extend()
}

// Write sends b, a piece within each patience.
func (v *visit) Write(b []byte) (written int, err error) {
	for {
		v.extend()
		n, err := v.ResponseWriter.Write(b[written:min(len(b), written+pieceBytes)])
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// WriteString is Write for text.
func (v *visit) WriteString(text string) (written int, err error) {
	for {
		v.extend()
		n, err := io.WriteString(v.ResponseWriter, text[written:min(len(text), written+pieceBytes)])
		written += n
		if err != nil || written == len(text) {
			return written, err
		}
	}
}

// FlushError sends what was kept back.
func (v *visit) FlushError() error {
	v.extend()
	return http.NewResponseController(v.ResponseWriter).Flush()
}

// Flush is FlushError for those who do not ask.
func (v *visit) Flush() { _ = v.FlushError() }

// extend moves the deadline of the answer on.
func (v *visit) extend() {
	if by := time.Now().Add(answerTimeout); v.answerBy.Before(by) {
		v.answerBy = by.Add(deadlineSlack)
		v.conn.SetWriteDeadline(v.answerBy)
	}
}
