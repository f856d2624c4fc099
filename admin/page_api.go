package admin

import (
	"net/http"
	"slices"
	"strings"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
	"qmq/internal/version"
)

// pageRoutes are those of the page's own API.
func (s *Server) pageRoutes(r *httpapi.Router, at func(string) string) {
	get := func(name string, h httpapi.Handler) { r.HandleRaw("GET", at("/api/q/"+name), s.pageAnswers(h)) }
	post := func(name string, h httpapi.Handler) { r.HandleRaw("POST", at("/api/q/"+name), s.pageAnswers(h)) }
	for _, kind := range viewKinds {
		get(kind, func(_ http.ResponseWriter, r *http.Request) (any, error) { return s.view(r, kind) })
	}
	r.HandleRaw("GET", at("/api/q/stream"), http.HandlerFunc(s.stream))
	get("me", s.me)
	get("history", s.history)
	get("names", s.names)
	get("sparks", s.sparks)
	get("outcome", s.outcome)
	get("jobs", s.jobList)
	get("job", s.jobView)
	get("settings", s.admins(s.nodeSettings))
	get("config", s.topicSettings)
	r.HandleRaw("GET", at("/api/q/peek"), s.fewPeeks(s.pageAnswers(s.peek)))
	r.HandleRaw("GET", at("/api/q/download"), s.fewPeeks(http.HandlerFunc(s.download)))
	r.HandleRaw("GET", at("/api/q/connections"), s.few(s.looks, "connections", s.pageAnswers(s.connections)))
	r.HandleRaw("GET", at("/api/q/tail"), http.HandlerFunc(s.tail))
	r.HandleRaw("GET", at("/api/q/deadletters"), s.fewPeeks(s.pageAnswers(s.deadLetters)))
	post("putback", s.admins(s.putBack))
	post("login", s.signIn)
	post("logout", s.signOut)
	post("act", s.admins(s.act))
	post("publish", s.admins(s.publish))
	post("message", s.admins(s.actOnMessage))
	post("bulk", s.admins(s.bulk))
	post("silent", s.admins(s.bulkSilent))
	post("move", s.admins(s.move))
	post("job_stop", s.admins(s.stopJob))
	post("close_client", s.admins(s.closeConnection))
	post("setting", s.admins(s.setNodeOption))
}

// viewOf reads what is to be looked at.
func (s *Server) viewOf(r *http.Request, kind string) (cluster.View, error) {
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
func (s *Server) view(r *http.Request, kind string) (any, error) {
	v, err := s.viewOf(r, kind)
	if err != nil {
		return nil, err
	}
	s.collector.firstUpdate(r.Context())
	s.frames.look(v, firstWait)
	m, _, _ := s.frames.get(v)
	switch {
	case m.err != nil:
		return nil, m.err
	case m.json == nil:
		return nil, notFound(v)
	}
	return m.json, nil
}

func (s *Server) me(_ http.ResponseWriter, r *http.Request) (any, error) {
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
		"upstreams": upstreams, "history_kept": s.keeper.past != nil, "graphite": s.o.GraphiteURL != nil, "started": s.started.UnixMilli(),
	}, nil
}

func (s *Server) history(_ http.ResponseWriter, r *http.Request) (any, error) {
	q := r.URL.Query()
	v := cluster.View{Kind: q.Get("kind"), Topic: q.Get("topic"), Channel: q.Get("channel"), Node: q.Get("node")}
	stretch, ok := cluster.Spans[q.Get("span")]
	kept, isKept := keptSpans[q.Get("span")]
	isKept = isKept && s.keeper.past != nil
	if !ok && !isKept {
		return nil, badRequest("The span must be 5m, 15m or 1h, with --history-dir also 6h, 24h or 7d.")
	}
	s.collector.catchUp(r.Context())
	var answer *cluster.HistoryView
	if isKept {
		var err error
		if answer, err = s.keeper.view(v, kept); err != nil {
			return nil, err
		}
	} else {
		s.collector.read(func(c *cluster.Cluster) { answer = c.HistoryView(v, stretch) })
	}
	if answer == nil {
		return nil, notFound(v)
	}
	return answer, nil
}

// names are all that one can look for.
func (s *Server) names(http.ResponseWriter, *http.Request) (any, error) {
	var names cluster.NamesView
	s.collector.read(func(c *cluster.Cluster) { names = c.Names() })
	return names, nil
}

// maxSparks may be asked for at a time.
const maxSparks = 200

func (s *Server) sparks(_ http.ResponseWriter, r *http.Request) (any, error) {
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
