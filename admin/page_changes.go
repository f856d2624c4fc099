package admin

import (
	"cmp"
	"errors"
	"mime"
	"net/http"
	"time"

	"qmq/admin/cluster"
	"qmq/admin/words"
	"qmq/internal/guess"
	"qmq/internal/names"
)

// readPageBody decodes a request of the page, which no form of another site can
// send.
func readPageBody(r *http.Request, limit int, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &failure{Status: http.StatusUnsupportedMediaType, Code: "BAD_REQUEST", Text: "The body must be application/json."}
	}
	return readBody(r, limit, into)
}

// valid checks an order.
func (o *order) valid(hasLookupds bool) error {
	verb, kind := o.verb()
	if o.Action == acknowledgeDamage {
		if o.Node == "" || o.Until <= 0 {
			return badRequest("The node, or the number of the newest finding, is missing.")
		}
		o.Topic, o.Channel = "", ""
		return nil
	}
	if o.ofSet() {
		return o.validOfSet()
	}
	if _, ok := actions[o.Action]; !ok || kind != "topic" && kind != "channel" && o.Action != "tombstone_topic_producer" {
		return badRequest("There is no action %q.", words.Shorten(o.Action))
	}
	if kind != "channel" {
		o.Channel = ""
	}
	switch {
	case !names.Valid(o.Topic):
		return badRequest("%q is no valid name of a topic: up to 64 letters, digits, dots, dashes and underscores.", words.Shorten(o.Topic))
	case kind == "channel" && !names.Valid(o.Channel):
		return badRequest("%q is no valid name of a channel: up to 64 letters, digits, dots, dashes and underscores.", words.Shorten(o.Channel))
	case o.Action == "tombstone_topic_producer" && o.Node == "":
		return badRequest("The node is missing.")
	case o.Action == "tombstone_topic_producer" && !hasLookupds, verb == "create" && kind == "topic" && !hasLookupds:
		return badRequest("This needs a lookupd; qadmin was given nodes. A topic is created by its first message.")
	}
	return cmp.Or(o.validSettings(), o.validPlace())
}

func (s *Server) act(_ http.ResponseWriter, r *http.Request) (any, error) {
	var o order
	if err := readPageBody(r, maxOrder, &o); err != nil {
		return nil, err
	}
	if err := o.valid(len(s.up.direct) == 0); err != nil {
		return nil, err
	}
	targets, err := s.targetsOf(r, &o)
	if err != nil {
		return nil, err
	}
	if directories, nodes := s.phases(&o, targets); o.Only != nil && len(directories)+len(nodes) == 0 {
		return nil, notFound(cluster.View{Kind: "node", Node: o.Only.Target})
	}
	var results []result
	var rest <-chan []result
	if o.pauses() {
		results, rest = s.pauseAt(&o, targets)
	} else {
		results = s.carryOut(r.Context(), &o, targets)
	}
	if results == nil {
		results = []result{}
	}
	id := s.remember(r, &o, results)
	s.amendLater(id, &o, rest)
	return map[string]any{
		"action": o.Action, "topic": o.Topic, "channel": o.Channel, "node": o.Node, "set": o.Set, "at": time.Now().UnixMilli(),
		"ok": allOK(results), "summary": o.said(results), "results": results, "activity": id,
	}, nil
}

// targetsOf are the nodes that an order is for.
func (s *Server) targetsOf(r *http.Request, o *order) (targets []cluster.Target, err error) {
	s.collector.firstUpdate(r.Context())
	s.collector.read(func(c *cluster.Cluster) {
		switch {
		case o.ofSet():
			targets, err = setTargets(c, o)
		case o.configures(), o.replays():
			targets, err = doorsOf(c, o)
		case o.Action == "create_topic":
		case o.Action == "create_channel":
			targets = c.Having(cluster.Pair{Topic: o.Topic})
			if len(targets) == 0 && len(s.up.direct) > 0 { // there is no directory to tell either
				err = notFound(cluster.View{Kind: "topic", Topic: o.Topic})
			}
		case o.Action == "tombstone_topic_producer", o.Action == acknowledgeDamage:
			to, ok := c.TargetCalled(o.Node)
			if !ok {
				err = notFound(cluster.View{Kind: "node", Node: o.Node})
				return
			}
			targets = []cluster.Target{to}
		default:
			targets = c.Having(o.pair())
			if verb, _ := o.verb(); len(targets) == 0 && (verb != "delete" || len(s.up.direct) > 0) {
				err = notFound(cluster.View{Kind: map[bool]string{true: "topic", false: "channel"}[o.Channel == ""], Topic: o.Topic, Channel: o.Channel})
			}
		}
	})
	return targets, err
}

// maxDeferMS is a hundred years.
const maxDeferMS = 876_000 * 3_600_000

// nameOf is the name of a node, "" if it is not known.
func (s *Server) nameOf(id string) (name string) {
	s.collector.read(func(c *cluster.Cluster) {
		if to, ok := c.TargetCalled(id); ok {
			name = to.Name
		}
	})
	return name
}

// nodeCalled finds a node that is known: requests go nowhere else.
func (s *Server) nodeCalled(r *http.Request, id string) (to cluster.Target, err error) {
	s.collector.firstUpdate(r.Context())
	err = notFound(cluster.View{Kind: "node", Node: id})
	s.collector.read(func(c *cluster.Cluster) {
		if known, ok := c.TargetCalled(id); ok {
			to, err = known, nil
		}
	})
	return to, err
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) (any, error) {
	l := s.access.login
	if l == nil {
		return nil, &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: "There is no signing in here."}
	}
	var who struct {
		User     string `json:"user"`
		Password string `json:"password"`
	}
	if err := readPageBody(r, 4<<10, &who); err != nil {
		return nil, err
	}
	u, ok, err := l.try(r.Context(), who.User, who.Password, s.access.from(r), cookieOf(r, deviceCookie))
	e := entry{User: words.Shorten(who.User), Unverified: true, Action: "login_failed", Result: "wrong name or password", From: s.access.from(r)}
	var many *guess.TooManyError
	switch {
	case errors.As(err, &many):
		seconds := int(many.Wait/time.Second) + 1
		return nil, &failure{Status: http.StatusTooManyRequests, Code: "TOO_MANY", Text: "Too many tries. Wait for " + words.Duration(many.Wait) + ".", Retry: seconds}
	case err != nil:
		return nil, &failure{Status: http.StatusServiceUnavailable, Code: "BUSY", Text: "Too many people sign in. Try again.", Retry: 1}
	case !ok:
		s.activity.add(e)
		return nil, &failure{Status: http.StatusUnauthorized, Code: "WRONG_LOGIN", Text: "Wrong name or password."}
	}
	device := cookieOf(r, deviceCookie)
	if u.device(device) == "" {
		device = u.newDevice()
	}
	for _, cookie := range l.cookies(r, l.token(u, time.Now()), device) {
		http.SetCookie(w, cookie)
	}
	e.Action, e.Result, e.OK, e.Unverified = "login", "role "+string(u.role), true, false
	s.activity.add(e)
	return map[string]any{"user": u.name, "role": u.role}, nil
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	if l := s.access.login; l != nil {
		if p := l.who(r); p.in {
			s.activity.add(entry{User: p.name, Action: "logout", OK: true, From: s.access.from(r)})
		}
		l.leave(r, time.Now())
		for _, cookie := range l.cookies(r, "", "") {
			http.SetCookie(w, cookie)
		}
	}
	return map[string]any{}, nil
}
