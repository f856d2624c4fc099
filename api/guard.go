package api

import (
	"fmt"
	"net/http"

	"qmq/internal/httpapi"
	"qmq/internal/httpauth"
)

// roleFor is what a request needs. What is not named here is for
// administrators, so that a new route is closed until it is opened.
func roleFor(r *http.Request) httpauth.Role {
	switch r.URL.Path {
	case "/ping":
		return httpauth.Nobody
	case "/pub", "/mpub":
		return httpauth.Publish
	case "/sub", "/fin", "/req", "/touch":
		return httpauth.Consume
	case "/livez", "/readyz":
		if r.Method == http.MethodGet {
			return httpauth.Nobody
		}
	case "/info", "/stats", "/cluster", "/metrics", "/drain", "/topic/config", "/channel/config":
		if r.Method == http.MethodGet {
			return httpauth.Stats
		}
	case "/channel/peek", "/topic/peek", "/message/body", "/deadletter/list":
		if r.Method == http.MethodGet {
			return httpauth.Peek
		}
	}
	return httpauth.Admin
}

// guard refuses requests that come without TLS where it is required, or
// without the credential that they need.
func (h *HTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.o.HTTPSRequired && r.TLS == nil && !isProbe(r):
			h.refuseClear(w)
		case h.o.Auth == nil || h.o.Auth.Admits(w, r, roleFor(r)):
			next.ServeHTTP(w, r)
		}
	})
}

// refuseClear tells where the API is to be found. NSQ's clients look there by
// themselves.
func (h *HTTP) refuseClear(w http.ResponseWriter) {
	httpapi.Refuse(w, http.StatusForbidden, fmt.Appendf(nil, `{"message": "TLS_REQUIRED", "https_port": %d}`, h.o.Ports.HTTPS))
}
