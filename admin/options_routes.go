package admin

import (
	"net/http"
	"net/netip"

	"qmq/admin/words"
	"qmq/internal/httpapi"
)

// maxOptionBytes is the longest value of an option.
const maxOptionBytes = 1 << 20

// configRoutes are /config, for those who come from the allowed network. Where
// there are roles, changes are for admins.
func (s *Server) configRoutes(r *httpapi.Router, at func(string) string) {
	inner := httpapi.NewRouter(s.o.Logger)
	inner.Config(s.options(), maxOptionBytes)
	guarded := func(w http.ResponseWriter, q *http.Request) {
		if err := s.mayConfigure(q); err != nil {
			refuseScript(w, err)
			return
		}
		inside := q.Clone(q.Context())
		inside.URL.Path, inside.URL.RawPath = "/config/"+httpapi.Param(q, "opt"), ""
		noted := &statusWriter{ResponseWriter: w}
		inner.ServeHTTP(noted, inside)
		if q.Method == http.MethodPut && noted.status < 400 {
			e := s.entryOf(q, "config")
			e.Result, e.OK = words.Shorten(httpapi.Param(q, "opt")), true
			s.activity.add(e)
		}
	}
	for _, method := range []string{"GET", "PUT"} {
		r.HandleRaw(method, at("/config/:opt"), http.HandlerFunc(guarded))
	}
}

// options are those that may be seen and changed.
func (s *Server) options() httpapi.Config {
	if len(s.up.direct) > 0 {
		return withoutLookupds{s.o.Config}
	}
	return s.o.Config
}

// withoutLookupds are the options of a server that was given nodes instead of
// directories: it would not ask any.
type withoutLookupds struct{ httpapi.Config }

func (o withoutLookupds) Changeable(key string) bool {
	return key != "nsqlookupd_http_addresses" && o.Config.Changeable(key)
}

// statusWriter remembers the status of an answer; 0 is success.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (s *Server) mayConfigure(r *http.Request) error {
	if s.o.AllowConfigFrom.IsValid() {
		from, err := netip.ParseAddr(s.access.from(r))
		if err != nil {
			return httpapi.Bad("INVALID_REMOTE_ADDR")
		}
		if !s.o.AllowConfigFrom.Contains(from.WithZone("").Unmap()) {
			return &httpapi.Error{Status: http.StatusForbidden, Code: "FORBIDDEN"}
		}
	}
	if r.Method == http.MethodGet {
		return nil
	}
	return s.mayAct(r)
}
