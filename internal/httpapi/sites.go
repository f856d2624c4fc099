package httpapi

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sites say which pages in a browser may use the API. Others are kept out in
// two ways: a request that changes something and that a page of another site
// makes the browser send is refused; and where the connection came to a loopback
// address, so is one that names a strange host: a page may have its own name
// point here.
type Sites struct {
	// Allowed are hosts, perhaps with a port, under which browsers know the
	// daemon, as behind a proxy; their pages are taken for its own. "*" allows
	// every host, but makes no page its own.
	Allowed []string
	// Names are hosts under which the daemon is known anyway, perhaps with a port.
	Names []string
}

// anyHost switches the check of hosts off.
const anyHost = "*"

// The refusals of a site, as codes of the answer.
const (
	otherSite   = "CROSS_SITE"
	strangeHost = "HOST_NOT_ALLOWED"
)

// logEvery is how often it is logged that a site was refused.
const logEvery = time.Second

// siteGuard keeps other sites out.
type siteGuard struct {
	cross  *http.CrossOriginProtection
	any    bool // every host
	hosts  map[string]bool
	refuse func(w http.ResponseWriter, code string)
	log    *slog.Logger

	mu     sync.Mutex // guards logged
	logged time.Time
}

func newSiteGuard(o *Options) *siteGuard {
	g := &siteGuard{cross: http.NewCrossOriginProtection(), hosts: make(map[string]bool), refuse: o.RefuseSite, log: o.Logger}
	if g.refuse == nil {
		g.refuse = func(w http.ResponseWriter, code string) {
			respondError(w, &Error{Status: http.StatusForbidden, Code: code})
		}
	}
	g.any = slices.Contains(o.Sites.Allowed, anyHost)
	for _, host := range o.Sites.Allowed {
		// What cannot be the host of an origin is none.
		_ = g.cross.AddTrustedOrigin("http://" + host)
		_ = g.cross.AddTrustedOrigin("https://" + host)
	}
	for _, host := range slices.Concat(o.Sites.Allowed, o.Sites.Names) {
		if name := hostName(host); name != "" {
			g.hosts[name] = true
		}
	}
	return g
}

func (g *siteGuard) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.knows(r):
			g.note("request for a strange host refused", r)
			g.refuse(w, strangeHost)
		case g.cross.Check(r) != nil:
			g.note("request of another site refused", r)
			g.refuse(w, otherSite)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// knows tells whether the host that a request names may be this one. Who reaches
// the daemon from elsewhere got there by a name or address of its machine; who
// sends no name at all is no browser.
func (g *siteGuard) knows(r *http.Request) bool {
	if g.any || r.Host == "" {
		return true
	}
	v := visitOf(r)
	if v != nil && v.knownHost == r.Host { // as the last request's was
		return true
	}
	known := !toLoopback(r) || g.isOwn(hostName(r.Host))
	if v != nil && known {
		v.knownHost = r.Host
	}
	return known
}

// isOwn tells whether a name is this machine's or the daemon's.
func (g *siteGuard) isOwn(name string) bool {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || g.hosts[name]
}

// toLoopback tells whether the connection came to a loopback address.
func toLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// hostName is the name in a host and perhaps a port, as names are compared.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (g *siteGuard) note(text string, r *http.Request) {
	now := time.Now()
	g.mu.Lock()
	say := now.Sub(g.logged) >= logEvery
	if say {
		g.logged = now
	}
	g.mu.Unlock()
	if say {
		g.log.Warn(text+"; if it is yours, set --allowed-host", slog.String("host", clipped(r.Host)), slog.String("origin", clipped(r.Header.Get("Origin"))),
			slog.String("method", r.Method), slog.String("path", clipped(r.URL.Path)), slog.String("client", r.RemoteAddr))
	}
}

// clipped is what is logged of a text that somebody sent.
func clipped(text string) string { return text[:min(len(text), 200)] }
