package httpapi

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"qmq/internal/acceptloop"
	"qmq/internal/budget"
)

// Time limits of connections; those of bodies and answers are in pace.go.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// Options configure a server. All but Logger may be left out.
type Options struct {
	// Places are what connections take one of each; nil: no limit.
	Places *acceptloop.Places
	// Unfinished bounds the memory of bodies; nil: no limit.
	Unfinished *budget.Budget
	Sites      Sites
	// RefuseSite answers 403 to a request of a site that is kept out, with the
	// code CROSS_SITE or HOST_NOT_ALLOWED; nil: in the envelope.
	RefuseSite func(w http.ResponseWriter, code string)
	Logger     *slog.Logger
}

// Server serves HTTP with time limits. Its methods may be called concurrently.
type Server struct {
	http http.Server
	o    Options
	// closing is closed when Close begins; it ends waits for memory.
	closing chan struct{}

	mu    sync.Mutex            // guards conns
	conns map[net.Conn]struct{} // that have taken a place
}

// NewServer makes a server that answers with h.
func NewServer(h http.Handler, o Options) *Server {
	s := &Server{o: o, closing: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	s.http = http.Server{
		Handler:           nosniff(newSiteGuard(&o).handler(s.pace(h))),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(&complaints{log: o.Logger}, "", 0),
		ConnContext:       s.remember,
	}
	if o.Places != nil {
		s.http.ConnState = s.count
	}
	s.OnClose(sync.OnceFunc(func() { close(s.closing) }))
	return s
}

// nosniff keeps browsers from taking an answer for something that it does not say
// that it is.
func nosniff(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Content-Type-Options"] = nosniffed
		next.ServeHTTP(w, r)
	})
}

var nosniffed = []string{"nosniff"} // which nobody changes

// Serve answers requests that come to l until Close, then returns nil. It
// closes l. It may serve several listeners at a time.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(acceptloop.Patient(l, s.o.Logger)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops accepting and waits for the requests under way until ctx is
// done; then it cuts them off.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// OnClose adds what ends requests that would otherwise never end. Close calls
// it when it begins.
func (s *Server) OnClose(f func()) { s.http.RegisterOnShutdown(f) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// count takes a place for each new connection and gives it back at its end. One
// that there is no place for is closed before anything is read.
func (s *Server) count(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !s.o.Places.Take(conn) {
			conn.Close()
			return
		}
		s.mu.Lock()
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		s.mu.Lock()
		_, ok := s.conns[conn]
		delete(s.conns, conn)
		s.mu.Unlock()
		if ok {
			s.o.Places.Leave()
		}
	}
}
