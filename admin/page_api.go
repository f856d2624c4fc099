package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
	"qmq/internal/version"
)

// failure is a refusal as the page gets it.
type failure struct {
	status int
	Code   string `json:"error"`
	Text   string `json:"text"`
	Retry  int    `json:"retry_after_s,omitempty"`
}

func (f *failure) Error() string { return f.Text }

func (f *failure) json() []byte {
	text, _ := json.Marshal(f) // strings and numbers always marshal
	return text
}

func badRequest(format string, args ...any) *failure {
	return &failure{http.StatusBadRequest, "BAD_REQUEST", fmt.Sprintf(format, args...), 0}
}

// notFound says which part of a view does not exist.
func notFound(v cluster.View) *failure {
	what := "There is no such page."
	switch v.Kind {
	case "topic":
		what = "No node has the topic " + v.Topic + "."
	case "channel":
		what = "No node has the channel " + cluster.Pair{Topic: v.Topic, Channel: v.Channel}.String() + "."
	case "node":
		what = "There is no node " + v.Node + "."
	}
	return &failure{http.StatusNotFound, "NOT_FOUND", what, 0}
}

func refuse(w http.ResponseWriter, f *failure) {
	if f.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.Retry))
	}
	sendJSON(w, f.status, f.json())
}

func sendJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text)
}

// asked is a handler of the page's API.
type asked func(w http.ResponseWriter, r *http.Request) (any, *failure)

// answer makes an HTTP handler of it.
func (s *Server) answer(f asked) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, failed := f(w, r)
		if failed != nil {
			refuse(w, failed)
			return
		}
		text, ready := data.([]byte)
		if !ready {
			var err error
			if text, err = json.Marshal(data); err != nil {
				s.o.Logger.Error("answer cannot be made", "path", r.URL.Path, "error", err)
				refuse(w, &failure{http.StatusInternalServerError, "INTERNAL_ERROR", "This cannot be shown.", 0})
				return
			}
		}
		sendJSON(w, http.StatusOK, text)
	})
}

// pageRoutes are those of the page's own API.
func (s *Server) pageRoutes(r *httpapi.Router, at func(string) string) {
	for _, kind := range viewKinds {
		r.HandleRaw("GET", at("/api/q/"+kind), s.answer(func(_ http.ResponseWriter, r *http.Request) (any, *failure) { return s.view(r, kind) }))
	}
	r.HandleRaw("GET", at("/api/q/stream"), http.HandlerFunc(s.stream))
	for path, f := range map[string]asked{"me": s.me, "history": s.history, "names": s.names, "sparks": s.sparks} {
		r.HandleRaw("GET", at("/api/q/"+path), s.answer(f))
	}
	r.HandleRaw("GET", at("/api/q/peek"), s.fewPeeks(s.answer(s.peek)))
	for path, f := range map[string]asked{"login": s.signIn, "logout": s.signOut, "act": s.act, "publish": s.publish} {
		r.HandleRaw("POST", at("/api/q/"+path), s.answer(f))
	}
}

// viewOf reads what is to be looked at.
func (s *Server) viewOf(r *http.Request, kind string) (cluster.View, *failure) {
	q := r.URL.Query()
	v := cluster.View{Kind: kind}
	if !slices.Contains(viewKinds, kind) {
		return v, badRequest("There is no view %q.", kind)
	}
	for _, need := range []struct {
		key   string
		into  *string
		kinds []string
	}{{"topic", &v.Topic, []string{"topic", "channel"}}, {"channel", &v.Channel, []string{"channel"}}, {"node", &v.Node, []string{"node"}}} {
		if slices.Contains(need.kinds, kind) {
			if *need.into = q.Get(need.key); *need.into == "" {
				return v, badRequest("The %s is missing.", need.key)
			}
		}
	}
	return v, nil
}

// view is one frame.
func (s *Server) view(r *http.Request, kind string) (any, *failure) {
	v, failed := s.viewOf(r, kind)
	if failed != nil {
		return nil, failed
	}
	s.collector.firstUpdate(r.Context())
	s.frames.look(v, firstWait)
	m, _, _ := s.frames.get(v)
	switch {
	case m.err != nil:
		s.o.Logger.Error("view cannot be shown", "view", kind, "error", m.err)
		return nil, &failure{http.StatusInternalServerError, "INTERNAL_ERROR", "This cannot be shown.", 0}
	case m.json == nil:
		return nil, notFound(v)
	}
	return m.json, nil
}

func (s *Server) me(_ http.ResponseWriter, r *http.Request) (any, *failure) {
	p := s.access.who(r)
	admins := []string{}
	if p.role == roleAdmin { // nobody else needs to know whose password to guess
		admins = append(admins, s.access.whoMay()...)
	}
	upstreams := slices.Concat(s.lookupds(), s.up.direct)
	if !p.in {
		upstreams = []string{}
	}
	return map[string]any{
		"user": p.name, "role": p.role, "auth": s.access.kind(), "logged_in": p.in, "admins": admins, "may_act": p.role == roleAdmin,
		"version": version.Number, "cluster": s.o.Cluster, "base": s.o.BasePath, "lookupd_mode": len(s.up.direct) == 0,
		"upstreams": upstreams, "graphite": s.o.GraphiteURL != nil, "started": s.started.UnixMilli(),
	}, nil
}

func (s *Server) history(_ http.ResponseWriter, r *http.Request) (any, *failure) {
	q := r.URL.Query()
	stretch, ok := cluster.Spans[q.Get("span")]
	if !ok {
		return nil, badRequest("The span must be 5m, 15m or 1h.")
	}
	v := cluster.View{Kind: q.Get("kind"), Topic: q.Get("topic"), Channel: q.Get("channel"), Node: q.Get("node")}
	s.collector.catchUp(r.Context())
	var answer *cluster.HistoryView
	s.collector.read(func(c *cluster.Cluster) { answer = c.HistoryView(v, stretch) })
	if answer == nil {
		return nil, notFound(v)
	}
	return answer, nil
}

// names are all that one can look for.
func (s *Server) names(http.ResponseWriter, *http.Request) (any, *failure) {
	var names cluster.NamesView
	s.collector.read(func(c *cluster.Cluster) { names = c.Names() })
	return names, nil
}

// maxSparks may be asked for at a time.
const maxSparks = 200

func (s *Server) sparks(_ http.ResponseWriter, r *http.Request) (any, *failure) {
	topics := r.URL.Query()["topic"]
	if len(topics) > maxSparks {
		return nil, badRequest("At most %d topics at a time.", maxSparks)
	}
	var sparks map[string]cluster.Figures
	s.collector.read(func(c *cluster.Cluster) { sparks = c.Sparks(topics) })
	return map[string]any{"sparks": sparks}, nil
}

// listOf joins with commas what a parameter may be.
func listOf(words []string) string { return strings.Join(words, ", ") }
