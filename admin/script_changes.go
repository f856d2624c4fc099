package admin

import (
	"net/http"

	"qmq/admin/cluster"
	"qmq/internal/httpapi"
	"qmq/internal/names"
)

// maxOrder is the longest body of an order.
const maxOrder = 1 << 20

// done carries an order out, remembers it, and answers.
func (s *Server) done(r *http.Request, o *order, producers []*producer, t *partialErrors) (any, error) {
	s.carryOutAt(r, o, producers, t)
	return struct {
		Message string `json:"message"`
	}{t.message()}, nil
}

// carryOutAt carries an order out and remembers it.
func (s *Server) carryOutAt(r *http.Request, o *order, producers []*producer, t *partialErrors) {
	targets := make([]cluster.Target, len(producers))
	for i, p := range producers {
		targets[i] = p.target()
	}
	results := s.carryOut(r.Context(), o, targets)
	for _, result := range results {
		if result.err != nil {
			t.add(result.err)
		}
	}
	s.remember(r, o, results)
}

// remember notes what was done, and reports it.
func (s *Server) remember(r *http.Request, o *order, results []result) int64 {
	s.notifier.tell(r, o.Action, o.pair(), o.Node)
	e := s.entryOf(r, o.Action)
	e.Topic, e.Channel, e.Node, e.Name = o.Topic, o.Channel, o.Node, s.nameOf(o.Node)
	e.Result, e.OK, e.Results = o.said(results), allOK(results), results
	return s.activity.add(e)
}

func (s *Server) scriptCreate(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		Topic   string `json:"topic"`
		Channel string `json:"channel"`
	}
	if err := readBody(r, maxOrder, &body); err != nil {
		return nil, err
	}
	if !names.Valid(body.Topic) {
		return nil, httpapi.Bad("INVALID_TOPIC")
	}
	o := &order{Action: "create_topic", Topic: body.Topic}
	if body.Channel == "" {
		return s.createTopic(r, o)
	}
	if !names.Valid(body.Channel) {
		return nil, httpapi.Bad("INVALID_CHANNEL")
	}
	t := new(partialErrors)
	producers, err := s.producersOf(r.Context(), t, body.Topic)
	if err != nil {
		return nil, err
	}
	if len(producers) == 0 && len(s.up.direct) > 0 {
		t = new(partialErrors)
		if producers, err = s.producers(r.Context(), t); err != nil {
			return nil, err
		}
		s.carryOutAt(r, o, producers, t)
	} else {
		s.notifier.tell(r, "create_topic", cluster.Pair{Topic: body.Topic}, "")
	}
	return s.done(r, &order{Action: "create_channel", Topic: body.Topic, Channel: body.Channel}, producers, t)
}

// createTopic tells the directories of a topic, from which nodes hear of it
// when they need it; without directories, it tells the nodes.
func (s *Server) createTopic(r *http.Request, o *order) (any, error) {
	t := new(partialErrors)
	if len(s.up.direct) == 0 {
		return s.done(r, o, nil, t)
	}
	producers, err := s.producers(r.Context(), t)
	if err != nil {
		return nil, err
	}
	return s.done(r, o, producers, t)
}

// scriptAct pauses, unpauses or empties.
func (s *Server) scriptAct(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		Action string `json:"action"`
	}
	if err := readBody(r, maxOrder, &body); err != nil {
		return nil, err
	}
	switch body.Action {
	case "pause", "unpause", "empty":
		return s.onProducers(r, body.Action)
	}
	return nil, httpapi.Bad("INVALID_ACTION")
}

func (s *Server) scriptDelete(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.onProducers(r, "delete")
}

// onProducers does to a topic or channel what verb says, wherever it is.
func (s *Server) onProducers(r *http.Request, verb string) (any, error) {
	o := &order{Action: verb + "_topic", Topic: httpapi.Param(r, "topic"), Channel: httpapi.Param(r, "channel")}
	if o.Channel != "" {
		o.Action = verb + "_channel"
	}
	t := new(partialErrors)
	producers, err := s.producersOf(r.Context(), t, o.Topic)
	if err != nil {
		return nil, err
	}
	// Without directories this is a success of nsqadmin's.
	if len(producers) == 0 && len(s.up.direct) == 0 && !s.isTopic(r, t, o.Topic) {
		return nil, errNoTopic
	}
	return s.done(r, o, producers, t)
}

func (s *Server) scriptTombstone(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		Topic string `json:"topic"`
	}
	if readBody(r, maxOrder, &body) != nil {
		return nil, httpapi.Bad("INVALID_BODY")
	}
	if !names.Valid(body.Topic) {
		return nil, httpapi.Bad("INVALID_TOPIC")
	}
	// Only a node that is known: a script's typing error is no reason to send a
	// deletion anywhere else.
	o := &order{Action: "tombstone_topic_producer", Topic: body.Topic, Node: httpapi.Param(r, "node")}
	t := new(partialErrors)
	all, err := s.producers(r.Context(), t)
	if err != nil {
		return nil, err
	}
	var producers []*producer
	for _, p := range all {
		if isNode(&p.Identity, o.Node) {
			producers = append(producers, p)
		}
	}
	if len(producers) == 0 {
		return nil, errNoNode
	}
	return s.done(r, o, producers, t)
}
