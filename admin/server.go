package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"qmq/internal/budget"
	"qmq/internal/httpapi"
	"qmq/internal/names"
)

// Server is the view of a cluster, over HTTP. Its methods may be called
// concurrently.
type Server struct {
	o         Options
	up        *upstream
	collector *collector
	activity  *activity
	notifier  *notifier
	alertHook *alertHook
	access    *access
	frames    frames
	pages     *pages
	http      *httpapi.Server
	peeks     *httpapi.Slots
	tails     *httpapi.Slots
	looks     *httpapi.Slots // at connections
	jobs      jobs
	keeper    *keeper
	bodies    *budget.Budget // of what is sent to it
	started   time.Time

	streams  context.Context // of all viewers; ends when the server stops
	leaveAll context.CancelFunc

	errands    context.Context // of what goes on when whoever asked for it has gone
	endErrands context.CancelFunc
	late       sync.WaitGroup // goroutines of such errands

	directories directories
}

// maxBodies bounds the memory of bodies that have not all come, in bytes.
const maxBodies = 64 << 20

// NewServer makes a server and starts to ask the nodes. The error is that of
// the file of users, or of the page's files.
func NewServer(o Options) (*Server, error) {
	o.setDefaults()
	s := &Server{o: o, started: time.Now(), peeks: httpapi.NewSlots(peeksOnce, peekWait), tails: httpapi.NewSlots(tailsOnce, time.Second), looks: httpapi.NewSlots(peeksOnce, peekWait), bodies: budget.New(maxBodies)}
	s.directories.init(s)
	s.access = &access{header: o.ACLHeader, admins: o.Admins, proxies: o.TrustedProxies}
	if o.UsersFile != "" {
		l, err := openLogin(o.UsersFile, o.BasePath, o.Logger)
		if err != nil {
			return nil, err
		}
		s.access.login = l
	}
	var err error
	if s.pages, err = newPages(o.Files, o.BasePath); err != nil {
		return nil, err
	}
	s.activity = &activity{log: o.Logger, began: s.started}
	s.up = newUpstream(&o)
	s.collector = newCollector(s.up, nil, o.HistoryBytes, o.Logger)
	if s.keeper, err = startKeeper(s.collector, o.HistoryDir, o.Logger); err != nil {
		return nil, fmt.Errorf("history directory: %w", err)
	}
	s.notifier, s.alertHook = startNotifier(&o), startAlertHook(&o)
	s.collector.cluster.SetPausedBy(s.activity.pausedBy)
	s.collector.tellAlerts = s.alertHook.tell
	s.frames.s = s
	s.streams, s.leaveAll = context.WithCancel(context.Background())
	s.errands, s.endErrands = context.WithCancel(context.Background())
	s.http = httpapi.NewServer(s.handler(), httpapi.Options{Unfinished: s.bodies, Sites: o.Sites, RefuseSite: refuseSite, Logger: o.Logger})
	s.http.OnClose(s.leaveAll)
	s.directories.set(s.up.bare(o.Lookupds))
	s.directories.start()
	s.collector.start()
	return s, nil
}

// Serve answers requests that come to l until Close, then returns nil.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close sends viewers away, waits for requests under way until ctx is done, and
// ends everything else.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Close(ctx)
	s.leaveAll()
	s.endErrands()
	s.late.Wait()
	s.keeper.stop()
	s.directories.stop()
	s.collector.stop()
	s.notifier.stop()
	s.alertHook.stop()
	s.up.close()
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.ServeHTTP(w, r) }

// Reload reads the file of users now, changed or not. If it is no good, what held
// before holds on.
func (s *Server) Reload() error {
	if s.access.login == nil {
		return nil
	}
	return s.access.login.users.Reload()
}

// SetLookupds changes the directories that are asked, unless nodes were given
// instead of directories.
func (s *Server) SetLookupds(addresses []string) {
	if len(s.up.direct) > 0 {
		s.o.Logger.Warn("lookup daemons are not asked: qadmin was given nodes")
		return
	}
	s.directories.set(s.up.bare(addresses))
	s.collector.poke()
}

func (s *Server) lookupds() []string { return s.directories.list() }

// handler is everything that is served.
func (s *Server) handler() http.Handler {
	r := httpapi.NewRouter(s.o.Logger)
	r.Explain(names.Refusals)
	at := func(p string) string { return path.Join(s.o.BasePath, p) }
	r.HandleQuiet("GET", at("/ping"), func(http.ResponseWriter, *http.Request) (any, error) { return "OK", nil })
	for _, p := range []string{"/", "/topics", "/topics/:topic", "/topics/:topic/:channel", "/nodes", "/nodes/:node", "/sets", "/counter", "/lookup", "/activity", "/login"} {
		r.HandleRaw("GET", at(p), http.HandlerFunc(s.pages.index))
	}
	r.Missing(wantsPage, http.HandlerFunc(s.pages.missing))
	r.HandleRaw("GET", at("/favicon.ico"), http.HandlerFunc(s.pages.icon))
	for _, p := range []string{"/static/*file", "/fonts/*file"} {
		r.HandleRaw("GET", at(p), http.HandlerFunc(s.pages.file))
	}
	r.HandleRaw("GET", at("/metrics"), http.HandlerFunc(s.metrics))
	s.scriptRoutes(r, at)
	s.pageRoutes(r, at)
	s.graphiteRoutes(r, at)
	if s.o.Config != nil {
		s.configRoutes(r, at)
	}
	return s.guard(compress(r))
}

// refuseSite answers requests of other sites, and for strange hosts.
func refuseSite(w http.ResponseWriter, code string) {
	text := "This request came from another site. Behind a proxy, qadmin needs --allowed-host."
	if code != "CROSS_SITE" {
		text = "qadmin is not known by this name. If it should be, it needs --allowed-host."
	}
	(&failure{Status: http.StatusForbidden, Code: code, Text: text}).send(w)
}

// guard keeps those who are not signed in out, and tells browsers to be strict.
func (s *Server) guard(next http.Handler) http.Handler {
	open := s.openPaths()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.access.login != nil && !open(r.URL.Path) && !s.access.who(r).in {
			s.refuse(w, r, &failure{Status: http.StatusUnauthorized, Code: "LOGIN_REQUIRED", Text: "Sign in first."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// openPaths are those that need no session: the page itself, which knows
// nothing, and what it inputs in with.
func (s *Server) openPaths() func(p string) bool {
	at := func(p string) string { return path.Join(s.o.BasePath, p) }
	closed := []string{at("/api") + "/", at("/config") + "/", at("/render")}
	open := []string{at("/api/q/me"), at("/api/q/login"), at("/api/q/logout")}
	isClosed := func(p string) bool {
		return slices.ContainsFunc(closed, func(c string) bool { return p == path.Clean(c) || strings.HasPrefix(p, c) })
	}
	// The router takes a path as it is, dots and all.
	return func(p string) bool {
		return slices.Contains(open, p) || !isClosed(p) && !isClosed(path.Clean(p))
	}
}
