package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"

	"qmq/internal/nearest"
)

// Router finds the handler of a request. Unknown paths and wrong methods are
// refused in the envelope, a mistyped path with the one that it is like, and so is a request whose handler panics. All
// routes are added before the first request.
type Router struct {
	routes  *httprouter.Router
	table   []Route
	log     *slog.Logger
	allowed map[string]string // what Explain was given; nil: nothing
	meant   map[string]string // what Meant was given
	quiet   atomic.Int64      // when a quiet route last explained a refusal, in s since 1970
}

// NewRouter makes a router without routes.
func NewRouter(log *slog.Logger) *Router {
	r := &Router{routes: httprouter.New(), log: log}
	r.routes.HandleMethodNotAllowed = true
	r.routes.NotFound = http.HandlerFunc(r.notFound)
	r.routes.MethodNotAllowed = http.HandlerFunc(methodNotAllowed)
	r.routes.PanicHandler = r.crashed
	return r
}

// Route is a method and a path that there is an answer for.
type Route struct{ Method, Path string }

// Routes are all routes, in the order in which they were added.
func (r *Router) Routes() []Route { return r.table }

// add adds a route.
func (r *Router) add(method, path string, h httprouter.Handle) {
	r.table = append(r.table, Route{method, path})
	r.routes.Handle(method, path, h)
}

// notFound refuses a path that is unknown, and names the one that was meant where it is like one.
func (r *Router) notFound(w http.ResponseWriter, q *http.Request) {
	refusal := &Error{Status: http.StatusNotFound, Code: "NOT_FOUND"}
	var paths []string
	for _, route := range r.table {
		if !strings.ContainsAny(route.Path, ":*") {
			paths = append(paths, route.Path)
		}
	}
	path, ok := r.meant[q.URL.Path]
	if !ok {
		path, ok = nearest.Word(q.URL.Path, paths)
	}
	if ok {
		refusal.Why = "there is no such path; did you mean " + path + "?"
	}
	respondError(w, refusal)
}

// Meant has requests for a path that is unknown here, and called so elsewhere, answered with the
// one that does the same, though it may be like another one.
func (r *Router) Meant(path, same string) {
	if r.meant == nil {
		r.meant = make(map[string]string)
	}
	r.meant[path] = same
}

// Missing has requests to unknown paths that satisfy a condition answered by h,
// instead of being refused in the envelope.
func (r *Router) Missing(condition func(*http.Request) bool, h http.Handler) {
	envelope := r.routes.NotFound
	r.routes.NotFound = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if condition(q) {
			h.ServeHTTP(w, q)
		} else {
			envelope.ServeHTTP(w, q)
		}
	})
}

// ServeHTTP answers one request.
func (r *Router) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.routes.ServeHTTP(w, q) }

// Handle adds a route whose requests are logged with their status and how long
// they took: those that only ask, which dashboards do all day, at debug level.
func (r *Router) Handle(method, path string, f Handler) {
	r.add(method, path, func(w http.ResponseWriter, q *http.Request, p httprouter.Params) {
		start := time.Now()
		status, err := answer(w, withParams(q, p), f)
		_, why := r.why(err)
		level := slog.LevelInfo
		if q.Method == http.MethodGet && why == "" {
			level = slog.LevelDebug
		}
		r.log.Log(q.Context(), level, fmt.Sprintf("%d %s %s (%s) %s%s", status, q.Method, q.URL.RequestURI(), q.RemoteAddr, time.Since(start), why))
	})
}

// Explain has the log say what is allowed where an answer is only a code: by
// the code, the sentence.
func (r *Router) Explain(allowed map[string]string) { r.allowed = allowed }

// why ends the log line of a refusal that can be explained: a warning where the
// client is wrong, a remark where the daemon was told to refuse.
func (r *Router) why(err error) (slog.Level, string) {
	var refusal *Error
	switch {
	case err == nil || !errors.As(err, &refusal):
	case refusal.Why != "" && refusal.Status == http.StatusBadRequest:
		return slog.LevelWarn, " " + refusal.Code + ": " + refusal.Why
	case refusal.Why != "":
		return slog.LevelInfo, " " + refusal.Code + ": " + refusal.Why
	case r.allowed[refusal.Code] != "":
		return slog.LevelWarn, " " + refusal.Code + ": " + r.allowed[refusal.Code]
	}
	return slog.LevelDebug, ""
}

// explainQuietly logs a refusal of a quiet route that can be explained, one a
// second.
func (r *Router) explainQuietly(q *http.Request, status int, err error) {
	level, why := r.why(err)
	if why == "" {
		return
	}
	now := time.Now().Unix()
	if last := r.quiet.Load(); last == now || !r.quiet.CompareAndSwap(last, now) {
		return
	}
	r.log.Log(q.Context(), level, fmt.Sprintf("%d %s %s (%s)%s", status, q.Method, q.URL.RequestURI(), q.RemoteAddr, why))
}

// HandleQuiet adds a route that may have very many requests: they are not
// logged, but for refusals that [Router.Explain] knows, one a second.
func (r *Router) HandleQuiet(method, path string, f Handler) {
	r.add(method, path, func(w http.ResponseWriter, q *http.Request, p httprouter.Params) {
		if status, err := answer(w, withParams(q, p), f); err != nil {
			r.explainQuietly(q, status, err)
		}
	})
}

// HandleRaw adds a route without the envelope.
func (r *Router) HandleRaw(method, path string, h http.Handler) {
	r.table = append(r.table, Route{method, path})
	r.routes.Handler(method, path, h)
}

// withParams lets Param find the named parts of the path.
func withParams(q *http.Request, p httprouter.Params) *http.Request {
	if len(p) == 0 {
		return q
	}
	return q.WithContext(context.WithValue(q.Context(), httprouter.ParamsKey, p))
}

// methodNotAllowed refuses a method that a path does not take, and names those that it takes:
// the routes have put them into the field Allow.
func methodNotAllowed(w http.ResponseWriter, q *http.Request) {
	var takes []string
	for method := range strings.SplitSeq(w.Header().Get("Allow"), ", ") {
		if method != http.MethodOptions {
			takes = append(takes, method)
		}
	}
	why := fmt.Sprintf("%.64s takes %s, not %.16s", q.URL.Path, strings.Join(takes, " or "), q.Method)
	respondError(w, Because(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", why))
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
