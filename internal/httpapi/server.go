package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Time limits of connections. An answer may take as long as a profile does.
const (
	headerPatience = 10 * time.Second
	idlePatience   = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// Server serves HTTP with time limits. Its methods may be called concurrently.
type Server struct {
	http http.Server
}

// NewServer makes a server that answers with h.
func NewServer(h http.Handler, log *slog.Logger) *Server {
	return &Server{http.Server{
		Handler:           nosniff(limitWaits(h)),
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
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
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
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
