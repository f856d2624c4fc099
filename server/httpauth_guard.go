package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"qmq/internal/guess"
	"qmq/internal/httpapi"
)

// roleFor is what a request needs. What is not named here is for
// administrators, so that a new route is closed until it is opened.
func roleFor(r *http.Request) role {
	switch r.URL.Path {
	case "/ping":
		return nobody
	case "/pub", "/mpub":
		return rolePublish
	case "/info", "/stats":
		if r.Method == http.MethodGet {
			return roleStats
		}
	case "/channel/peek":
		if r.Method == http.MethodGet {
			return rolePeek
		}
	}
	return roleAdmin
}

// guard refuses requests that come without TLS where it is required, or
// without the credential that they need.
func (h *HTTP) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.o.HTTPSRequired && r.TLS == nil:
			h.refuseClear(w)
		case h.o.HTTPAuth == nil || h.admits(w, r):
			next.ServeHTTP(w, r)
		}
	})
}

// refuseClear tells where the API is to be found. NSQ's clients look there by
// themselves.
func (h *HTTP) refuseClear(w http.ResponseWriter) {
	httpapi.Refuse(w, http.StatusForbidden, fmt.Appendf(nil, `{"message": "TLS_REQUIRED", "https_port": %d}`, h.ports.HTTPS))
}

// admits tells whether a request comes with what it needs; else it answers it.
func (h *HTTP) admits(w http.ResponseWriter, r *http.Request) bool {
	need := roleFor(r)
	if need == nobody {
		return true
	}
	have, err := h.o.HTTPAuth.roles(r)
	if err != nil {
		refuseTry(w, err)
		return false
	}
	if have&need != 0 {
		return true
	}
	status, code := http.StatusForbidden, "FORBIDDEN"
	if have == nobody {
		w.Header().Add("WWW-Authenticate", `Bearer realm="qd"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="qd", charset="UTF-8"`)
		status, code = http.StatusUnauthorized, "UNAUTHORIZED"
	}
	httpapi.Refuse(w, status, fmt.Appendf(nil, `{"message":%q}`, code))
	return false
}

// refuseTry answers a request whose password nobody looked at.
func refuseTry(w http.ResponseWriter, err error) {
	status, code, wait := http.StatusServiceUnavailable, "BUSY", time.Second
	var many *guess.TooManyError
	if errors.As(err, &many) {
		status, code, wait = http.StatusTooManyRequests, "TOO_MANY_TRIES", many.Wait
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	httpapi.Refuse(w, status, fmt.Appendf(nil, `{"message":%q}`, code))
}

// roles are those of the request's credential, if there is a good one. A
// credential that is no good is logged.
func (a *HTTPAuth) roles(r *http.Request) (role, error) {
	c, place := a.current.Now(), guess.Place(r.RemoteAddr)
	if name, password, ok := r.BasicAuth(); ok {
		roles, err := a.rolesOfUser(r.Context(), c, place, name, password)
		if roles == nobody {
			a.refused(place, err, slog.String("user", shorten(name)))
		}
		return roles, err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nobody, nil
	}
	roles := c.rolesOfToken(token)
	if roles == nobody {
		a.refused(place, nil)
	}
	return roles, nil
}

func (a *HTTPAuth) refused(place string, err error, attrs ...slog.Attr) {
	if err == nil {
		err = errWrongCredential
	}
	a.report.Refused("HTTP credential refused", place, append(attrs, slog.Any("reason", err))...)
}

var errWrongCredential = errors.New("there is no such credential")

// shorten cuts what is logged of what a client sent.
func shorten(text string) string { return text[:min(len(text), 100)] }
