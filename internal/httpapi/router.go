package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"
)

// Router finds the handler of a request. Unknown paths and wrong methods are
// refused in the envelope, and so is a request whose handler panics. All
// routes are added before the first request.
type Router struct {
	routes *httprouter.Router
	log    *slog.Logger
}

// NewRouter makes a router without routes.
func NewRouter(log *slog.Logger) *Router {
	r := &Router{routes: httprouter.New(), log: log}
	r.routes.HandleMethodNotAllowed = true
	r.routes.NotFound = refuse(http.StatusNotFound, "NOT_FOUND")
	r.routes.MethodNotAllowed = refuse(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	r.routes.PanicHandler = r.crashed
	return r
}

// ServeHTTP answers one request.
func (r *Router) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.routes.ServeHTTP(w, q) }

// Handle adds a route whose requests are logged with their status and how long
// they took: those that only ask, which dashboards do all day, at debug level.
func (r *Router) Handle(method, path string, f Handler) {
	r.routes.Handle(method, path, func(w http.ResponseWriter, q *http.Request, p httprouter.Params) {
		start := time.Now()
		status := answer(w, withParams(q, p), f)
		level := slog.LevelInfo
		if q.Method == http.MethodGet {
			level = slog.LevelDebug
		}
		r.log.Log(q.Context(), level, fmt.Sprintf("%d %s %s (%s) %s", status, q.Method, q.URL.RequestURI(), q.RemoteAddr, time.Since(start)))
	})
}

// HandleQuiet adds a route that may have very many requests: they are not
// logged.
func (r *Router) HandleQuiet(method, path string, f Handler) {
	r.routes.Handle(method, path, func(w http.ResponseWriter, q *http.Request, p httprouter.Params) {
		answer(w, withParams(q, p), f)
	})
}

// HandleRaw adds a route without the envelope.
func (r *Router) HandleRaw(method, path string, h http.Handler) { r.routes.Handler(method, path, h) }

// withParams lets Param find the named parts of the path.
func withParams(q *http.Request, p httprouter.Params) *http.Request {
	if len(p) == 0 {
		return q
	}
	return q.WithContext(context.WithValue(q.Context(), httprouter.ParamsKey, p))
}

func refuse(status int, code string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		respondError(w, &Error{status, code})
	})
}

// crashed answers a request whose handler panicked. One that gives an answer up
// midway wants the connection cut.
func (r *Router) crashed(w http.ResponseWriter, q *http.Request, reason any) {
	if reason == http.ErrAbortHandler {
		panic(reason)
	}
	r.log.Error("request crashed", slog.String("method", q.Method), slog.String("path", q.URL.Path), slog.Any("reason", reason))
	respondError(w, Internal())
}
