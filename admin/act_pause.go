package admin

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"qmq/admin/cluster"
)

// How long who pauses waits for nodes. One that hangs must not keep people from
// seeing that the others are paused: its answer is told later.
const (
	pauseWait = 700 * time.Millisecond // for nodes that answered when they were asked last
	hungWait  = 150 * time.Millisecond // for the others
)

// pauses tells whether the order loses nothing and can be undone at once.
func (o *order) pauses() bool {
	verb, _ := o.verb()
	return verb == "pause" || verb == "unpause"
}

// pauseAt carries out an order that pauses, at all nodes at once. The results say who
// is pending; rest, nil if nobody is, gets all results when nobody is any more.
func (s *Server) pauseAt(o *order, targets []cluster.Target) (results []result, rest <-chan []result) {
	_, nodes := s.phases(o, targets)
	results = make([]result, len(nodes))
	type answer struct {
		i int
		r result
	}
	answers := make(chan answer, len(nodes))
	hangs, hung := make([]bool, len(nodes)), 0
	for i, e := range nodes {
		results[i] = result{Kind: e.kind, Target: e.target, Name: e.name, Pending: true, Error: "no answer yet"}
		hangs[i] = slices.ContainsFunc(targets, func(t cluster.Target) bool { return t.ID == e.target && t.Missed })
		if hangs[i] {
			hung++
		}
		s.late.Go(func() { answers <- answer{i, e.result(s.errands)} })
	}
	soon, late := time.NewTimer(hungWait), time.NewTimer(pauseWait)
	defer soon.Stop()
	defer late.Stop()
	left, passed := len(nodes), false
	for left > 0 && !(passed && left <= hung) {
		select {
		case a := <-answers:
			if left--; hangs[a.i] {
				hung--
			}
			results[a.i] = a.r
		case <-soon.C:
			passed = true
		case <-late.C:
			hung, passed = left, true
		}
	}
	s.carriedOut(o, results)
	if left == 0 {
		return results, nil
	}
	all, told := slices.Clone(results), make(chan []result, 1)
	s.late.Go(func() {
		for range left {
			a := <-answers
			all[a.i] = a.r
		}
		told <- all
	})
	return results, told
}

// amendLater puts the results that are not there yet into the entry of an order.
func (s *Server) amendLater(id int64, o *order, rest <-chan []result) {
	if rest == nil {
		return
	}
	s.late.Go(func() {
		results := <-rest
		s.activity.amend(id, o.said(results), results)
		s.collector.poke()
	})
}

// outcome is GET outcome?activity=ID: what became of an order, as far as is known by
// now.
func (s *Server) outcome(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := strconv.ParseInt(r.URL.Query().Get("activity"), 10, 64)
	if err != nil {
		return nil, badRequest("The number of the activity is missing.")
	}
	e, ok := s.activity.entry(id)
	if !ok {
		return nil, &failure{Status: http.StatusNotFound, Code: "NOT_FOUND", Text: "This is not remembered any more."}
	}
	return map[string]any{"activity": e.ID, "ok": e.OK, "summary": e.Result, "results": e.Results}, nil
}
